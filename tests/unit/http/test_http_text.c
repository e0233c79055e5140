/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/http/http_text.c: shown text.
 */
#include <string.h>

#include "base/http/http_int.h"
#include "tests/unit/unit.h"

#define TEXT(literal) ((struct http_text){(literal), sizeof(literal) - 1})

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
        cmocka_unit_test(test_http_text_show__control_and_broken_bytes__replaced),
        cmocka_unit_test(test_http_text_show__long_text__cut_between_characters),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
