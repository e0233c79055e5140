/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of base/json/json_value.c and json_sorted.c. Single thread. */
#include "base/json/json_value.h"

#include <stdlib.h>
#include <string.h>

#include "tests/unit/unit.h"

static struct json *value_of(const char *text)
{
    struct json_doc *doc = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(json_parse(text, strlen(text), 100000, &doc, &err), 0);
    return json_take(doc);
}

static void expect_text(const struct json *value, const char *text)
{
    char *rendered = NULL;
    size_t len = 0;
    assert_int_equal(json_render_sorted(value, &rendered, &len), 0);
    assert_string_equal(rendered, text);
    assert_int_equal(len, strlen(text));
    free(rendered);
}

static void expect_rendered(const char *text, const char *expected)
{
    struct json *value = value_of(text);
    expect_text(value, expected);
    json_drop(value);
}

static void test_json_render_sorted__object__keys_in_byte_order(void **state)
{
    (void)state;
    expect_rendered(" { \"b\" : 1, \"a\":[ true , null,\"x\"], \"B\":{} , \"\u00e4\":[], \"\":-3} ",
                    "{\"\":-3,\"B\":{},\"a\":[true,null,\"x\"],\"b\":1,\"\u00e4\":[]}");
}

static void test_json_render_sorted__text__escaped_as_the_reference(void **state)
{
    (void)state;
    expect_rendered("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u001F\\u007f\\u00e9\\u0000.\"",
                    "\"a\\\"\\\\/\\b\\f\\n\\r\\t\\u001f\x7f\u00e9\\u0000.\"");
}

static void test_json_render_sorted__numbers__as_the_reference(void **state)
{
    (void)state;
    static const char *const pairs[][2] = {
        {"0", "0"},
        {"9223372036854775807", "9223372036854775807"},
        {"-9223372036854775808", "-9223372036854775808"},
        {"0.1", "0.1"},
        {"1.50", "1.5"},
        {"-2.0", "-2.0"},
        {"0.0", "0.0"},
        {"-0.0", "-0.0"},
        {"1e2", "100.0"},
        {"123456.789", "123456.789"},
        {"1E15", "1000000000000000.0"},
        {"1e16", "1e16"},
        {"1.5e300", "1.5e300"},
        {"0.00001", "0.00001"},
        {"0.000001", "1e-6"},
        {"-1.25e-10", "-1.25e-10"},
        {"0.3333333333333333", "0.3333333333333333"},
        {"2.2250738585072014e-308", "2.2250738585072014e-308"},
        {"0.30000000000000004", "0.30000000000000004"},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        expect_rendered(pairs[i][0], pairs[i][1]);
}

/* The examples of RFC 7396, appendix A. */
static void test_json_merge__rfc_7396__its_results(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        {"{\"a\":\"b\"}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"b\":\"c\"}", "{\"a\":\"b\",\"b\":\"c\"}"},
        {"{\"a\":\"b\"}", "{\"a\":null}", "{}"},
        {"{\"a\":\"b\",\"b\":\"c\"}", "{\"a\":null}", "{\"b\":\"c\"}"},
        {"{\"a\":[\"b\"]}", "{\"a\":\"c\"}", "{\"a\":\"c\"}"},
        {"{\"a\":\"c\"}", "{\"a\":[\"b\"]}", "{\"a\":[\"b\"]}"},
        {"{\"a\":{\"b\":\"c\"}}", "{\"a\":{\"b\":\"d\",\"c\":null}}", "{\"a\":{\"b\":\"d\"}}"},
        {"{\"a\":[{\"b\":\"c\"}]}", "{\"a\":[1]}", "{\"a\":[1]}"},
        {"[\"a\",\"b\"]", "[\"c\",\"d\"]", "[\"c\",\"d\"]"},
        {"{\"a\":\"b\"}", "[\"c\"]", "[\"c\"]"},
        {"{\"a\":\"foo\"}", "null", "null"},
        {"{\"a\":\"foo\"}", "\"bar\"", "\"bar\""},
        {"{\"e\":null}", "{\"a\":1}", "{\"a\":1,\"e\":null}"},
        {"[1,2]", "{\"a\":\"b\",\"c\":null}", "{\"a\":\"b\"}"},
        {"{}", "{\"a\":{\"bb\":{\"ccc\":null}}}", "{\"a\":{\"bb\":{}}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct json *target = value_of(cases[i][0]);
        struct json *patch = value_of(cases[i][1]);
        struct json *merged = NULL;
        assert_int_equal(json_merge(target, patch, &merged), 0);
        expect_text(target, cases[i][0]); /* both as they were */
        json_drop(patch);
        expect_text(merged, cases[i][2]);
        json_drop(target);
        expect_text(merged, cases[i][2]);
        json_drop(merged);
    }
}

static void test_json_value__access__by_key_and_index(void **state)
{
    (void)state;
    struct json *value = value_of("{\"k\":[1,\"two\"],\"m\":{}}");
    const struct json *array = json_value_member(value, "kx", 1);
    size_t len = 0;
    assert_non_null(array);
    assert_int_equal(json_value_kind(array), JSON_KIND_ARRAY);
    assert_int_equal(json_value_count(array), 2);
    assert_int_equal(json_value_count(value), 2);
    assert_string_equal(json_value_text(json_value_element(array, 1), &len), "two");
    assert_int_equal(len, 3);
    assert_null(json_value_element(array, 2));
    assert_null(json_value_element(value, 0));
    assert_null(json_value_member(array, "k", 1));
    assert_null(json_value_member(value, "k\0", 2));
    json_drop(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_render_sorted__object__keys_in_byte_order),
        cmocka_unit_test(test_json_render_sorted__text__escaped_as_the_reference),
        cmocka_unit_test(test_json_render_sorted__numbers__as_the_reference),
        cmocka_unit_test(test_json_merge__rfc_7396__its_results),
        cmocka_unit_test(test_json_value__access__by_key_and_index),
    };
    return cmocka_run_group_tests_name("json_value", tests, NULL, NULL);
}
