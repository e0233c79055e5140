/* SPDX-License-Identifier: Apache-2.0 */
/*
 * base/json/json.c: what is refused and with which sentence, typed access, document order and
 * positions.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json.h"
#include "tests/unit/unit.h"

#define ROOMY_SIZE 65536u

static struct json_doc *parse(const char *text)
{
    struct json_doc *doc = NULL;
    struct err err = ERR_INIT;

    if (json_parse(text, strlen(text), ROOMY_SIZE, &doc, &err) < 0)
        fail_msg("%s: %s", text, err.msg);
    return doc;
}

/* Refused with exactly this sentence; *ret_doc untouched. */
static void refuse_bytes(const char *text, size_t len, const char *sentence)
{
    char untouched;
    struct json_doc *doc = (struct json_doc *)(void *)&untouched;
    struct err err = ERR_INIT;

    assert_int_equal(json_parse(text, len, ROOMY_SIZE, &doc, &err), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.msg, sentence);
    assert_ptr_equal(doc, &untouched);
}

static void refuse(const char *text, const char *sentence)
{
    refuse_bytes(text, strlen(text), sentence);
}

static void test_json_parse__every_kind__kinds_and_values(void **state)
{
    (void)state;
    static const enum json_kind kinds[] = {
        JSON_KIND_NULL,   JSON_KIND_BOOL, JSON_KIND_INT,   JSON_KIND_REAL,
        JSON_KIND_STRING, JSON_KIND_REAL, JSON_KIND_ARRAY, JSON_KIND_OBJECT,
    };
    struct json_doc *doc = parse(" [null, true, -7, 1.5, \"a\\u00e9\\n\", -0, [1,2], {\"k\":1}] ");
    struct json_iter iter;
    struct json_item item;
    size_t count = 0;
    size_t len;

    json_iter_init(&iter, json_root(doc));
    while (json_iter_next(&iter, &item)) {
        assert_int_equal(json_kind(item.val), kinds[count]);
        assert_null(item.key);
        if (count == 1)
            assert_true(json_as_bool(item.val));
        if (count == 2)
            assert_int_equal(json_as_int(item.val), -7);
        if (count == 4) {
            assert_string_equal(json_as_text(item.val, &len), "a\xc3\xa9\n");
            assert_int_equal(len, 4);
        }
        if (count == 6)
            assert_int_equal(json_count(item.val), 2);
        count++;
    }
    assert_int_equal(count, ARRAY_LEN(kinds));
    assert_int_equal(json_count(json_root(doc)), ARRAY_LEN(kinds));
    json_free(doc);
}

static void test_json_parse__scalar_document__accepted(void **state)
{
    (void)state;
    struct json_doc *doc = parse("9223372036854775807");
    assert_int_equal(json_as_int(json_root(doc)), INT64_MAX);
    assert_int_equal(json_count(json_root(doc)), 0);
    json_free(doc);
}

static void test_json_parse__text_without_nul_behind__not_read_past(void **state)
{
    (void)state;
    /* A heap block of exactly the text: a sanitizer sees one byte too many. */
    const char *text = "{\"a\": [1, \"b\"]}";
    char *exact = malloc(strlen(text));
    struct json_doc *doc = NULL;
    struct err err = ERR_INIT;
    assert_non_null(exact);
    memcpy(exact, text, strlen(text));
    assert_int_equal(json_parse(exact, strlen(text), ROOMY_SIZE, &doc, &err), 0);
    assert_int_equal(json_root(doc).end_off, strlen(text));
    json_free(doc);
    free(exact);
}

static void test_json_parse__empty__eof(void **state)
{
    (void)state;
    refuse("", "EOF while parsing a value at line 1 column 0");
    refuse(" \n ", "EOF while parsing a value at line 2 column 1");
}

static void test_json_parse__truncated__says_inside_what(void **state)
{
    (void)state;
    refuse("{", "EOF while parsing an object at line 1 column 1");
    refuse("{\"a\":", "EOF while parsing a value at line 1 column 5");
    refuse("{\"a\":1", "EOF while parsing an object at line 1 column 6");
    refuse("{\"a\":[1,2", "EOF while parsing a list at line 1 column 9");
    refuse("{\"a\":\"b", "EOF while parsing a string at line 1 column 7");
    refuse("{\"a\":\"b\\", "EOF while parsing a string at line 1 column 8");
    refuse("\"", "EOF while parsing a string at line 1 column 1");
}

