/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json/json_scan.c: text walks, positions, quoting of outside text.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_int.h"
#include "tests/unit/unit.h"

static void test_json_scan_value__values__end_behind_last_byte(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        size_t end_off;
    } rows[] = {
        {"1,", 1},        {"true}", 4},       {"\"a\\\"]\" ,", 6},
        {"[1,[2]] ,", 7}, {"{\"a\":{}}}", 8}, {"-1.5e+3]", 7},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(json_scan_value(rows[i].text, strlen(rows[i].text), 0), rows[i].end_off);
}

static void test_json_scan_string__open_string__end_of_text(void **state)
{
    (void)state;
    assert_int_equal(json_scan_string("\"ab", 3, 0), 3);
    assert_int_equal(json_scan_string("\"ab\\", 4, 0), 4);
    assert_int_equal(json_scan_string("\"", 1, 0), 1);
}

static void test_json_scan_token_ending__tokens__found_or_empty(void **state)
{
    (void)state;
    const char *text = "{\"ab\": -12, \"c\"";
    struct json_span span = json_scan_token_ending(text, strlen(text), 10);
    assert_int_equal(span.begin_off, 7);
    span = json_scan_token_ending(text, strlen(text), 5);
    assert_int_equal(span.begin_off, 1);
    span = json_scan_token_ending(text, strlen(text), 4); /* inside a string */
    assert_int_equal(span.begin_off, span.end_off);
}

static void test_json_err_at_text__long_sentence__position_survives(void **state)
{
    (void)state;
    char longish[2 * ERR_MSG_MAX_SIZE];
    struct err err = ERR_INIT;
    memset(longish, 'x', sizeof(longish) - 1);
    longish[sizeof(longish) - 1] = '\0';
    assert_int_equal(json_err_at_text("a\nbc", 4, &err, -EINVAL, "%s", longish), -EINVAL);
    assert_non_null(strstr(err.msg, "xxx at line 2 column 2"));
}

static void test_json_quote__hostile_text__escaped_and_cut(void **state)
{
    (void)state;
    char buf[JSON_QUOTE_MAX_SIZE];
    char longish[1000];

    assert_string_equal(json_quote("a\"b\\c\x1b\x7f", 7, buf), "a\\\"b\\\\c\\u{1b}\\u{7f}");
    assert_string_equal(json_quote("", 0, buf), "");
    memset(longish, 1, sizeof(longish)); /* the widest escape */
    (void)json_quote(longish, sizeof(longish), buf);
    assert_in_range(strlen(buf), 1, JSON_QUOTE_MAX_LEN + 3);
    assert_string_equal(buf + strlen(buf) - 3, "...");
    for (size_t i = 0; i + 1 < sizeof(longish); i += 2)
        memcpy(longish + i, "\xc3\xa9", 2);
    (void)json_quote(longish, sizeof(longish), buf);
    assert_int_equal((strlen(buf) - 3) % 2, 0); /* no character cut in two */
}

static void test_json_quote__broken_utf8_at_end__not_read_past(void **state)
{
    (void)state;
    char buf[JSON_QUOTE_MAX_SIZE];
    char *exact = malloc(2);
    assert_non_null(exact);
    memcpy(exact, "a\xf0", 2);
    assert_string_equal(json_quote(exact, 2, buf), "a\xf0");
    free(exact);
}

static void test_json_quote__broken_utf8__hides_no_quote_or_control(void **state)
{
    (void)state;
    char buf[JSON_QUOTE_MAX_SIZE];
    assert_string_equal(json_quote("\xf0\x1b\"x", 4, buf), "\xf0\\u{1b}\\\"x");
    assert_string_equal(json_quote("\xc3\\", 2, buf), "\xc3\\\\");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_scan_value__values__end_behind_last_byte),
        cmocka_unit_test(test_json_scan_string__open_string__end_of_text),
        cmocka_unit_test(test_json_scan_token_ending__tokens__found_or_empty),
        cmocka_unit_test(test_json_err_at_text__long_sentence__position_survives),
        cmocka_unit_test(test_json_quote__hostile_text__escaped_and_cut),
        cmocka_unit_test(test_json_quote__broken_utf8_at_end__not_read_past),
        cmocka_unit_test(test_json_quote__broken_utf8__hides_no_quote_or_control),
    };
    return cmocka_run_group_tests_name("json_scan", tests, NULL, NULL);
}
