/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of devices/mmds/mmds_token.c. Single thread. */
#include "tests/unit/mmds/mmds_fixture.h"

static char token[MMDS_TOKEN_LEN + 1];

static void make(uint32_t ttl_s)
{
    assert_int_equal(mmds_token_make(world.mmds, ttl_s, token), 0);
}

static bool is_valid(const struct mmds *mmds)
{
    return mmds_token_is_valid((struct mmds *)(uintptr_t)mmds, token, strlen(token));
}

static void test_mmds_token_make__token__48_characters_of_base64(void **state)
{
    (void)state;
    make(60);
    assert_int_equal(strlen(token), 48);
    assert_int_equal(strspn(token, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                   "0123456789+/"),
                     48);
    assert_true(is_valid(world.mmds));
}

static void test_mmds_token_make__nothing_before_it__random_is_not_asked(void **state)
{
    (void)state;
    assert_false(mmds_token_is_valid(world.mmds, "x", 1));
    assert_int_equal(world.random_next, 0x40);
    assert_null(world.mmds->key);
    make(60);
    assert_int_equal(world.random_next, 0x42); /* key, nonce */
    make(60);
    assert_int_equal(world.random_next, 0x43);
}

static void test_mmds_token_is_valid__expiry__to_the_millisecond(void **state)
{
    (void)state;
    make(2);
    world.now_ns += 2 * NS_PER_S - NS_PER_MS;
    assert_true(is_valid(world.mmds));
    world.now_ns += NS_PER_MS;
    assert_false(is_valid(world.mmds));
}

static void test_mmds_token_is_valid__anything_else__no(void **state)
{
    (void)state;
    make(60);
    assert_false(mmds_token_is_valid(world.mmds, token, 47));
    assert_false(mmds_token_is_valid(world.mmds, "", 0));
    for (size_t i = 0; i < 48; i++) {
        char was = token[i];
        token[i] = was == 'A' ? 'B' : 'A';
        assert_false(is_valid(world.mmds));
        token[i] = was;
    }
    char longer[80];
    memset(longer, 'A', sizeof(longer));
    for (size_t len = 0; len <= sizeof(longer); len++)
        assert_false(mmds_token_is_valid(world.mmds, longer, len));
}

static void test_mmds_token_is_valid__of_another_vm__no(void **state)
{
    (void)state;
    make(60);
    struct mmds *other = mmds_of("vm-2");
    world.random_next = 0x40; /* the same key, as no two have it */
    char its[MMDS_TOKEN_LEN + 1];
    assert_int_equal(mmds_token_make(other, 60, its), 0);
    assert_false(is_valid(other));
    assert_true(is_valid(world.mmds));
    mmds_free(other);
}

static void test_mmds_token_make__key_used_up__old_tokens_die(void **state)
{
    (void)state;
    char old[MMDS_TOKEN_LEN + 1];
    make(60);
    memcpy(old, token, sizeof(old));
    world.mmds->tokens_count = MMDS_TOKENS_MAX - 1;
    make(60);
    assert_true(mmds_token_is_valid(world.mmds, old, strlen(old)));
    make(60);
    assert_false(mmds_token_is_valid(world.mmds, old, strlen(old)));
    assert_true(is_valid(world.mmds));
    assert_int_equal(world.mmds->tokens_count, 1);
}

static void test_mmds_token_make__no_random__its_error(void **state)
{
    (void)state;
    world.random_result = -ENOSYS;
    assert_int_equal(mmds_token_make(world.mmds, 60, token), -ENOSYS);
    assert_null(world.mmds->key);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_mmds_token_make__token__48_characters_of_base64),
        TEST(test_mmds_token_make__nothing_before_it__random_is_not_asked),
        TEST(test_mmds_token_is_valid__expiry__to_the_millisecond),
        TEST(test_mmds_token_is_valid__anything_else__no),
        TEST(test_mmds_token_is_valid__of_another_vm__no),
        TEST(test_mmds_token_make__key_used_up__old_tokens_die),
        TEST(test_mmds_token_make__no_random__its_error),
    };
    return cmocka_run_group_tests_name("token", tests, NULL, NULL);
}
