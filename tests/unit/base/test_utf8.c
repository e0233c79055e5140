/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/utf8.c: what is a character, how much of a text is none; base/utf8_letters.c: which are
 * letters. Texts are in blocks of their exact
 * size, so that a sanitizer sees a byte read too many.
 */
#include "tests/unit/unit.h"

#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"

#define UNTOUCHED 0xdeadbeefu

struct row {
    const char *name;
    const char *text;
    int expected; /* of utf8_decode */
    uint32_t c;   /* if that is positive */
};

static int decode_exact(const char *text, size_t len, uint32_t *ret_c)
{
    char *exact = malloc(len);
    assert_non_null(exact);
    memcpy(exact, text, len);
    int size = utf8_decode(exact, len, ret_c);
    free(exact);
    return size;
}

static void check_rows(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        const struct row *row = &rows[i];
        uint32_t c = UNTOUCHED;
        int size = decode_exact(row->text, strlen(row->text), &c);
        uint32_t expected_c = row->expected > 0 ? row->c : UNTOUCHED;
        if (size != row->expected || c != expected_c)
            fail_msg("%s: %d, U+%04X instead of %d, U+%04X", row->name, size, c, row->expected,
                     expected_c);
    }
}

/* An encoder of its own: returns the length, for any c below 2^21. */
static size_t encode(uint32_t c, char text[static 4])
{
    if (c < 0x80) {
        text[0] = (char)c;
        return 1;
    }
    if (c < 0x800) {
        text[0] = (char)(0xc0 | c >> 6);
        text[1] = (char)(0x80 | (c & 0x3f));
        return 2;
    }
    if (c < 0x10000) {
        text[0] = (char)(0xe0 | c >> 12);
        text[1] = (char)(0x80 | (c >> 6 & 0x3f));
        text[2] = (char)(0x80 | (c & 0x3f));
        return 3;
    }
    text[0] = (char)(0xf0 | c >> 18);
    text[1] = (char)(0x80 | (c >> 12 & 0x3f));
    text[2] = (char)(0x80 | (c >> 6 & 0x3f));
    text[3] = (char)(0x80 | (c & 0x3f));
    return 4;
}

static void test_utf8_decode__ends_of_each_length__their_code_points(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"first of 1, behind NUL", "\x01", 1, 0x1},
        {"last of 1", "\x7f", 1, 0x7f},
        {"first of 2", "\xc2\x80", 2, 0x80},
        {"last of 2", "\xdf\xbf", 2, 0x7ff},
        {"first of 3", "\xe0\xa0\x80", 3, 0x800},
        {"last before surrogates", "\xed\x9f\xbf", 3, 0xd7ff},
        {"first behind surrogates", "\xee\x80\x80", 3, 0xe000},
        {"last of 3", "\xef\xbf\xbf", 3, 0xffff},
        {"first of 4", "\xf0\x90\x80\x80", 4, 0x10000},
        {"last of all", "\xf4\x8f\xbf\xbf", 4, 0x10ffff},
        {"what is behind does not matter", "\xc3\xa9\xff", 2, 0xe9},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_decode__nul__character_of_one_byte(void **state)
{
    (void)state;
    uint32_t c = UNTOUCHED;
    assert_int_equal(decode_exact("\0", 1, &c), 1);
    assert_int_equal(c, 0);
}

static void test_utf8_decode__every_number__a_character_unless_surrogate_or_too_high(void **state)
{
    (void)state;
    for (uint32_t expected = 0; expected < 0x200000; expected++) {
        char text[4];
        uint32_t c = UNTOUCHED;
        size_t len = encode(expected, text);
        bool is_character = expected <= 0x10ffff && (expected < 0xd800 || expected > 0xdfff);
        int size = utf8_decode(text, len, &c);
        if (size != (is_character ? (int)len : -1) || c != (is_character ? expected : UNTOUCHED))
            fail_msg("U+%04X: %d, U+%04X", expected, size, c);
    }
}

