/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decoder: walks a JSON object in document order beside its field table, so that the first
 * error met is the one reported, as in the reference (api.md 4). Thread: any; no state.
 */
#include "api/decode.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_text.h"

/* "one of `a`, `b`, ..." of the longest table. */
#define NAMES_MAX_SIZE 640u

static int decode_object(const struct cfg_object *object, struct json_val val, void *obj,
                         struct err *err);

/* ------------------------------------------------------------------ sentences */

int api_fail_type(struct json_val val, const char *expected, struct err *err)
{
    char quoted[JSON_QUOTE_MAX_SIZE];
    const char *before = "";
    const char *behind = "";
    size_t off = val.end_off;
    size_t len;

    switch (json_kind(val)) {
    case JSON_KIND_NULL:
        (void)json_quote_lexeme(val, quoted);
        break;
    case JSON_KIND_BOOL:
        before = "boolean `";
        behind = "`";
        (void)json_quote_lexeme(val, quoted);
        break;
    case JSON_KIND_INT:
        before = "integer `";
        behind = "`";
        (void)json_quote_lexeme(val, quoted);
        break;
    case JSON_KIND_REAL:
        before = "floating point `";
        behind = "`";
        (void)json_quote_lexeme(val, quoted);
        break;
    case JSON_KIND_STRING: {
        const char *text = json_as_text(val, &len);
        before = "string \"";
        behind = "\"";
        (void)json_quote(text, len, quoted);
        break;
    }
    case JSON_KIND_ARRAY:
        memcpy(quoted, "sequence", sizeof("sequence"));
        off = val.begin_off;
        break;
    case JSON_KIND_OBJECT:
        memcpy(quoted, "map", sizeof("map"));
        off = val.begin_off;
        break;
    }
    return json_err_at(val.doc, off, err, -EINVAL, "invalid type: %s%s%s, expected %s", before,
                       quoted, behind, expected);
}

int api_check_list(struct json_val val, uint32_t max_count, const char *name, struct err *err)
{
    if (json_kind(val) != JSON_KIND_ARRAY)
        return api_fail_type(val, "a sequence", err);
    if (json_count(val) > max_count)
        return json_err_at(val.doc, val.end_off, err, -ENOSPC,
                           "invalid length %zu, expected at most %u in `%s`", json_count(val),
                           max_count, name);
    return 0;
}

/* A sentence that came without a position gets the one that the reference gives it. */
static int fail_placed(struct json_val val, enum cfg_type type, const struct err *inner,
                       struct err *err)
{
    size_t off = type == CFG_TYPE_IPV4 ? val.end_off : json_close_off(val);

    return json_err_at(val.doc, off, err, inner->code, "%s", inner->msg);
}

/* Adds a name to "`a`, `b`" or "`a` or `b`". */
static void names_add(char names[static NAMES_MAX_SIZE], const char *name, const char *separator)
{
    size_t len = strlen(names);

    (void)snprintf(names + len, NAMES_MAX_SIZE - len, "%s`%s`", len > 0 ? separator : "", name);
}

/* What was expected instead of an unknown name: "`a`", "`a` or `b`" or "one of `a`, `b`, `c`". */
static int fail_name(const struct json_doc *doc, size_t off, const char *what, const char *quoted,
                     const char *names, uint32_t count, struct err *err)
{
    return json_err_at(doc, off, err, -EINVAL, "unknown %s `%s`, expected %s%s", what, quoted,
                       count > 2 ? "one of " : "", names);
}

static int fail_unknown_field(const struct cfg_object *object, const struct json_item *item,
                              struct err *err)
{
    char quoted[JSON_QUOTE_MAX_SIZE];
    char names[NAMES_MAX_SIZE] = "";

    for (uint32_t i = 0; i < object->fields_count; i++)
        names_add(names, object->fields[i].name, object->fields_count == 2 ? " or " : ", ");
    (void)json_quote(item->key, strlen(item->key), quoted);
    if (object->absent_name && strcmp(item->key, object->absent_name) == 0)
        return json_err_at(item->val.doc, item->key_end_off, err, -EINVAL, "unknown field `%s`: %s",
                           quoted, object->absent_text);
    return fail_name(item->val.doc, item->key_end_off, "field", quoted, names, object->fields_count,
                     err);
}

/* The names that an enum takes. Returns how many. */
static uint32_t variants_text(const struct cfg_field *field, char ret_names[static NAMES_MAX_SIZE])
{
    uint32_t count = 0;

    ret_names[0] = '\0';
    while (field->enum_names[count])
        count++;
    for (uint32_t i = 0; i < count; i++)
        names_add(ret_names, field->enum_names[i], count == 2 ? " or " : ", ");
    return count;
}

