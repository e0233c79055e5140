/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of devices/backend/rl.c on a clock of our own: devices.md 1, step by step.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "base/log.h"
#include "devices/backend/rl.h"
#include "devices/backend/rl_state.h"

struct fixture {
    uint64_t now_ns;
    struct clock clock;
    struct loop *loop;
    struct rl rl;
    unsigned unblocked;
};

static uint64_t fake_now(void *ctx)
{
    const struct fixture *fx = ctx;
    return fx->now_ns;
}

static void on_unblocked(void *ctx)
{
    struct fixture *fx = ctx;
    fx->unblocked++;
}

static const struct rl_bucket_config no_limit = {0};

/* Replaces the limiter of the fixture by a fresh one. */
static void use(struct fixture *fx, struct rl_bucket_config bytes, struct rl_bucket_config ops)
{
    const struct rl_bucket_config configs[RL_KINDS_COUNT] = {[RL_BYTES] = bytes, [RL_OPS] = ops};
    rl_done(&fx->rl);
    rl_init(&fx->rl, configs, &fx->clock, fx->loop, on_unblocked, fx);
}

static int setup(void **state)
{
    static struct fixture fixture;
    fixture = (struct fixture){.now_ns = 5 * NS_PER_S};
    fixture.clock = (struct clock){.now_ns = fake_now, .ctx = &fixture};
    *state = &fixture;
    return loop_create(&fixture.clock, &fixture.loop, NULL);
}

static int teardown(void **state)
{
    struct fixture *fx = *state;
    rl_done(&fx->rl);
    loop_free(fx->loop);
    return 0;
}

/* Lets time pass and due timers fire. */
static void pass(struct fixture *fx, uint64_t ns)
{
    fx->now_ns += ns;
    assert_true(loop_turn(fx->loop, 0) >= 0);
}

static uint64_t left(const struct fixture *fx)
{
    return fx->rl.buckets[RL_BYTES].budget;
}

static uint64_t burst(const struct fixture *fx)
{
    return fx->rl.buckets[RL_BYTES].burst;
}

/* Time until the armed timer fires. */
static uint64_t wait_ns(const struct fixture *fx)
{
    return rl_blocked(&fx->rl) ? fx->rl.timer.due_ns - fx->now_ns : 0;
}

static void test_rl_take__no_limit__always_allowed(void **state)
{
    struct fixture *fx = *state;
    /* No size, no refill time, a refill time that nanoseconds cannot say: each means no limit. */
    const struct rl_bucket_config unlimited[] = {
        {.size = 0, .refill_time_ms = 100},
        {.size = 100, .refill_time_ms = 0},
        {.size = 100, .refill_time_ms = UINT64_MAX / NS_PER_MS + 1},
    };
    for (size_t i = 0; i < ARRAY_LEN(unlimited); i++) {
        use(fx, unlimited[i], no_limit);
        assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX));
        assert_true(rl_take(&fx->rl, RL_OPS, UINT64_MAX));
        assert_false(rl_blocked(&fx->rl));
    }
    use(fx, (struct rl_bucket_config){.size = 1, .refill_time_ms = UINT64_MAX / NS_PER_MS},
        no_limit);
    assert_true(fx->rl.buckets[RL_BYTES].limited);
}

/* One attempt after another on a fresh bucket of one kind. */
struct step {
    uint64_t pass_ns;
    uint64_t take;
    bool allowed;
    uint64_t burst_left;
    uint64_t budget_left;
    uint64_t blocked_ns;
};

struct steps {
    const char *name;
    struct rl_bucket_config config;
    struct step steps[6];
};

#define MS NS_PER_MS