static void test_utf8_decode__overlong__belongs_to_none(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"NUL in 2", "\xc0\x80", -1, 0},         {"U+007F in 2", "\xc1\xbf", -1, 0},
        {"NUL in 3", "\xe0\x80\x80", -1, 0},     {"U+07FF in 3", "\xe0\x9f\xbf", -1, 0},
        {"NUL in 4", "\xf0\x80\x80\x80", -1, 0}, {"U+FFFF in 4", "\xf0\x8f\xbf\xbf", -1, 0},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_decode__surrogate__belongs_to_none(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"U+D800", "\xed\xa0\x80", -1, 0},
        {"U+DBFF", "\xed\xaf\xbf", -1, 0},
        {"U+DC00", "\xed\xb0\x80", -1, 0},
        {"U+DFFF", "\xed\xbf\xbf", -1, 0},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_decode__too_high__belongs_to_none(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"U+110000", "\xf4\x90\x80\x80", -1, 0},
        {"U+13FFFF", "\xf4\xbf\xbf\xbf", -1, 0},
        {"U+140000", "\xf5\x80\x80\x80", -1, 0},
        {"U+1FFFFF", "\xf7\xbf\xbf\xbf", -1, 0},
        {"five bytes", "\xf8\x88\x80\x80\x80", -1, 0},
        {"six bytes", "\xfc\x84\x80\x80\x80\x80", -1, 0},
        {"0xfe", "\xfe", -1, 0},
        {"0xff", "\xff", -1, 0},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_decode__lone_continuation__one_byte_belongs_to_none(void **state)
{
    (void)state;
    for (unsigned int byte = 0x80; byte < 0xc0; byte++) {
        const char text[] = {(char)byte, (char)0x80, '\0'};
        const struct row row = {"continuation", text, -1, 0};
        check_rows(&row, 1);
    }
}

static void test_utf8_decode__broken_off__bytes_up_to_the_break(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"2, letter behind 1", "\xc3(", -1, 0},
        {"2, first byte behind 1", "\xc3\xc3\xa9", -1, 0},
        {"3, letter behind 1", "\xe2(\x80", -1, 0},
        {"3, letter behind 2", "\xe2\x82(", -2, 0},
        {"4, letter behind 1", "\xf0(\x80\x80", -1, 0},
        {"4, letter behind 2", "\xf0\x9f(\x80", -2, 0},
        {"4, letter behind 3", "\xf0\x9f\x98(", -3, 0},
        {"4, first byte behind 3", "\xf0\x9f\x98\xf0", -3, 0},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_decode__text_ends_inside__zero(void **state)
{
    (void)state;
    static const struct row rows[] = {
        {"1 of 2", "\xc3", 0, 0}, {"1 of 3", "\xe2", 0, 0},     {"2 of 3", "\xe2\x82", 0, 0},
        {"1 of 4", "\xf0", 0, 0}, {"2 of 4", "\xf0\x9f", 0, 0}, {"3 of 4", "\xf0\x9f\x98", 0, 0},
    };
    check_rows(rows, ARRAY_LEN(rows));
}

static void test_utf8_check__well_formed__true_and_nothing_set(void **state)
{
    (void)state;
    static const char text[] = "a\0\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80";
    size_t off = UNTOUCHED;
    size_t bad = UNTOUCHED;
    assert_true(utf8_check(text, sizeof(text), &off, &bad));
    assert_true(utf8_check("", 0, &off, &bad));
    assert_int_equal(off, UNTOUCHED);
    assert_int_equal(bad, UNTOUCHED);
}

static void test_utf8_check__trouble__where_and_how_long(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        const char *text;
        size_t off;
        size_t bad;
    } rows[] = {
        {"at once", "\xff", 0, 1},
        {"behind text", "abc\xff", 3, 1},
        {"behind a character", "\xc3\xa9\x80", 2, 1},
        {"two bytes", "ab\xe2\x82(", 2, 2},
        {"three bytes", "\xf0\x9f\x98(", 0, 3},
        {"the first of two", "\xffz\xe2\x82(", 0, 1},
        {"ends inside", "ab\xe2\x82", 2, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        size_t off = UNTOUCHED;
        size_t bad = UNTOUCHED;
        bool good = utf8_check(rows[i].text, strlen(rows[i].text), &off, &bad);
        if (good || off != rows[i].off || bad != rows[i].bad)
            fail_msg("%s: %d, %zu, %zu", rows[i].name, good, off, bad);
    }
}