static void test_json_parse__syntax_error__sentence_of_its_kind(void **state)
{
    (void)state;
    refuse("{\"a\" 1}", "expected `:` at line 1 column 6");
    refuse("{\"a\":1 \"b\":2}", "expected `,` or `}` at line 1 column 10");
    refuse("[1 2]", "expected `,` or `]` at line 1 column 4");
    refuse("{a:1}", "key must be a string at line 1 column 2");
    refuse("{\"a\":}", "expected value at line 1 column 6");
    refuse("\"\\q\"", "invalid escape at line 1 column 3");
    refuse("01", "expected value at line 1 column 1");
    refuse("{} x", "trailing characters at line 1 column 4");
    refuse("{}{}", "trailing characters at line 1 column 3");
    refuse("'a'", "expected value at line 1 column 1");
    refuse("\"a\nb\"", "control character (\\u0000-\\u001F) found while parsing a string at line 1 "
                       "column 2");
}

static void test_json_parse__byte_order_mark__refused(void **state)
{
    (void)state;
    refuse("\xef\xbb\xbf{}",
           "expected value (the text must not begin with a byte order mark) at line 1 column 1");
}

static void test_json_parse__invalid_utf8__refused(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(json_parse("\"\xff\"", 3, ROOMY_SIZE, &doc, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "invalid unicode code point at line 1 column"));
    assert_int_equal(json_parse("\"\xc0\x80\"", 4, ROOMY_SIZE, &doc, &err), -EINVAL); /* overlong */
    assert_int_equal(json_parse("\"\\ud800\"", 8, ROOMY_SIZE, &doc, &err), -EINVAL); /* lone half */
    assert_null(doc);
}

static void test_json_parse__nul_bytes__refused_or_counted(void **state)
{
    (void)state;
    size_t len;
    refuse_bytes("{}\0", 3, "trailing characters at line 1 column 3");
    refuse("{\"a\\u0000b\": 1}", "NUL character in a key at line 1 column 11");
    struct json_doc *doc = parse("\"a\\u0000b\"");
    (void)json_as_text(json_root(doc), &len);
    assert_int_equal(len, 3);
    json_free(doc);
}

static void test_json_parse__duplicate_key__named(void **state)
{
    (void)state;
    refuse("{\"a\":1,\"b\":2,\"a\":3}", "duplicate field `a` at line 1 column 16");
    refuse("{\"x\":{\"k\":1,\n \"k\":2}}", "duplicate field `k` at line 2 column 4");
}

static void test_json_parse__integer_out_of_range__refused(void **state)
{
    (void)state;
    refuse("9223372036854775808",
           "invalid value: integer `9223372036854775808`, expected an integer "
           "below 2^63 at line 1 column 19");
    refuse("[18446744073709551615]", "invalid value: integer `18446744073709551615`, expected an "
                                     "integer below 2^63 at line 1 column 21");
    refuse("[18446744073709551616]",
           "invalid type: floating point `18446744073709551616`, expected "
           "an integer below 2^63 at line 1 column 21");
    refuse("-9223372036854775809",
           "invalid type: floating point `-9223372036854775809`, expected an "
           "integer below 2^63 at line 1 column 20");
    refuse("1e999", "number out of range at line 1 column 5");
}

static void test_json_parse__depth__limit_is_exact(void **state)
{
    (void)state;
    char text[2 * (JSON_DEPTH_MAX + 1) + 1];
    struct err err = ERR_INIT;
    struct json_doc *doc = NULL;

    for (size_t depth = JSON_DEPTH_MAX; depth <= JSON_DEPTH_MAX + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        int ret = json_parse(text, 2 * depth, ROOMY_SIZE, &doc, &err);
        assert_int_equal(ret, depth > JSON_DEPTH_MAX ? -EINVAL : 0);
        if (ret == 0)
            json_free(doc);
    }
    assert_string_equal(err.msg, "recursion limit exceeded at line 1 column 129");
}

static void test_json_parse__brackets_inside_strings__are_no_depth(void **state)
{
    (void)state;
    char text[JSON_DEPTH_MAX * 2 + 8] = "[\"\\\"";
    size_t len = strlen(text);
    memset(text + len, '[', JSON_DEPTH_MAX * 2);
    memcpy(text + len + JSON_DEPTH_MAX * 2, "\"]", 3);
    json_free(parse(text));
}

static void test_json_parse__larger_than_limit__efbig(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(json_parse("[ ]", 3, 2, &doc, &err), -EFBIG);
    assert_string_equal(err.msg, "JSON text of 3 bytes is larger than the limit of 2 bytes");
    assert_int_equal(json_parse("[ ]", 3, 3, &doc, &err), 0);
    json_free(doc);
}

