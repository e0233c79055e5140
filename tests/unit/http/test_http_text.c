/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http/http_text.c: UTF-8 and shown text.
 */
#include <string.h>

#include "base/http/http_int.h"
#include "tests/unit/unit.h"

#define TEXT(literal) ((struct http_text){(literal), sizeof(literal) - 1})

static void test_http_text_sequence__well_formed__its_length(void **state)
{
    (void)state;
    assert_int_equal(http_text_sequence(TEXT("a\xff")), 1);
    assert_int_equal(http_text_sequence(TEXT("\xc3\xa9")), 2);
    assert_int_equal(http_text_sequence(TEXT("\xe2\x82\xac")), 3);
    assert_int_equal(http_text_sequence(TEXT("\xf0\x9f\x98\x80")), 4);
}

static void test_http_text_sequence__ill_formed__bytes_that_belong_to_none(void **state)
{
    (void)state;
    assert_int_equal(http_text_sequence(TEXT("\x80")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xff")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xc3(")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xe2\x82(")), -2);
    assert_int_equal(http_text_sequence(TEXT("\xf0\x9f\x98(")), -3);
}

static void test_http_text_sequence__overlong_surrogate_too_high__refused(void **state)
{
    (void)state;
    assert_int_equal(http_text_sequence(TEXT("\xc0\x80")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xe0\x80\x80")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xed\xa0\x80")), -1);
    assert_int_equal(http_text_sequence(TEXT("\xf4\x90\x80\x80")), -1);
}

static void test_http_text_sequence__ends_inside__zero(void **state)
{
    (void)state;
    assert_int_equal(http_text_sequence(TEXT("\xc3")), 0);
    assert_int_equal(http_text_sequence(TEXT("\xf0\x9f\x98")), 0);
}

static void test_http_text_is_utf8__trouble__where_and_how_long(void **state)
{
    (void)state;
    size_t off = 99;
    int bad = 99;
    assert_true(http_text_is_utf8(TEXT("a\xc3\xa9"), &off, &bad));
    assert_true(http_text_is_utf8(TEXT(""), &off, &bad));
    assert_false(http_text_is_utf8(TEXT("abc\xff"), &off, &bad));
    assert_int_equal(off, 3);
    assert_int_equal(bad, 1);
    assert_false(http_text_is_utf8(TEXT("ab\xe2\x82"), &off, &bad));
    assert_int_equal(off, 2);
    assert_int_equal(bad, 0);
}

static void test_http_text_show__control_and_broken_bytes__replaced(void **state)
{
    (void)state;
    char buf[ERR_MSG_MAX_SIZE];
    assert_string_equal(http_text_show(TEXT("a\x1b\0\x7f\xff\xe2\x82"), buf),
                        "a\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd");
    assert_string_equal(http_text_show(TEXT("\xc3\xa9"), buf), "\xc3\xa9");
    assert_string_equal(http_text_show(TEXT(""), buf), "");
}

static void test_http_text_show__long_text__cut_between_characters(void **state)
{
    (void)state;
    char buf[ERR_MSG_MAX_SIZE];
    char text[2 * ERR_MSG_MAX_SIZE];
    for (size_t i = 0; i < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa9", 2);
    (void)http_text_show((struct http_text){text, sizeof(text)}, buf);
    assert_int_equal(strlen(buf), ERR_MSG_MAX_SIZE - 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_http_text_sequence__well_formed__its_length),
        cmocka_unit_test(test_http_text_sequence__ill_formed__bytes_that_belong_to_none),
        cmocka_unit_test(test_http_text_sequence__overlong_surrogate_too_high__refused),
        cmocka_unit_test(test_http_text_sequence__ends_inside__zero),
        cmocka_unit_test(test_http_text_is_utf8__trouble__where_and_how_long),
        cmocka_unit_test(test_http_text_show__control_and_broken_bytes__replaced),
        cmocka_unit_test(test_http_text_show__long_text__cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