static int fail_unknown_variant(const struct cfg_field *field, struct json_val val,
                                const char *quoted, struct err *err)
{
    char names[NAMES_MAX_SIZE];
    uint32_t count = variants_text(field, names);

    return fail_name(val.doc, val.end_off, "variant", quoted, names, count, err);
}

/* No string where a name has to be. The reference says its first two words and the place only. */
static int fail_no_variant(const struct cfg_field *field, struct json_val val, struct err *err)
{
    char names[NAMES_MAX_SIZE];
    uint32_t count = variants_text(field, names);

    return json_err_at(val.doc, val.begin_off + 1, err, -EINVAL, "expected value of `%s`: %s%s",
                       field->name, count > 2 ? "one of " : "", names);
}

/* ------------------------------------------------------------------ single values */

static int decode_bool(const struct cfg_field *field, struct json_val val, void *obj,
                       struct err *err)
{
    if (json_kind(val) != JSON_KIND_BOOL)
        return api_fail_type(val, cfg_type_text(field->type), err);
    cfg_field_store(field, obj, json_as_bool(val));
    return 0;
}

static int decode_integer(const struct cfg_field *field, struct json_val val, void *obj,
                          struct err *err)
{
    if (json_kind(val) != JSON_KIND_INT)
        return api_fail_type(val, cfg_type_text(field->type), err);
    int64_t value = json_as_int(val);
    if (value < 0 || (uint64_t)value > cfg_type_max(field->type))
        return json_err_at(val.doc, val.end_off, err, -EINVAL,
                           "invalid value: integer `%lld`, expected %s", (long long)value,
                           cfg_type_text(field->type));
    cfg_field_store(field, obj, (uint64_t)value);
    return 0;
}

static int decode_enum(const struct cfg_field *field, struct json_val val, void *obj,
                       struct err *err)
{
    char quoted[JSON_QUOTE_MAX_SIZE];
    size_t len;

    if (json_kind(val) != JSON_KIND_STRING)
        return fail_no_variant(field, val, err);
    const char *text = json_as_text(val, &len);
    for (uint32_t i = 0; field->enum_names[i]; i++) {
        if (strlen(field->enum_names[i]) == len && memcmp(field->enum_names[i], text, len) == 0) {
            cfg_field_store(field, obj, i);
            return 0;
        }
    }
    return fail_unknown_variant(field, val, json_quote(text, len, quoted), err);
}

/* The text of a string value, checked for length and NUL characters. Borrowed. nul_text may be
 * NULL. */
static int take_text(struct json_val val, const char *expected, const char *nul_text,
                     const char **ret_text, struct err *err)
{
    size_t len;

    if (json_kind(val) != JSON_KIND_STRING)
        return api_fail_type(val, expected, err);
    const char *text = json_as_text(val, &len);
    if (len > CFG_STRING_MAX_LEN)
        return json_err_at(val.doc, val.end_off, err, -EINVAL,
                           "invalid length %zu, expected a string of at most %u bytes", len,
                           CFG_STRING_MAX_LEN);
    if (strlen(text) != len && nul_text)
        return err_set(err, CFG_NUL_ERROR, "%s", nul_text);
    if (strlen(text) != len)
        return json_err_at(
            val.doc, val.end_off, err, -EINVAL,
            "invalid value: string with a NUL character, expected a string without one");
    *ret_text = text;
    return 0;
}

/* Checks a text that has a grammar and stores what it says; sentences without position. */
static int store_text(const struct cfg_field *field, const char *text, void *member,
                      struct err *err)
{
    struct cfg_bitmap64 bitmap;
    struct cfg_bitmap32 narrow;
    enum log_level level;
    uint8_t addr[4];
    int ret = 0;

    if (field->type == CFG_TYPE_MAC)
        return cfg_mac_parse(text, member, err);
    if (field->type == CFG_TYPE_NUMBER32)
        return cfg_number32_parse(text, member, err);
    if (field->type == CFG_TYPE_REGISTER)
        return cfg_register_parse(text, member, err);
    if (field->type == CFG_TYPE_BITMAP32 || field->type == CFG_TYPE_BITMAP64) {
        bool wide = field->type == CFG_TYPE_BITMAP64;
        ret = cfg_bitmap_parse(text, wide ? 64 : 32, &bitmap, err);
        if (ret < 0)
            return ret;
        narrow = (struct cfg_bitmap32){(uint32_t)bitmap.mask, (uint32_t)bitmap.value};
        memcpy(member, wide ? (const void *)&bitmap : (const void *)&narrow,
               wide ? sizeof(bitmap) : sizeof(narrow));
        return 0;
    }
    if (field->type == CFG_TYPE_LOG_LEVEL)
        ret = cfg_log_level_parse(text, &level, err);
    else if (field->type == CFG_TYPE_IPV4)
        ret = cfg_ipv4_parse(text, addr, err);
    if (ret < 0)
        return ret;
    char *copy = strdup(text);
    if (!copy)
        return cfg_fail_memory(err);
    memcpy(member, &copy, sizeof(copy));
    return 0;
}

