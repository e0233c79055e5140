/* SPDX-License-Identifier: Apache-2.0 */
/*
 * api/decode.c over every field of every table: accepted, wrong type, out of range, null, missing,
 * twice, unknown. A field added to a table is covered here without a new line.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/decode.h"
#include "tests/unit/unit.h"

#define TEXT_MAX_SIZE 4096u

static void add(char text[static TEXT_MAX_SIZE], const char *more)
{
    assert_true(strlen(text) + strlen(more) < TEXT_MAX_SIZE);
    memcpy(text + strlen(text), more, strlen(more) + 1);
}

static void add_object(char text[static TEXT_MAX_SIZE], const struct cfg_object *object,
                       uint32_t skipped, const char *extra);

/* A value that the field accepts. */
static void add_good(char text[static TEXT_MAX_SIZE], const struct cfg_field *field)
{
    static const char *const values[] = {
        [CFG_TYPE_BOOL] = "true",
        [CFG_TYPE_U8] = "255",
        [CFG_TYPE_U16] = "65535",
        [CFG_TYPE_U32] = "4294967295",
        [CFG_TYPE_U64] = "9223372036854775807",
        [CFG_TYPE_USIZE] = "9223372036854775807",
        [CFG_TYPE_STRING] = "\"a text\"",
        [CFG_TYPE_LOG_LEVEL] = "\"Debug\"",
        [CFG_TYPE_IPV4] = "\"169.254.1.2\"",
        [CFG_TYPE_TEXT_MAP] = "{\"b\": \"2\", \"a\": \"1\"}",
        [CFG_TYPE_MAC] = "\"06:00:00:00:00:01\"",
        [CFG_TYPE_NUMBER32] = "\"0x80000001\"",
        [CFG_TYPE_REGISTER] = "\"ecx\"",
        [CFG_TYPE_BITMAP32] = "\"0b1x0\"",
        [CFG_TYPE_BITMAP64] = "\"0b1x0\"",
        [CFG_TYPE_LIST] = NULL,
    };

    if (field->type == CFG_TYPE_OBJECT) {
        add_object(text, field->object, UINT32_MAX, "");
    } else if (field->type == CFG_TYPE_LIST) {
        add(text, "[");
        if (field->list->object)
            add_object(text, field->list->object, UINT32_MAX, "");
        else
            add(text, "\"7\""); /* a number as well as a name */
        add(text, "]");
    } else if (field->type == CFG_TYPE_ENUM) {
        add(text, "\"");
        add(text, field->enum_names[0]);
        add(text, "\"");
    } else {
        add(text, values[field->type]);
    }
}

/* An object with every required field but one, and `extra` ("" or "\"key\": value") at its end. */
static void add_object(char text[static TEXT_MAX_SIZE], const struct cfg_object *object,
                       uint32_t skipped, const char *extra)
{
    bool first = true;

    add(text, "{");
    for (uint32_t i = 0; i < object->fields_count; i++) {
        if (!(object->fields[i].flags & CFG_REQUIRED) || i == skipped)
            continue;
        add(text, first ? "\"" : ", \"");
        add(text, object->fields[i].name);
        add(text, "\": ");
        add_good(text, &object->fields[i]);
        first = false;
    }
    if (*extra != '\0' && !first)
        add(text, ", ");
    add(text, extra);
    add(text, "}");
}

/* Decodes an object in which field idx (UINT32_MAX: none) has this value. */
static int decode_with(const struct cfg_object *object, uint32_t idx, const char *value, void *obj,
                       struct err *err)
{
    char text[TEXT_MAX_SIZE] = "";
    char extra[TEXT_MAX_SIZE] = "";

    if (idx != UINT32_MAX) {
        add(extra, "\"");
        add(extra, object->fields[idx].name);
        add(extra, "\": ");
        add(extra, value);
    }
    add_object(text, object, idx, extra);
    return api_decode_text(object, text, strlen(text), TEXT_MAX_SIZE, obj, err);
}

typedef void field_check(const struct cfg_object *object, uint32_t idx, void *obj);

static void each_field(field_check *check)
{
    for (size_t i = 0; cfg_objects[i]; i++) {
        void *obj = calloc(1, cfg_objects[i]->size);
        assert_non_null(obj);
        for (uint32_t k = 0; k < cfg_objects[i]->fields_count; k++)
            check(cfg_objects[i], k, obj);
        free(obj);
    }
}

static void refuse(const struct cfg_object *object, uint32_t idx, const char *value, void *obj,
                   const char *beginning)
{
    struct err err = ERR_INIT;
    int ret = decode_with(object, idx, value, obj, &err);

    if (ret == 0)
        fail_msg("%s.%s accepts %s", object->name, object->fields[idx].name, value);
    if (strncmp(err.msg, beginning, strlen(beginning)) != 0)
        fail_msg("%s.%s with %s: %s", object->name, object->fields[idx].name, value, err.msg);
    assert_non_null(strstr(err.msg, " at line 1 column "));
}