static const struct steps tables[] = {
    {"budget only", {1000, 0, 1000}, {{0, 400, true, 0, 600, 0}, {0, 600, true, 0, 0, 0}}},
    {"denied: nothing taken, 100 ms",
     {1000, 0, 1000},
     {{0, 900, true, 0, 100, 0},
      {0, 101, false, 0, 100, 100 * MS},
      {50 * MS, 1, false, 0, 100, 50 * MS}, /* armed: even what would fit */
      {50 * MS, 200, true, 0, 0, 0}}},
    {"burst first, budget untouched",
     {1000, 500, 1000},
     {{0, 500, true, 0, 1000, 0}, {0, 1000, true, 0, 0, 0}}},
    {"burst and budget in one take", {1000, 500, 1000}, {{0, 700, true, 0, 800, 0}}},
    {"burst is spent even when the rest is denied",
     {1000, 500, 1000},
     {{0, 500, true, 0, 1000, 0}, {0, 1000, true, 0, 0, 0}, {0, 1, false, 0, 0, 100 * MS}}},
    {"partial burst lost to a denial",
     {1000, 300, 1000},
     {{0, 200, true, 100, 1000, 0}, {0, 1100, true, 0, 0, 0}, {0, 5, false, 0, 0, 100 * MS}}},
    {"burst restarts the refill clock",
     {1000, 500, 1000},
     {{900 * MS, 500, true, 0, 1000, 0},
      {0, 1000, true, 0, 0, 0},
      {100 * MS, 100, true, 0, 0, 0},
      {0, 1, false, 0, 0, 100 * MS}}},
    {"over-consumption: the debt in time",
     {1000, 0, 1000},
     {{0, 3500, true, 0, 0, 2500 * MS}, {2500 * MS, 1000, true, 0, 0, 0}}},
    {"over-consumption behind a burst", {1000, 500, 1000}, {{0, 3000, true, 0, 0, 1500 * MS}}},
    {"over-consumption in whole milliseconds", {3, 0, 10}, {{0, 4, true, 0, 0, 3 * MS}}},
    {"exactly the size is no over-consumption",
     {1000, 0, 100},
     {{0, 1000, true, 0, 0, 0}, {100 * MS, 1000, true, 0, 0, 0}}},
    {"refill stops at the size",
     {1000, 0, 100},
     {{0, 1, true, 0, 999, 0}, {NS_PER_S, 1000, true, 0, 0, 0}}},
    {"a take of zero", {1000, 0, 100}, {{0, 1000, true, 0, 0, 0}, {0, 0, true, 0, 0, 0}}},
};

static void check_step(struct fixture *fx, const char *name, size_t idx, const struct step *step)
{
    if (step->pass_ns)
        pass(fx, step->pass_ns);
    bool allowed = rl_take(&fx->rl, RL_BYTES, step->take);
    if (allowed != step->allowed || burst(fx) != step->burst_left ||
        left(fx) != step->budget_left || wait_ns(fx) != step->blocked_ns)
        fail_msg("%s, step %zu: allowed %d, burst %lu, budget %lu, blocked %lu ns", name, idx,
                 allowed, burst(fx), left(fx), wait_ns(fx));
}

static void test_rl_take__tables__as_the_reference(void **state)
{
    struct fixture *fx = *state;
    for (size_t t = 0; t < ARRAY_LEN(tables); t++) {
        use(fx, tables[t].config, no_limit);
        for (size_t i = 0; i < ARRAY_LEN(tables[t].steps); i++) {
            const struct step *step = &tables[t].steps[i];
            if (step->take || step->allowed)
                check_step(fx, tables[t].name, i, step);
        }
    }
}

static void test_rl_take__blocked_by_one_kind__denies_the_other(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){100, 0, 1000}, (struct rl_bucket_config){10, 0, 1000});

    assert_true(rl_take(&fx->rl, RL_OPS, 1));
    assert_true(rl_take(&fx->rl, RL_BYTES, 100));
    assert_true(rl_take(&fx->rl, RL_OPS, 1));
    assert_false(rl_take(&fx->rl, RL_BYTES, 1));
    assert_true(rl_blocked(&fx->rl));
    assert_false(rl_take(&fx->rl, RL_OPS, 1));
    assert_int_equal(fx->rl.buckets[RL_OPS].budget, 8);
    rl_refund(&fx->rl, RL_OPS, 1);
    assert_int_equal(fx->rl.buckets[RL_OPS].budget, 9);
}

static void test_rl_take__blocked_without_a_limit_of_its_own__denied(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){100, 0, 1000}, no_limit);

    assert_true(rl_take(&fx->rl, RL_BYTES, 200));
    assert_false(rl_take(&fx->rl, RL_OPS, 1));
}

