/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json/json_build.c: compact rendering in the order put, ownership on failure.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json.h"
#include "tests/unit/unit.h"

static void assert_renders(struct json *value, const char *expected)
{
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(json_render(value, &text, &len), 0);
    assert_string_equal(text, expected);
    assert_int_equal(len, strlen(expected));
    free(text);
    json_drop(value);
}

static void test_json_render__nested__compact_in_order_put(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    struct json *list = json_new_array();
    assert_int_equal(json_append(list, json_new_uint(INT64_MAX)), 0);
    assert_int_equal(json_append(list, json_new_null()), 0);
    assert_int_equal(json_put(root, "z", json_new_bool(true)), 0);
    assert_int_equal(json_put(root, "a", list), 0);
    assert_int_equal(json_put(root, "m", json_new_text("q\"/\n\xc3\xa9")), 0);
    assert_renders(root,
                   "{\"z\":true,\"a\":[9223372036854775807,null],\"m\":\"q\\\"/\\n\xc3\xa9\"}");
}

static void test_json_render__scalar__alone(void **state)
{
    (void)state;
    assert_renders(json_new_text("x"), "\"x\"");
    assert_renders(json_new_null(), "null");
}

static void test_json_new_uint__from_2_63__null(void **state)
{
    (void)state;
    assert_null(json_new_uint((uint64_t)INT64_MAX + 1));
}

static void test_json_new_text__invalid_utf8__null(void **state)
{
    (void)state;
    assert_null(json_new_text("\xff"));
}

static void test_json_put__null_value__refused(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    struct json *list = json_new_array();
    assert_int_equal(json_put(root, "a", NULL), -ENOMEM);
    assert_int_equal(json_append(list, NULL), -ENOMEM);
    assert_renders(root, "{}");
    assert_renders(list, "[]");
    json_drop(NULL);
}

static void test_json_put__key_with_invalid_utf8__refused_and_value_dropped(void **state)
{
    (void)state;
    struct json *root = json_new_object();
    assert_int_equal(json_put(root, "\xff", json_new_text("dropped, or a leak is reported")),
                     -ENOMEM);
    assert_renders(root, "{}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_render__nested__compact_in_order_put),
        cmocka_unit_test(test_json_render__scalar__alone),
        cmocka_unit_test(test_json_new_uint__from_2_63__null),
        cmocka_unit_test(test_json_new_text__invalid_utf8__null),
        cmocka_unit_test(test_json_put__null_value__refused),
        cmocka_unit_test(test_json_put__key_with_invalid_utf8__refused_and_value_dropped),
    };
    return cmocka_run_group_tests_name("json_build", tests, NULL, NULL);
}