struct letter {
    const char *name;
    uint32_t c;
};

static void check_letters(const struct letter *letters, size_t count, bool expected)
{
    for (size_t i = 0; i < count; i++)
        if (utf8_is_alphanumeric(letters[i].c) != expected)
            fail_msg("U+%04X, %s: %d", letters[i].c, letters[i].name, !expected);
}

static void test_utf8_is_alphanumeric__ascii__letters_and_digits_alone(void **state)
{
    (void)state;
    static const char expected[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    char found[sizeof(expected) + 1] = "";
    for (uint32_t c = 0; c < 0x80; c++)
        if (utf8_is_alphanumeric(c) && strlen(found) < sizeof(expected))
            found[strlen(found)] = (char)c;
    assert_string_equal(found, expected);
}

static void test_utf8_is_alphanumeric__letters_and_numbers_of_any_script__true(void **state)
{
    (void)state;
    static const struct letter letters[] = {
        {"first of the table: feminine ordinal", 0xaa},
        {"superscript two", 0xb2},
        {"three quarters", 0xbe},
        {"e acute", 0xe9},
        {"Greek alpha", 0x3b1},
        {"Arabic-Indic zero", 0x660},
        {"a vowel sign, which is Alphabetic", 0x93f},
        {"Roman numeral eight", 0x2167},
        {"CJK, first", 0x4e00},
        {"CJK, last", 0x9fff},
        {"Hangul, last", 0xd7a3},
        {"full-width one", 0xff11},
        {"Gothic", 0x10330},
        {"last of the table", 0x3134a},
    };
    check_letters(letters, ARRAY_LEN(letters), true);
}

static void test_utf8_is_alphanumeric__marks_and_signs__false(void **state)
{
    (void)state;
    static const struct letter letters[] = {
        {"control", 0x85},
        {"no-break space", 0xa0},
        {"multiplication sign", 0xd7},
        {"division sign", 0xf7},
        {"combining acute", 0x301},
        {"en dash", 0x2013},
        {"right-to-left override", 0x202e},
        {"euro sign", 0x20ac},
        {"private use", 0xe000},
        {"byte order mark", 0xfeff},
        {"replacement character", 0xfffd},
        {"face", 0x1f600},
        {"behind the table", 0x3134b},
        {"last of all", 0x10ffff},
        {"no code point", 0xffffffff},
    };
    check_letters(letters, ARRAY_LEN(letters), false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_utf8_decode__ends_of_each_length__their_code_points),
        cmocka_unit_test(test_utf8_decode__nul__character_of_one_byte),
        cmocka_unit_test(test_utf8_decode__every_number__a_character_unless_surrogate_or_too_high),
        cmocka_unit_test(test_utf8_decode__overlong__belongs_to_none),
        cmocka_unit_test(test_utf8_decode__surrogate__belongs_to_none),
        cmocka_unit_test(test_utf8_decode__too_high__belongs_to_none),
        cmocka_unit_test(test_utf8_decode__lone_continuation__one_byte_belongs_to_none),
        cmocka_unit_test(test_utf8_decode__broken_off__bytes_up_to_the_break),
        cmocka_unit_test(test_utf8_decode__text_ends_inside__zero),
        cmocka_unit_test(test_utf8_check__well_formed__true_and_nothing_set),
        cmocka_unit_test(test_utf8_check__trouble__where_and_how_long),
        cmocka_unit_test(test_utf8_is_alphanumeric__ascii__letters_and_digits_alone),
        cmocka_unit_test(test_utf8_is_alphanumeric__letters_and_numbers_of_any_script__true),
        cmocka_unit_test(test_utf8_is_alphanumeric__marks_and_signs__false),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