static void test_rl_timer__fires_once__unblocks(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){100, 0, 1000}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, 100));
    assert_false(rl_take(&fx->rl, RL_BYTES, 10));

    pass(fx, 100 * MS - 1);
    assert_int_equal(fx->unblocked, 0);
    assert_true(rl_blocked(&fx->rl));
    pass(fx, 1);
    assert_int_equal(fx->unblocked, 1);
    assert_false(rl_blocked(&fx->rl));
    assert_true(rl_take(&fx->rl, RL_BYTES, 10));
    pass(fx, NS_PER_S);
    assert_int_equal(fx->unblocked, 1);
}

static void test_rl_take__remainders__are_kept(void **state)
{
    struct fixture *fx = *state;
    /* 1,000 tokens in 3 s: one each 3 ms. Asking each 2 ms must not lose the odd milliseconds. */
    use(fx, (struct rl_bucket_config){1000, 0, 3000}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, 1000));
    uint64_t taken = 0;
    for (int i = 0; i < 1500; i++) {
        fx->now_ns += 2 * MS;
        /* Over the budget, so that the bucket replenishes, yet without blocking. */
        rl_done(&fx->rl);
        while (rl_take(&fx->rl, RL_BYTES, 1))
            taken++;
    }
    assert_int_equal(taken, 1000);
}

/* What one whole refill time yields is the size, in 200 takes and leftover together. */
static void check_rate(struct fixture *fx, uint64_t size, uint64_t time_ms)
{
    use(fx, (struct rl_bucket_config){size, 0, time_ms}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, size));
    uint64_t start_ns = fx->now_ns;
    uint64_t taken = 0;
    for (uint64_t i = 1; i <= 200; i++) {
        fx->now_ns = start_ns + time_ms * MS * i / 200;
        rl_done(&fx->rl);
        uint64_t want = size / 200 + 1;
        if (rl_take(&fx->rl, RL_BYTES, want))
            taken += want;
    }
    rl_done(&fx->rl);
    fx->now_ns = start_ns + time_ms * MS;
    assert_true(taken + left(fx) <= size);
    assert_true(taken + left(fx) + 1 >= size - size / 200);
}

static void test_rl_take__odd_rates__never_too_much(void **state)
{
    static const uint64_t sizes[] = {1, 3, 7, 999, 1000003, 123456789012345ull};
    static const uint64_t times_ms[] = {1, 3, 17, 1000, 86400000};
    for (size_t s = 0; s < ARRAY_LEN(sizes); s++)
        for (size_t t = 0; t < ARRAY_LEN(times_ms); t++)
            check_rate(*state, sizes[s], times_ms[t]);
}

static void test_rl_take__huge_values__no_overflow(void **state)
{
    struct fixture *fx = *state;
    uint64_t longest_ms = UINT64_MAX / NS_PER_MS;

    use(fx, (struct rl_bucket_config){UINT64_MAX, UINT64_MAX, longest_ms}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX));
    assert_int_equal(burst(fx), 0);
    assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX));
    assert_int_equal(left(fx), 0);
    /* Half of the longest time yields half of the largest size, to one token. */
    pass(fx, longest_ms * NS_PER_MS / 2);
    assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX / 2 - 1000000));
    assert_true(left(fx) <= 1000001);
    rl_refund(&fx->rl, RL_BYTES, UINT64_MAX);
    assert_true(left(fx) == UINT64_MAX);

    /* A debt beyond what nanoseconds say blocks for good instead of wrapping round. */
    use(fx, (struct rl_bucket_config){1, 0, longest_ms}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX));
    assert_true(rl_blocked(&fx->rl));
    pass(fx, 1000 * NS_PER_S);
    assert_true(rl_blocked(&fx->rl));
}

static void test_rl_refund__while_burst_is_left__goes_to_the_burst(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){1000, 500, 1000}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, 100));
    rl_refund(&fx->rl, RL_BYTES, 60);
    assert_int_equal(burst(fx), 460);
    rl_refund(&fx->rl, RL_BYTES, 60);
    assert_int_equal(burst(fx), 500);
    assert_int_equal(left(fx), 1000);
}

