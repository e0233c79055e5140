/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/log_limit.c with a clock of our own: burst, refill, what is dropped, threads.
 */
#include <pthread.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "tests/unit/unit.h"

#define START_NS (1000 * NS_PER_S)
#define STEP_NS (500 * NS_PER_MS)

/* How many of `count` calls at this moment are allowed. */
static unsigned allowed_of(struct log_limit *limit, uint64_t now_ns, unsigned count)
{
    unsigned allowed = 0;
    uint32_t dropped;

    for (unsigned i = 0; i < count; i++)
        allowed += log_limit_allow(limit, now_ns, &dropped) ? 1 : 0;
    return allowed;
}

static void test_log_limit_allow__fresh_site__burst_of_ten(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    assert_int_equal(allowed_of(&limit, START_NS, 50), 10);
    assert_int_equal(allowed_of(&limit, START_NS + STEP_NS - 1, 50), 0);
}

static void test_log_limit_allow__clock_near_zero__burst_of_ten(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    assert_int_equal(allowed_of(&limit, 0, 50), 10);
}

static void test_log_limit_allow__after_burst__one_in_half_a_second(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    assert_int_equal(allowed_of(&limit, START_NS, 10), 10);
    for (unsigned i = 1; i <= 20; i++) {
        assert_int_equal(allowed_of(&limit, START_NS + i * STEP_NS - 1, 3), 0);
        assert_int_equal(allowed_of(&limit, START_NS + i * STEP_NS, 3), 1);
    }
}

static void test_log_limit_allow__long_silence__ten_again_not_more(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    assert_int_equal(allowed_of(&limit, START_NS, 50), 10);
    assert_int_equal(allowed_of(&limit, START_NS + 5 * NS_PER_S, 50), 10);
    assert_int_equal(allowed_of(&limit, START_NS + 3600 * NS_PER_S, 50), 10);
}

static void test_log_limit_allow__half_refilled__five(void **state)
{
    (void)state;
    struct log_limit limit = {0};

    assert_int_equal(allowed_of(&limit, START_NS, 10), 10);
    assert_int_equal(allowed_of(&limit, START_NS + 5 * STEP_NS, 50), 5);
}

static void test_log_limit_allow__drops__counted_and_told_once(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    uint64_t before = metric_get(&metrics.logger.rate_limited_log_count);
    uint32_t dropped = 99;

    assert_int_equal(allowed_of(&limit, START_NS, 17), 10);
    assert_int_equal(metric_get(&metrics.logger.rate_limited_log_count) - before, 7);
    assert_true(log_limit_allow(&limit, START_NS + 2 * STEP_NS, &dropped));
    assert_int_equal(dropped, 7);
    assert_true(log_limit_allow(&limit, START_NS + 2 * STEP_NS, &dropped));
    assert_int_equal(dropped, 0);
}

static void test_log_limit_allow__two_sites__independent(void **state)
{
    (void)state;
    struct log_limit first = {0};
    struct log_limit second = {0};

    assert_int_equal(allowed_of(&first, START_NS, 50), 10);
    assert_int_equal(allowed_of(&second, START_NS, 50), 10);
}

struct race {
    struct log_limit *limit;
    unsigned allowed;
};

static void *race_thread(void *arg)
{
    struct race *race = arg;

    race->allowed = allowed_of(race->limit, START_NS, 5000);
    return NULL;
}

static void test_log_limit_allow__four_threads__ten_in_all(void **state)
{
    (void)state;
    struct log_limit limit = {0};
    struct race races[4];
    pthread_t threads[4];
    unsigned allowed = 0;

    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        races[i] = (struct race){.limit = &limit};
        assert_int_equal(pthread_create(&threads[i], NULL, race_thread, &races[i]), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(threads); i++) {
        assert_int_equal(pthread_join(threads[i], NULL), 0);
        allowed += races[i].allowed;
    }
    assert_int_equal(allowed, 10);
    assert_int_equal(atomic_load(&limit.dropped), 4 * 5000 - 10);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_limit_allow__fresh_site__burst_of_ten),
        cmocka_unit_test(test_log_limit_allow__clock_near_zero__burst_of_ten),
        cmocka_unit_test(test_log_limit_allow__after_burst__one_in_half_a_second),
        cmocka_unit_test(test_log_limit_allow__long_silence__ten_again_not_more),
        cmocka_unit_test(test_log_limit_allow__half_refilled__five),
        cmocka_unit_test(test_log_limit_allow__drops__counted_and_told_once),
        cmocka_unit_test(test_log_limit_allow__two_sites__independent),
        cmocka_unit_test(test_log_limit_allow__four_threads__ten_in_all),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