static int decode_text(const struct cfg_field *field, struct json_val val, void *obj,
                       struct err *err)
{
    struct err inner = ERR_INIT;
    const char *text = NULL;

    int ret = take_text(val, cfg_type_text(field->type), field->nul_text, &text, err);
    if (ret < 0)
        return ret;
    ret = store_text(field, text, (char *)obj + field->off, &inner);
    return ret < 0 ? fail_placed(val, field->type, &inner, err) : 0;
}

/* ------------------------------------------------------------------ maps of texts */

static int compare_keys(const void *a, const void *b)
{
    return strcmp(((const struct json_item *)a)->key, ((const struct json_item *)b)->key);
}

/* The members of an object in the order of their keys; the caller frees. NULL: no memory. */
static struct json_item *sorted_items(struct json_val val)
{
    struct json_item *items = calloc(json_count(val) + 1, sizeof(*items));
    struct json_iter iter;

    if (!items)
        return NULL;
    json_iter_init(&iter, val);
    for (size_t i = 0; i < json_count(val) && json_iter_next(&iter, &items[i]); i++)
        ;
    qsort(items, json_count(val), sizeof(*items), compare_keys);
    return items;
}

static int decode_text_map(const struct cfg_field *field, struct json_val val, void *obj,
                           struct err *err)
{
    if (json_kind(val) != JSON_KIND_OBJECT)
        return api_fail_type(val, cfg_type_text(field->type), err);

    struct json_item *items = sorted_items(val);
    struct json *map = json_new_object();
    char *text = NULL;
    size_t len = 0;
    int ret = items && map ? 0 : -ENOMEM;
    for (size_t i = 0; ret == 0 && i < json_count(val); i++) {
        const char *value = NULL;
        ret = take_text(items[i].val, "a string", NULL, &value, err);
        if (ret == 0)
            ret = json_put(map, items[i].key, json_new_text(value));
    }
    if (ret == 0)
        ret = json_render(map, &text, &len);
    if (ret == 0)
        memcpy((char *)obj + field->off, &text, sizeof(text));
    if (ret == -ENOMEM)
        (void)cfg_fail_memory(err); /* ret says it */
    json_drop(map);
    free(items);
    return ret;
}

/* ------------------------------------------------------------------ lists, objects */

static int decode_element(const struct cfg_list *list, struct json_val val, void *owner,
                          void *scratch, struct err *err)
{
    struct err inner = ERR_INIT;
    const char *text = NULL;
    int ret;

    if (list->object) {
        cfg_object_init(list->object, scratch);
        ret = decode_object(list->object, val, scratch, err);
    } else {
        ret = take_text(val, "a string", NULL, &text, err);
    }
    if (ret == 0 && list->add(owner, list->object ? scratch : text, &inner) < 0)
        ret = fail_placed(val, CFG_TYPE_LIST, &inner, err);
    if (list->object)
        cfg_object_done(list->object, scratch);
    return ret;
}

static int decode_list(const struct cfg_field *field, struct json_val val, void *owner,
                       struct err *err)
{
    const struct cfg_list *list = field->list;
    struct json_iter iter;
    struct json_item item;

    int ret = api_check_list(val, list->max_count, field->name, err);
    if (ret < 0)
        return ret;
    void *scratch = list->object ? calloc(1, list->object->size) : NULL;
    if (list->object && !scratch)
        return cfg_fail_memory(err);
    json_iter_init(&iter, val);
    while (ret == 0 && json_iter_next(&iter, &item))
        ret = decode_element(list, item.val, owner, scratch, err);
    free(scratch);
    return ret;
}

