/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the timers of vmm/loop/loop.c, most of them on a clock of our own. Single thread.
 */
#include "tests/unit/loop/loop_fixture.h"

static void test_loop_timer__due_times__fire_in_order_not_early(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick ticks[4];

    for (size_t i = 0; i < ARRAY_LEN(ticks); i++)
        tick_init(&ticks[i], loop, "abcd"[i]);
    loop_timer_arm(loop, &ticks[0].timer, 30 * NS_PER_MS);
    loop_timer_arm(loop, &ticks[1].timer, 10 * NS_PER_MS);
    loop_timer_arm(loop, &ticks[2].timer, 20 * NS_PER_MS);
    loop_timer_arm(loop, &ticks[3].timer, 10 * NS_PER_MS);
    fake_now_ns += 10 * NS_PER_MS - 1;
    assert_int_equal(loop_turn(loop, 0), 0);
    fake_now_ns += 1;
    assert_int_equal(loop_turn(loop, 0), 2);
    assert_string_equal(order, "bd");
    fake_now_ns += NS_PER_S;
    assert_int_equal(loop_turn(loop, -1), 2);
    assert_string_equal(order, "bdca");
    loop_free(loop);
}

static void test_loop_timer_arm__armed_already__moved(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick tick;

    tick_init(&tick, loop, 'a');
    loop_timer_arm(loop, &tick.timer, 10);
    loop_timer_arm(loop, &tick.timer, 30);
    assert_true(loop_timer_armed(&tick.timer));
    fake_now_ns += 20;
    assert_int_equal(loop_turn(loop, 0), 0);
    fake_now_ns += 10;
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(tick.calls, 1);
    assert_false(loop_timer_armed(&tick.timer));
    loop_free(loop);
}

static void test_loop_timer_disarm__armed_or_not__never_fires(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick ticks[3];

    for (size_t i = 0; i < ARRAY_LEN(ticks); i++) {
        tick_init(&ticks[i], loop, "abc"[i]);
        loop_timer_arm(loop, &ticks[i].timer, 5);
    }
    loop_timer_disarm(loop, &ticks[1].timer);
    loop_timer_disarm(loop, &ticks[1].timer);
    fake_now_ns += 5;
    assert_int_equal(loop_turn(loop, 0), 2);
    assert_string_equal(order, "ac");
    loop_free(loop);
}

static void test_loop_timer_disarm__due_one_from_callback__not_fired(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick first;
    struct tick second;

    tick_init(&first, loop, 'a');
    tick_init(&second, loop, 'b');
    first.disarm = &second.timer;
    loop_timer_arm(loop, &first.timer, 5);
    loop_timer_arm(loop, &second.timer, 5);
    fake_now_ns += 5;
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(second.calls, 0);
    loop_free(loop);
}

static void test_loop_timer_arm__without_delay_in_own_callback__once_a_turn(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick tick;

    tick_init(&tick, loop, 'a');
    tick.rearm = true;
    loop_timer_arm(loop, &tick.timer, 0);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(tick.calls, 2);
    loop_free(loop);
}

static void test_loop_timer_arm__endless_delay_or_clock_at_zero__armed(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick far;
    struct tick near;

    tick_init(&far, loop, 'f');
    tick_init(&near, loop, 'n');
    loop_timer_arm(loop, &far.timer, UINT64_MAX);
    assert_true(far.timer.due_ns == UINT64_MAX);
    assert_int_equal(loop_turn(loop, 1), 0);
    fake_now_ns = 0;
    loop_timer_arm(loop, &near.timer, 0);
    assert_true(loop_timer_armed(&near.timer));
    fake_now_ns = 1;
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_string_equal(order, "n");
    loop_free(loop);
}

static void test_loop_turn__real_timer__waits_not_early_not_long(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct tick tick;
    uint64_t start_ns = clock_mono_ns();

    tick_init(&tick, loop, 'a');
    loop_timer_arm(loop, &tick.timer, 3 * NS_PER_MS + 200 * NS_PER_US);
    while (tick.calls == 0)
        assert_true(loop_turn(loop, -1) >= 0);
    uint64_t took_ns = clock_mono_ns() - start_ns;
    assert_true(took_ns >= 3 * NS_PER_MS + 200 * NS_PER_US);
    assert_true(took_ns < 500 * NS_PER_MS);
    loop_free(loop);
}

static void test_loop_turn__timeout_before_timer__no_callback(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct tick tick;

    tick_init(&tick, loop, 'a');
    loop_timer_arm(loop, &tick.timer, 3600 * NS_PER_S);
    assert_int_equal(loop_turn(loop, 2), 0);
    loop_timer_disarm(loop, &tick.timer);
    loop_free(loop);
}

static void test_loop_run__stop_in_timer__later_timers_wait(void **state)
{
    (void)state;
    struct loop *loop = make_loop(&fake_clock);
    struct tick first;
    struct tick second;

    tick_init(&first, loop, 'a');
    tick_init(&second, loop, 'b');
    first.stop = true;
    loop_timer_arm(loop, &first.timer, 0);
    loop_timer_arm(loop, &second.timer, 0);
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_string_equal(order, "a");
    assert_true(loop_timer_armed(&second.timer));
    loop_free(loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop_timer__due_times__fire_in_order_not_early),
        cmocka_unit_test(test_loop_timer_arm__armed_already__moved),
        cmocka_unit_test(test_loop_timer_disarm__armed_or_not__never_fires),
        cmocka_unit_test(test_loop_timer_disarm__due_one_from_callback__not_fired),
        cmocka_unit_test(test_loop_timer_arm__without_delay_in_own_callback__once_a_turn),
        cmocka_unit_test(test_loop_timer_arm__endless_delay_or_clock_at_zero__armed),
        cmocka_unit_test(test_loop_turn__real_timer__waits_not_early_not_long),
        cmocka_unit_test(test_loop_turn__timeout_before_timer__no_callback),
        cmocka_unit_test(test_loop_run__stop_in_timer__later_timers_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
