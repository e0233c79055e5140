/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Prints the route table and every field table as JSON, for the check of api/openapi.yaml. One
 * thread; pure but for stdout.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

#include "api/request_int.h"

/* JSON integers end there (deltas.md 7). */
#define JSON_INTEGER_MAX ((uint64_t)INT64_MAX)

static const char *const type_names[] = {
    [CFG_TYPE_BOOL] = "bool",         [CFG_TYPE_U8] = "integer",
    [CFG_TYPE_U16] = "integer",       [CFG_TYPE_U32] = "integer",
    [CFG_TYPE_U64] = "integer",       [CFG_TYPE_USIZE] = "integer",
    [CFG_TYPE_STRING] = "string",     [CFG_TYPE_LOG_LEVEL] = "log_level",
    [CFG_TYPE_IPV4] = "ipv4",         [CFG_TYPE_ENUM] = "enum",
    [CFG_TYPE_MAC] = "mac",           [CFG_TYPE_NUMBER32] = "number32",
    [CFG_TYPE_REGISTER] = "register", [CFG_TYPE_BITMAP32] = "bitmap32",
    [CFG_TYPE_BITMAP64] = "bitmap64", [CFG_TYPE_OBJECT] = "object",
    [CFG_TYPE_LIST] = "list",         [CFG_TYPE_TEXT_MAP] = "map",
};
static_assert(ARRAY_LEN(type_names) == CFG_TYPES_COUNT, "one name a type");

static const char *const body_names[] = {
    [API_BODY_NONE] = "none",
    [API_BODY_NEEDED] = "needed",
    [API_BODY_EITHER] = "either",
};

static const char *truth(bool value)
{
    return value ? "true" : "false";
}

/* Names in the tables are plain words. */
static void print_word(const char *key, const char *word)
{
    if (word)
        printf(",\"%s\":\"%s\"", key, word);
    else
        printf(",\"%s\":null", key);
}

static void print_range(const struct cfg_field *field)
{
    uint64_t max = cfg_type_max(field->type);

    if (field->max > 0)
        max = field->max;
    if (max > JSON_INTEGER_MAX)
        max = JSON_INTEGER_MAX;
    printf(",\"min\":%" PRIu64 ",\"max\":%" PRIu64, field->min, max);
}

/* What the tables say of a field's default; null where null or absence is one. */
static void print_default(const struct cfg_field *field)
{
    if (field->flags & (CFG_REQUIRED | CFG_NULLABLE) || field->type == CFG_TYPE_LIST)
        printf(",\"default\":null");
    else if (field->type == CFG_TYPE_BOOL)
        printf(",\"default\":%s", truth(field->default_value));
    else if (field->type == CFG_TYPE_ENUM)
        print_word("default", field->enum_names[field->default_value]);
    else
        printf(",\"default\":%" PRIu64, field->default_value);
}

static void print_field(const struct cfg_field *field)
{
    printf("{\"name\":\"%s\",\"type\":\"%s\"", field->name, type_names[field->type]);
    printf(",\"required\":%s,\"nullable\":%s", truth(field->flags & CFG_REQUIRED),
           truth(field->flags & CFG_NULLABLE));
    print_default(field);
    if (cfg_type_max(field->type) > 0)
        print_range(field);
    if (field->type == CFG_TYPE_OBJECT)
        print_word("object", field->object->name);
    if (field->type == CFG_TYPE_LIST) {
        print_word("object", field->list->object ? field->list->object->name : NULL);
        printf(",\"max_count\":%" PRIu32, field->list->max_count);
    }
    if (field->type == CFG_TYPE_ENUM) {
        printf(",\"names\":[");
        for (const char *const *name = field->enum_names; *name; name++)
            printf("%s\"%s\"", name == field->enum_names ? "" : ",", *name);
        printf("]");
    }
    printf("}");
}

static void print_object(const struct cfg_object *object)
{
    printf("{\"name\":\"%s\",\"strict\":%s,\"fields\":[", object->name, truth(object->strict));
    for (uint16_t i = 0; i < object->fields_count; i++) {
        printf("%s", i > 0 ? "," : "");
        print_field(&object->fields[i]);
    }
    printf("]}");
}

static void print_route(const struct api_route *route)
{
    printf("{\"method\":\"%s\",\"first\":\"%s\"", http_method_name(route->method), route->first);
    printf(",\"id\":%s", truth(route->second_rule == API_TOKEN_ID));
    print_word("second", route->second);
    print_word("third", route->third);
    print_word("body", body_names[route->body]);
    print_word("object", route->object ? route->object->name : NULL);
    printf(",\"excluded\":%s,\"refused\":%s}", truth(route->kind == CTL_EXCLUDED),
           truth(route->refuse));
}

int main(void)
{
    printf("{\"objects\":[\n");
    for (const struct cfg_object *const *object = cfg_objects; *object; object++) {
        printf("%s", object == cfg_objects ? "" : ",\n");
        print_object(*object);
    }
    printf("\n],\"routes\":[\n");
    for (size_t i = 0; i < api_routes_count; i++) {
        printf("%s", i > 0 ? ",\n" : "");
        print_route(&api_routes[i]);
    }
    printf("\n]}\n");
    return ferror(stdout) || fflush(stdout) != 0;
}