static int decode_value(const struct cfg_field *field, struct json_val val, void *obj,
                        struct err *err)
{
    switch (field->type) {
    case CFG_TYPE_BOOL:
        return decode_bool(field, val, obj, err);
    case CFG_TYPE_U8:
    case CFG_TYPE_U16:
    case CFG_TYPE_U32:
    case CFG_TYPE_U64:
    case CFG_TYPE_USIZE:
        return decode_integer(field, val, obj, err);
    case CFG_TYPE_ENUM:
        return decode_enum(field, val, obj, err);
    case CFG_TYPE_STRING:
    case CFG_TYPE_LOG_LEVEL:
    case CFG_TYPE_IPV4:
    case CFG_TYPE_MAC:
    case CFG_TYPE_NUMBER32:
    case CFG_TYPE_REGISTER:
    case CFG_TYPE_BITMAP32:
    case CFG_TYPE_BITMAP64:
        return decode_text(field, val, obj, err);
    case CFG_TYPE_TEXT_MAP:
        return decode_text_map(field, val, obj, err);
    case CFG_TYPE_OBJECT:
        return decode_object(field->object, val, (char *)obj + field->off, err);
    case CFG_TYPE_LIST:
        return decode_list(field, val, obj, err);
    }
    return err_set(err, -EINVAL, "field `%s` has a type that the decoder does not know",
                   field->name);
}

static int decode_field(const struct cfg_field *field, struct json_val val, void *obj,
                        struct err *err)
{
    const bool given = true;

    if (json_kind(val) == JSON_KIND_NULL && (field->flags & CFG_NULLABLE))
        return 0;
    int ret = decode_value(field, val, obj, err);
    if (ret < 0)
        return ret;
    if (field->has_off != CFG_NO_OFF)
        memcpy((char *)obj + field->has_off, &given, sizeof(given));
    return 0;
}

/* An array in place of an object: values of the fields in table order. */
static int decode_sequence(const struct cfg_object *object, struct json_val val, void *obj,
                           struct err *err)
{
    struct json_iter iter;
    struct json_item item;

    json_iter_init(&iter, val);
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        if (json_iter_next(&iter, &item)) {
            int ret = decode_field(field, item.val, obj, err);
            if (ret < 0)
                return ret;
        } else if (!(field->flags & CFG_SERDE_DEFAULT)) {
            return json_err_at(val.doc, val.end_off, err, -EINVAL,
                               "invalid length %u, expected struct %s with %u element%s", i,
                               object->name, object->fields_count,
                               object->fields_count == 1 ? "" : "s");
        }
    }
    if (json_iter_next(&iter, &item))
        return json_err_at(val.doc, item.val.begin_off, err, -EINVAL, "trailing characters");
    return 0;
}

static int decode_object(const struct cfg_object *object, struct json_val val, void *obj,
                         struct err *err)
{
    char expected[64];
    struct json_iter iter;
    struct json_item item;
    uint32_t seen = 0; /* bit i: field i was there; CFG_FIELDS_MAX bits */
    uint32_t idx;

    if (json_kind(val) == JSON_KIND_ARRAY)
        return decode_sequence(object, val, obj, err);
    if (json_kind(val) != JSON_KIND_OBJECT) {
        (void)snprintf(expected, sizeof(expected), "struct %s", object->name);
        return api_fail_type(val, expected, err);
    }
    json_iter_init(&iter, val);
    while (json_iter_next(&iter, &item)) {
        const struct cfg_field *field = cfg_object_find(object, item.key, &idx);
        if (!field && object->strict)
            return fail_unknown_field(object, &item, err);
        if (!field)
            continue;
        int ret = decode_field(field, item.val, obj, err);
        if (ret < 0)
            return ret;
        seen |= 1u << idx;
    }
    for (idx = 0; idx < object->fields_count; idx++) {
        if ((object->fields[idx].flags & CFG_REQUIRED) && !(seen & (1u << idx)))
            return json_err_at(val.doc, val.end_off, err, -EINVAL, "missing field `%s`",
                               object->fields[idx].name);
    }
    return 0;
}

int api_decode(const struct cfg_object *object, struct json_val val, void *ret_obj, struct err *err)
{
    void *obj = calloc(1, object->size);
    if (!obj)
        return cfg_fail_memory(err);

    cfg_object_init(object, obj);
    int ret = decode_object(object, val, obj, err);
    if (ret == CFG_NUL_ERROR)
        (void)err_prefix(err, "%s", object->category);
    if (ret < 0)
        cfg_object_done(object, obj);
    else
        memcpy(ret_obj, obj, object->size);
    free(obj);
    return ret;
}

int api_decode_text(const struct cfg_object *object, const char *text, size_t len, size_t max_size,
                    void *ret_obj, struct err *err)
{
    struct json_doc *doc;

    int ret = json_parse(text, len, max_size, &doc, err);
    if (ret < 0)
        return ret;
    ret = api_decode(object, json_root(doc), ret_obj, err);
    json_free(doc);
    return ret;
}