static void test_rl_refund__burst_gone__goes_to_the_budget(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){1000, 500, 1000}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, 500));
    assert_true(rl_take(&fx->rl, RL_BYTES, 100));
    rl_refund(&fx->rl, RL_BYTES, 40);
    assert_int_equal(left(fx), 940);
    assert_int_equal(burst(fx), 0);
    rl_refund(&fx->rl, RL_BYTES, 400);
    assert_int_equal(left(fx), 1000);
    rl_refund(&fx->rl, RL_OPS, 400); /* no limit: nothing to give back to */
}

static void test_rl_replace__fresh_bucket__armed_timer_stays(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){100, 0, 1000}, (struct rl_bucket_config){10, 0, 1000});
    assert_true(rl_take(&fx->rl, RL_OPS, 4));
    assert_true(rl_take(&fx->rl, RL_BYTES, 400));

    rl_replace(&fx->rl, RL_BYTES, &(struct rl_bucket_config){2000, 300, 500});
    assert_int_equal(left(fx), 2000);
    assert_int_equal(burst(fx), 300);
    assert_int_equal(fx->rl.buckets[RL_OPS].budget, 6);
    assert_int_equal(wait_ns(fx), 3000 * MS);
    assert_false(rl_take(&fx->rl, RL_BYTES, 1));
    pass(fx, 3000 * MS);
    assert_int_equal(fx->unblocked, 1);
    assert_true(rl_take(&fx->rl, RL_BYTES, 2300));

    rl_replace(&fx->rl, RL_BYTES, &no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, UINT64_MAX));
}

static void test_rl_take__ten_refills__rate_is_exact(void **state)
{
    struct fixture *fx = *state;
    /* A device that takes 4 KiB whenever it may: after the first bucket, ten refill times give ten
     * sizes, less the 100 ms that may still be blocked at the end. */
    use(fx, (struct rl_bucket_config){1 << 20, 0, 1000}, no_limit);
    uint64_t start_ns = fx->now_ns;
    uint64_t taken = 0;
    while (fx->now_ns < start_ns + 10 * NS_PER_S) {
        while (rl_take(&fx->rl, RL_BYTES, 4096))
            taken += 4096;
        pass(fx, 1 * MS);
    }
    uint64_t after_first = taken - (1 << 20);
    assert_in_range(after_first, 10485760ull * 98 / 100, 10485760ull);
}

static void test_rl_bucket_spend__full_bucket__tokens_then_nothing_then_refill(void **state)
{
    (void)state;
    struct rl_bucket bucket;
    const struct rl_bucket_config config = {.size = 2, .one_time_burst = 1, .refill_time_ms = 100};
    rl_bucket_start(&bucket, &config, NS_PER_S);
    for (int i = 0; i < 3; i++) /* burst and budget */
        assert_true(rl_bucket_spend(&bucket, 1, NS_PER_S));
    assert_false(rl_bucket_spend(&bucket, 1, NS_PER_S));
    assert_false(rl_bucket_spend(&bucket, 1, NS_PER_S + 49 * NS_PER_MS));
    assert_true(rl_bucket_spend(&bucket, 1, NS_PER_S + 50 * NS_PER_MS));
    assert_false(rl_bucket_spend(&bucket, 1, NS_PER_S + 50 * NS_PER_MS));
}

static void test_rl_bucket_spend__no_limit__always(void **state)
{
    (void)state;
    struct rl_bucket bucket;
    const struct rl_bucket_config config = {0};
    rl_bucket_start(&bucket, &config, 0);
    assert_true(rl_bucket_spend(&bucket, UINT64_MAX, 0));
    assert_true(rl_bucket_spend(&bucket, UINT64_MAX, 0));
}