static void check_accepted(const struct cfg_object *object, uint32_t idx, void *obj)
{
    const struct cfg_field *field = &object->fields[idx];
    char value[TEXT_MAX_SIZE] = "";
    struct err err = ERR_INIT;

    add_good(value, field);
    if (decode_with(object, idx, value, obj, &err) < 0)
        fail_msg("%s.%s with %s: %s", object->name, field->name, value, err.msg);
    assert_true(cfg_field_has(field, obj));
    if (cfg_type_max(field->type) > 0)
        assert_int_equal(cfg_field_load(field, obj), strtoull(value, NULL, 10));
    if (field->type == CFG_TYPE_BOOL)
        assert_int_equal(cfg_field_load(field, obj), 1);
    cfg_object_done(object, obj);
}

static void test_api_decode__each_field_good__accepted_and_stored(void **state)
{
    (void)state;
    each_field(check_accepted);
}

static void check_enum_names(const struct cfg_object *object, uint32_t idx, void *obj)
{
    const struct cfg_field *field = &object->fields[idx];

    for (uint32_t i = 0; field->enum_names && field->enum_names[i]; i++) {
        char value[TEXT_MAX_SIZE] = "\"";
        struct err err = ERR_INIT;
        add(value, field->enum_names[i]);
        add(value, "\"");
        assert_int_equal(decode_with(object, idx, value, obj, &err), 0);
        assert_int_equal(cfg_field_load(field, obj), i);
        cfg_object_done(object, obj);
    }
}

static void test_api_decode__each_enum_name__stored_as_its_index(void **state)
{
    (void)state;
    each_field(check_enum_names);
}

static void check_wrong_types(const struct cfg_object *object, uint32_t idx, void *obj)
{
    static const struct {
        const char *value;
        const char *beginning;
    } rows[] = {
        {"1.5", "invalid type: floating point `1.5`, expected "},
        {"7", "invalid type: integer `7`, expected "},
        {"false", "invalid type: boolean `false`, expected "},
        {"\"#\"", "invalid type: string \"#\", expected "},
        {"{\"#\": 1}", "invalid type: map, expected "},
        {"[{}]", "invalid type: sequence, expected "},
    };
    const struct cfg_field *field = &object->fields[idx];

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char first = rows[i].value[0];
        const char *beginning = rows[i].beginning;
        if (field->type == CFG_TYPE_ENUM)
            beginning = first == '"' ? "unknown variant `#`, expected " : "expected value of `";
        bool integer = cfg_type_max(field->type) > 0;
        if ((first == '7' && integer) || (first == 'f' && field->type == CFG_TYPE_BOOL))
            continue; /* the right type */
        if (first == '"' && strcmp(cfg_type_text(field->type), "a string") == 0)
            continue;
        if (field->type == CFG_TYPE_IPV4 && first == '"')
            beginning = "invalid IPv4 address syntax";
        if (first == '{' && field->type == CFG_TYPE_TEXT_MAP)
            continue; /* an empty map will do */
        if ((first == '{' || first == '[') && field->type == CFG_TYPE_OBJECT)
            beginning = ""; /* looked into; refused all the same */
        if (first == '[' && field->type == CFG_TYPE_LIST)
            beginning = "";
        refuse(object, idx, rows[i].value, obj, beginning);
    }
}

static void test_api_decode__each_field_wrong_type__refused(void **state)
{
    (void)state;
    each_field(check_wrong_types);
}

static void check_range(const struct cfg_object *object, uint32_t idx, void *obj)
{
    const struct cfg_field *field = &object->fields[idx];
    uint64_t max = cfg_type_max(field->type);
    char value[32];

    if (max == 0)
        return;
    refuse(object, idx, "-1", obj, "invalid value: integer `-1`, expected ");
    refuse(object, idx, "-9223372036854775808", obj,
           "invalid value: integer `-9223372036854775808`");
    refuse(object, idx, "9223372036854775808", obj, "invalid value: integer `9223372036854775808`");
    if (max < INT64_MAX) {
        (void)snprintf(value, sizeof(value), "%llu", (unsigned long long)max + 1);
        refuse(object, idx, value, obj, "invalid value: integer `");
    }
}

static void test_api_decode__each_integer_out_of_range__refused(void **state)
{
    (void)state;
    each_field(check_range);
}