static void test_json_parse__no_err_struct__still_refuses(void **state)
{
    (void)state;
    struct json_doc *doc = NULL;
    assert_int_equal(json_parse("{", 1, ROOMY_SIZE, &doc, NULL), -EINVAL);
    assert_null(doc);
}

static void test_json_iter_next__object__document_order_and_offsets(void **state)
{
    (void)state;
    const char *text =
        "{ \"zz\" : [1, {\"q\":\"]\"}] ,\n\"a\\\"b\":\"x\\\"}\", \"m\":{} ,\"n\":-12.5e3}";
    static const struct {
        const char *key;
        const char *lexeme;
    } expected[] = {
        {"zz", "[1, {\"q\":\"]\"}]"}, {"a\"b", "\"x\\\"}\""}, {"m", "{}"}, {"n", "-12.5e3"}};
    struct json_doc *doc = parse(text);
    struct json_iter iter;
    struct json_item item;
    size_t count = 0;

    json_iter_init(&iter, json_root(doc));
    for (; json_iter_next(&iter, &item); count++) {
        size_t len = item.val.end_off - item.val.begin_off;
        assert_in_range(count, 0, ARRAY_LEN(expected) - 1);
        assert_string_equal(item.key, expected[count].key);
        assert_int_equal(len, strlen(expected[count].lexeme));
        assert_memory_equal(text + item.val.begin_off, expected[count].lexeme, len);
        assert_int_equal(text[item.key_end_off - 1], '"');
    }
    assert_int_equal(count, ARRAY_LEN(expected));
    assert_false(json_iter_next(&iter, &item));
    json_free(doc);
}

static void test_json_iter_next__empty_containers__nothing(void **state)
{
    (void)state;
    static const char *const texts[] = {"{}", "[]", "{ \n}", " [ ] "};
    struct json_iter iter;
    struct json_item item;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) {
        struct json_doc *doc = parse(texts[i]);
        json_iter_init(&iter, json_root(doc));
        assert_false(json_iter_next(&iter, &item));
        json_free(doc);
    }
}

static void test_json_err_unexpected__value__quoted_with_its_place(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct json_doc *doc = parse("[\"no\"]");
    assert_int_equal(json_err_unexpected(json_root(doc), &err, "a number is expected"), -EINVAL);
    assert_string_equal(err.msg, "a number is expected, not [\\\"no\\\"] at line 1 column 6");
    json_free(doc);
}

static void test_json_err_unknown__member__named_with_what_is_known(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    struct json_doc *doc = parse("{\"port\": 1}");
    struct json_iter iter;
    struct json_item item;
    json_iter_init(&iter, json_root(doc));
    assert_true(json_iter_next(&iter, &item));
    assert_int_equal(json_err_unknown(&item, &err, "peer, ports"), -EINVAL);
    assert_string_equal(err.msg,
                        "unknown member `port`, expected one of peer, ports at line 1 column 7");
    json_free(doc);
}

static void test_json_free__null__harmless(void **state)
{
    (void)state;
    json_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_json_parse__every_kind__kinds_and_values),
        cmocka_unit_test(test_json_parse__scalar_document__accepted),
        cmocka_unit_test(test_json_parse__text_without_nul_behind__not_read_past),
        cmocka_unit_test(test_json_parse__empty__eof),
        cmocka_unit_test(test_json_parse__truncated__says_inside_what),
        cmocka_unit_test(test_json_parse__syntax_error__sentence_of_its_kind),
        cmocka_unit_test(test_json_parse__byte_order_mark__refused),
        cmocka_unit_test(test_json_parse__invalid_utf8__refused),
        cmocka_unit_test(test_json_parse__nul_bytes__refused_or_counted),
        cmocka_unit_test(test_json_parse__duplicate_key__named),
        cmocka_unit_test(test_json_parse__integer_out_of_range__refused),
        cmocka_unit_test(test_json_parse__depth__limit_is_exact),
        cmocka_unit_test(test_json_parse__brackets_inside_strings__are_no_depth),
        cmocka_unit_test(test_json_parse__larger_than_limit__efbig),
        cmocka_unit_test(test_json_parse__no_err_struct__still_refuses),
        cmocka_unit_test(test_json_iter_next__object__document_order_and_offsets),
        cmocka_unit_test(test_json_iter_next__empty_containers__nothing),
        cmocka_unit_test(test_json_err_unexpected__value__quoted_with_its_place),
        cmocka_unit_test(test_json_err_unknown__member__named_with_what_is_known),
        cmocka_unit_test(test_json_free__null__harmless),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
