/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of devices/mmds/mmds_store.c. Single thread. */
#include "tests/unit/mmds/mmds_fixture.h"

static void expect_shown(const char *text)
{
    char *shown = NULL;
    size_t len = 0;
    assert_int_equal(mmds_render(world.mmds, &shown, &len), 0);
    assert_string_equal(shown, text);
    assert_int_equal(len, strlen(text));
    free(shown);
}

static void expect_refused(int (*act)(struct mmds *mmds, const char *text, size_t len,
                                      struct err *err),
                           const char *text, int code, const char *sentence)
{
    struct err err = ERR_INIT;
    assert_int_equal(act(world.mmds, text, strlen(text), &err), code);
    assert_string_equal(err.msg, sentence);
}

static void patch(const char *text)
{
    struct err err = ERR_INIT;
    assert_int_equal(mmds_patch(world.mmds, text, strlen(text), &err), 0);
}

static void test_mmds_render__nothing_or_null__empty_object(void **state)
{
    (void)state;
    expect_shown("{}");
    put("null");
    expect_shown("{}");
    patch("{\"a\":1}");
    expect_shown("{\"a\":1}");
    patch("null");
    expect_shown("{}");
}

static void test_mmds_put__any_value__replaces(void **state)
{
    (void)state;
    put("{ \"b\":1, \"a\": [2] }");
    expect_shown("{\"a\":[2],\"b\":1}");
    put("\"text\"");
    expect_shown("\"text\"");
}

static void test_mmds_patch__before_put__refused(void **state)
{
    (void)state;
    expect_refused(mmds_patch, "{}", -ENODATA, "The MMDS data store is not initialized.");
}

static void test_mmds_patch__object__merged(void **state)
{
    (void)state;
    put("{\"a\":{\"b\":1,\"c\":2},\"d\":[1,2]}");
    patch("{\"a\":{\"b\":null,\"e\":{\"f\":null}},\"d\":[3]}");
    expect_shown("{\"a\":{\"c\":2,\"e\":{}},\"d\":[3]}");
    patch("[1]");
    expect_shown("[1]");
}

/* `{"NAME":"xxx"}` of that many bytes. */
static const char *object_of(const char *name, size_t len)
{
    static char text[DATA_MAX + 64];
    int used = snprintf(text, sizeof(text), "{\"%s\":\"", name);
    memset(text + used, 'x', len);
    memcpy(text + len - 2, "\"}", 3);
    return text;
}

static void test_mmds_put__limit__counted_compact(void **state)
{
    (void)state;
    put(object_of("a", DATA_MAX));
    put("1");
    expect_refused(mmds_put, object_of("a", DATA_MAX + 1), -EMSGSIZE,
                   "The MMDS patch request doesn't fit.");
    expect_shown("1");
    char spaced[2 * DATA_MAX];
    memset(spaced, ' ', sizeof(spaced));
    memcpy(spaced + DATA_MAX, "{}", 3);
    put(spaced);
    expect_shown("{}");
}

static void test_mmds_patch__sum_over_limit__nothing_changed(void **state)
{
    (void)state;
    put("{\"a\":1}");
    expect_refused(mmds_patch, object_of("b", DATA_MAX - 5), -EMSGSIZE,
                   "The MMDS patch request doesn't fit.");
    expect_shown("{\"a\":1}");
    patch(object_of("b", DATA_MAX - 6));
    patch("{\"b\":null}");
    expect_shown("{\"a\":1}");
}

static void test_mmds_put__too_deep_or_no_json__nothing_changed(void **state)
{
    (void)state;
    char deep[2 * (JSON_DEPTH_MAX + 1) + 1];
    memset(deep, '[', JSON_DEPTH_MAX + 1);
    memset(deep + JSON_DEPTH_MAX + 1, ']', JSON_DEPTH_MAX + 1);
    deep[sizeof(deep) - 1] = '\0';
    put("{\"a\":1}");
    expect_refused(mmds_put, deep, -EINVAL, "recursion limit exceeded at line 1 column 129");
    expect_refused(mmds_patch, deep, -EINVAL, "recursion limit exceeded at line 1 column 129");
    expect_refused(mmds_put, "{\"a\":", -EINVAL, "EOF while parsing a value at line 1 column 5");
    expect_refused(mmds_patch, "{\"a\" 1}", -EINVAL, "expected `:` at line 1 column 6");
    expect_shown("{\"a\":1}");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mmds_render__nothing_or_null__empty_object),
        TEST(test_mmds_put__any_value__replaces),
        TEST(test_mmds_patch__before_put__refused),
        TEST(test_mmds_patch__object__merged),
        TEST(test_mmds_put__limit__counted_compact),
        TEST(test_mmds_patch__sum_over_limit__nothing_changed),
        TEST(test_mmds_put__too_deep_or_no_json__nothing_changed),
    };
    return cmocka_run_group_tests_name("store", tests, NULL, NULL);
}