static void check_null(const struct cfg_object *object, uint32_t idx, void *obj)
{
    const struct cfg_field *field = &object->fields[idx];
    struct err err = ERR_INIT;

    if (!(field->flags & CFG_NULLABLE)) {
        refuse(object, idx, "null", obj,
               field->type == CFG_TYPE_ENUM ? "expected value of `"
                                            : "invalid type: null, expected ");
        return;
    }
    assert_int_equal(decode_with(object, idx, "null", obj, &err), 0);
    if (field->has_off != CFG_NO_OFF)
        assert_false(cfg_field_has(field, obj));
    cfg_object_done(object, obj);
}

static void test_api_decode__each_field_null__absent_or_refused(void **state)
{
    (void)state;
    each_field(check_null);
}

static void check_missing(const struct cfg_object *object, uint32_t idx, void *obj)
{
    const struct cfg_field *field = &object->fields[idx];
    char text[TEXT_MAX_SIZE] = "";
    char sentence[128];
    struct err err = ERR_INIT;

    add_object(text, object, idx, "");
    int ret = api_decode_text(object, text, strlen(text), TEXT_MAX_SIZE, obj, &err);
    if (!(field->flags & CFG_REQUIRED)) {
        assert_int_equal(ret, 0);
        cfg_object_done(object, obj);
        return;
    }
    assert_int_equal(ret, -EINVAL);
    (void)snprintf(sentence, sizeof(sentence), "missing field `%s` at line 1 column %zu",
                   field->name, strlen(text));
    assert_string_equal(err.msg, sentence);
}

static void test_api_decode__each_field_missing__default_or_refused(void **state)
{
    (void)state;
    each_field(check_missing);
}

static void check_duplicate(const struct cfg_object *object, uint32_t idx, void *obj)
{
    char good[TEXT_MAX_SIZE] = "";
    char value[TEXT_MAX_SIZE] = "";
    char beginning[128];

    add_good(good, &object->fields[idx]);
    add(value, good);
    add(value, ", \"");
    add(value, object->fields[idx].name);
    add(value, "\": ");
    add(value, good);
    (void)snprintf(beginning, sizeof(beginning), "duplicate field `%s` at line",
                   object->fields[idx].name);
    refuse(object, idx, value, obj, beginning);
}

static void test_api_decode__each_field_twice__refused(void **state)
{
    (void)state;
    each_field(check_duplicate);
}

static void test_api_decode__unknown_field__refused_where_strict(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        void *obj = calloc(1, object->size);
        char text[TEXT_MAX_SIZE] = "";
        struct err err = ERR_INIT;
        assert_non_null(obj);
        add_object(text, object, UINT32_MAX, "\"no_such_field\": {\"a\": [1, {}]}");
        int ret = api_decode_text(object, text, strlen(text), TEXT_MAX_SIZE, obj, &err);
        assert_int_equal(ret, object->strict ? -EINVAL : 0);
        if (ret == 0) {
            cfg_object_done(object, obj);
        } else {
            static const char beginning[] = "unknown field `no_such_field`, expected ";
            assert_memory_equal(err.msg, beginning, strlen(beginning));
            for (uint32_t k = 0; k < object->fields_count; k++)
                assert_non_null(strstr(err.msg, object->fields[k].name));
        }
        free(obj);
    }
}

static void test_api_decode__positional_array__same_as_object(void **state)
{
    (void)state;
    for (size_t i = 0; cfg_objects[i]; i++) {
        const struct cfg_object *object = cfg_objects[i];
        void *obj = calloc(1, object->size);
        char text[TEXT_MAX_SIZE] = "[";
        struct err err = ERR_INIT;
        assert_non_null(obj);
        for (uint32_t k = 0; k < object->fields_count; k++) {
            if (k > 0)
                add(text, ",");
            add_good(text, &object->fields[k]);
        }
        add(text, "]");
        assert_int_equal(api_decode_text(object, text, strlen(text), TEXT_MAX_SIZE, obj, &err), 0);
        for (uint32_t k = 0; k < object->fields_count; k++)
            assert_true(cfg_field_has(&object->fields[k], obj));
        cfg_object_done(object, obj);
        free(obj);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_api_decode__each_field_good__accepted_and_stored),
        cmocka_unit_test(test_api_decode__each_enum_name__stored_as_its_index),
        cmocka_unit_test(test_api_decode__each_field_wrong_type__refused),
        cmocka_unit_test(test_api_decode__each_integer_out_of_range__refused),
        cmocka_unit_test(test_api_decode__each_field_null__absent_or_refused),
        cmocka_unit_test(test_api_decode__each_field_missing__default_or_refused),
        cmocka_unit_test(test_api_decode__each_field_twice__refused),
        cmocka_unit_test(test_api_decode__unknown_field__refused_where_strict),
        cmocka_unit_test(test_api_decode__positional_array__same_as_object),
    };
    return cmocka_run_group_tests_name("decode_fields", tests, NULL, NULL);
}
