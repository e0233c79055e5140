/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of devices/mmds/mmds_imds.c. Single thread. */
#include "tests/unit/mmds/mmds_fixture.h"

static const char document[] =
    "{\"b\":{\"x\":1},\"a\":\"text\",\"l\":[\"0\",{\"k\":\"v\"}],\"~/\":\"odd\","
    "\"\":\"empty\",\"e\":{},\"s\":\"\",\"A\":null}";

/* What is found, compact; "" when nothing is. */
static const char *found(const char *path)
{
    static char text[256];
    char *rendered = NULL;
    size_t len = 0;
    const struct json *value = mmds_find(world.mmds->data, path, strlen(path));
    text[0] = '\0';
    if (!value)
        return text;
    assert_int_equal(json_render_sorted(value, &rendered, &len), 0);
    (void)snprintf(text, sizeof(text), "%s", rendered);
    free(rendered);
    return text;
}

static void test_mmds_find__path__as_rfc_6901(void **state)
{
    (void)state;
    put(document);
    static const char *const pairs[][2] = {
        {"/a", "\"text\""},
        {"/a/", "\"text\""},
        {"/b/x", "1"},
        {"/l/0", "\"0\""},
        {"/l/1/k", "\"v\""},
        {"/~0~1", "\"odd\""},
        {"/l/1/", "{\"k\":\"v\"}"},
        {"/c", ""},
        {"/a/b", ""},
        {"/b/x/y", ""},
        {"/l/2", ""},
        {"/l/01", ""},
        {"/l/+1", ""},
        {"/l/-", ""},
        {"/l/18446744073709551616", ""},
        {"/l/99999999999999999999999", ""},
        {"/a?q", ""},
        {"a", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(pairs); i++)
        assert_string_equal(found(pairs[i][0]), pairs[i][1]);
    assert_ptr_equal(mmds_find(world.mmds->data, "/", 1), world.mmds->data);
    assert_ptr_equal(mmds_find(world.mmds->data, "", 0), world.mmds->data);
}

static void expect_text(const char *path, int result, const char *text)
{
    char *rendered = NULL;
    size_t len = 0;
    const struct json *value = mmds_find(world.mmds->data, path, strlen(path));
    assert_non_null(value);
    assert_int_equal(mmds_imds_render(value, &rendered, &len), result);
    if (result == 0) {
        assert_string_equal(rendered, text);
        assert_int_equal(len, strlen(text));
    }
    free(rendered);
}

static void test_mmds_imds_render__kinds__keys_text_or_refused(void **state)
{
    (void)state;
    put(document);
    expect_text("/", 0, "\nA\na\nb/\ne/\nl\ns\n~/");
    expect_text("/a", 0, "text");
    expect_text("/s", 0, "");
    expect_text("/e", 0, "");
    expect_text("/b/x", -EOPNOTSUPP, NULL);
    expect_text("/l", -EOPNOTSUPP, NULL);
    expect_text("/A", -EOPNOTSUPP, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mmds_find__path__as_rfc_6901),
        TEST(test_mmds_imds_render__kinds__keys_text_or_refused),
    };
    return cmocka_run_group_tests_name("imds", tests, NULL, NULL);
}