static void test_rl_save__then_restore__goes_on_unblocked(void **state)
{
    struct fixture *fx = *state;
    use(fx, (struct rl_bucket_config){1000, 100, 1000}, no_limit);
    assert_true(rl_take(&fx->rl, RL_BYTES, 600));
    pass(fx, 200 * MS);
    assert_false(rl_take(&fx->rl, RL_OPS, 1) && rl_take(&fx->rl, RL_BYTES, 900));
    struct rl_state saved;
    rl_save(&fx->rl, &saved);
    assert_int_equal(saved.buckets[RL_BYTES].budget, 700);
    assert_int_equal(saved.buckets[RL_BYTES].elapsed_ns, 0);
    assert_false(saved.buckets[RL_OPS].limited);
    pass(fx, 20 * MS);
    rl_save(&fx->rl, &saved);
    assert_int_equal(saved.buckets[RL_BYTES].elapsed_ns, 20 * MS);

    /* On a host that has just booted, the last update lies before time began. */
    fx->now_ns = 1 * MS;
    use(fx, no_limit, no_limit);
    assert_int_equal(rl_restore(&fx->rl, &saved), 0);
    assert_false(rl_blocked(&fx->rl));
    assert_true(rl_take(&fx->rl, RL_BYTES, 720));
    assert_int_equal(left(fx), 0);
}

static void test_rl_state_start__restored__is_full(void **state)
{
    struct fixture *fx = *state;
    const struct rl_bucket_config configs[RL_KINDS_COUNT] = {
        [RL_OPS] = {.size = 10, .one_time_burst = 2, .refill_time_ms = 1000}};
    struct rl_state fresh;
    rl_state_start(configs, &fresh);
    use(fx, (struct rl_bucket_config){7, 0, 7}, no_limit);
    assert_int_equal(rl_restore(&fx->rl, &fresh), 0);
    assert_true(rl_take(&fx->rl, RL_BYTES, 1000)); /* what limited it is gone */
    for (int i = 0; i < 12; i++)
        assert_true(rl_take(&fx->rl, RL_OPS, 1));
    assert_false(rl_take(&fx->rl, RL_OPS, 1));
}

static void test_rl_restore__impossible_state__refused_untouched(void **state)
{
    struct fixture *fx = *state;
    const struct rl_bucket_state good = {true, 100, 10, 10, 1000, 100, 0};
    struct rl_bucket_state bad[] = {good, good, good, good, good, good};
    bad[0].budget = 101;
    bad[1].burst = 11;
    bad[2].size = bad[2].budget = 0;
    bad[3].refill_time_ms = 0;
    bad[4].refill_time_ms = UINT64_MAX;
    bad[5].elapsed_ns = UINT64_MAX;
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        use(fx, (struct rl_bucket_config){7, 0, 7}, no_limit);
        const struct rl_state saved = {.buckets = {good, bad[i]}};
        assert_int_equal(rl_restore(&fx->rl, &saved), -EINVAL);
        assert_int_equal(left(fx), 7);
    }
}

#define RL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    log_init("test");
    log_set(&(struct log_settings){.level = LOG_LEVEL_OFF});
    const struct CMUnitTest tests[] = {
        RL_TEST(test_rl_take__no_limit__always_allowed),
        RL_TEST(test_rl_take__tables__as_the_reference),
        RL_TEST(test_rl_take__blocked_by_one_kind__denies_the_other),
        RL_TEST(test_rl_take__blocked_without_a_limit_of_its_own__denied),
        RL_TEST(test_rl_timer__fires_once__unblocks),
        RL_TEST(test_rl_take__remainders__are_kept),
        RL_TEST(test_rl_take__odd_rates__never_too_much),
        RL_TEST(test_rl_take__huge_values__no_overflow),
        RL_TEST(test_rl_refund__while_burst_is_left__goes_to_the_burst),
        RL_TEST(test_rl_refund__burst_gone__goes_to_the_budget),
        RL_TEST(test_rl_replace__fresh_bucket__armed_timer_stays),
        RL_TEST(test_rl_take__ten_refills__rate_is_exact),
        RL_TEST(test_rl_bucket_spend__full_bucket__tokens_then_nothing_then_refill),
        RL_TEST(test_rl_bucket_spend__no_limit__always),
        RL_TEST(test_rl_save__then_restore__goes_on_unblocked),
        RL_TEST(test_rl_state_start__restored__is_full),
        RL_TEST(test_rl_restore__impossible_state__refused_untouched),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
