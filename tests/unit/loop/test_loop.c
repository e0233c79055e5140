/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/loop/loop.c: sources, removal while events are being delivered, timers on a
 * clock of our own, stopping from callbacks and from other threads.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "vmm/loop/loop.h"

#define WATCHES_MAX 40

/* One eventfd under watch and what its callback is to do. */
struct watch {
    struct loop_src src;
    struct loop *loop;
    unsigned calls;
    uint32_t revents;
    struct loop_src *remove; /* in the callback */
    bool add_again;          /* after remove */
    bool silence;            /* sets the mask of `remove` to 0 instead */
    bool keep;               /* does not take the event */
    bool stop;
};

struct tick {
    struct loop_timer timer;
    struct loop *loop;
    unsigned calls;
    char mark;
    struct loop_timer *disarm; /* in the callback */
    bool rearm;
    uint64_t rearm_ns;
    bool stop;
};

static uint64_t fake_now_ns;
static char order[64];

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fake_now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now, .ctx = NULL};

static struct loop *make_loop(const struct clock *clock)
{
    struct loop *loop = NULL;

    fake_now_ns = 1000 * NS_PER_S;
    memset(order, 0, sizeof(order));
    assert_int_equal(loop_create(clock, &loop, NULL), 0);
    return loop;
}

static void on_watch(struct loop_src *src, uint32_t revents)
{
    struct watch *watch = src->ctx;

    watch->calls++;
    watch->revents = revents;
    if (!watch->keep)
        assert_int_equal(fd_event_take(src->fd), 1);
    if (watch->remove && watch->silence) {
        assert_int_equal(loop_modify(watch->loop, watch->remove, 0), 0);
    } else if (watch->remove) {
        loop_remove(watch->loop, watch->remove);
        if (watch->add_again)
            assert_int_equal(loop_add(watch->loop, watch->remove), 0);
    }
    if (watch->stop)
        loop_stop(watch->loop);
}

static void watch_init(struct watch *watch, struct loop *loop, bool raised)
{
    *watch = (struct watch){.loop = loop};
    watch->src =
        (struct loop_src){.fd = fd_eventfd(), .events = EPOLLIN, .fn = on_watch, .ctx = watch};
    assert_true(watch->src.fd >= 0);
    assert_int_equal(loop_add(loop, &watch->src), 0);
    if (raised)
        assert_int_equal(fd_event_raise(watch->src.fd), 0);
}

static void watch_done(struct watch *watch)
{
    loop_remove(watch->loop, &watch->src);
    fd_close(&watch->src.fd);
}

static void on_tick(struct loop_timer *timer)
{
    struct tick *tick = timer->ctx;

    tick->calls++;
    assert_false(loop_timer_armed(timer));
    if (tick->mark)
        order[strlen(order)] = tick->mark;
    if (tick->disarm)
        loop_timer_disarm(tick->loop, tick->disarm);
    if (tick->rearm)
        loop_timer_arm(tick->loop, timer, tick->rearm_ns);
    if (tick->stop)
        loop_stop(tick->loop);
}

static void tick_init(struct tick *tick, struct loop *loop, char mark)
{
    *tick = (struct tick){.loop = loop, .mark = mark};
    tick->timer = (struct loop_timer){.fn = on_tick, .ctx = tick};
}

static void test_loop_turn__raised_source__called_once(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;
    struct watch idle;

    watch_init(&watch, loop, true);
    watch_init(&idle, loop, false);
    assert_int_equal(loop_turn(loop, -1), 1);
    assert_int_equal(watch.calls, 1);
    assert_int_equal(watch.revents, EPOLLIN);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(idle.calls, 0);
    watch_done(&watch);
    watch_done(&idle);
    loop_free(loop);
}

static void test_loop_turn__more_than_a_batch__all_served(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watches[WATCHES_MAX];

    for (size_t i = 0; i < WATCHES_MAX; i++)
        watch_init(&watches[i], loop, true);
    assert_int_equal(loop_turn(loop, 0), 32);
    assert_int_equal(loop_turn(loop, 0), WATCHES_MAX - 32);
    for (size_t i = 0; i < WATCHES_MAX; i++) {
        assert_int_equal(watches[i].calls, 1);
        watch_done(&watches[i]);
    }
    loop_free(loop);
}

static void test_loop_add__twice__eexist(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, false);
    assert_int_equal(loop_add(loop, &watch.src), -EEXIST);
    assert_true(watch.src.added);
    watch_done(&watch);
    assert_false(watch.src.added);
    loop_free(loop);
}

static void test_loop_add__bad_or_unpollable_fd__errno(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct loop_src src = {.fd = FD_NONE, .events = EPOLLIN, .fn = on_watch};

    assert_int_equal(loop_add(loop, &src), -EBADF);
    assert_false(src.added);
    src.fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    assert_int_equal(loop_add(loop, &src), -EPERM);
    fd_close(&src.fd);
    loop_free(loop);
}

static void test_loop_modify__mask__events_follow(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, true);
    assert_int_equal(loop_modify(loop, &watch.src, EPOLLOUT | EPOLLIN), 0);
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(watch.revents, EPOLLOUT | EPOLLIN);
    assert_int_equal(loop_modify(loop, &watch.src, EPOLLIN), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    watch_done(&watch);
    assert_int_equal(loop_modify(loop, &watch.src, EPOLLIN), -ENOENT);
    loop_free(loop);
}

static void test_loop_modify__zero_mask__silent_even_for_hang_up(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch = {.loop = loop, .keep = true};
    int ends[2];

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
    watch.src = (struct loop_src){.fd = ends[0], .events = EPOLLIN, .fn = on_watch, .ctx = &watch};
    assert_int_equal(loop_add(loop, &watch.src), 0);
    fd_close(&ends[1]);
    assert_int_equal(loop_modify(loop, &watch.src, 0), 0);
    assert_true(watch.src.added);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(loop_modify(loop, &watch.src, EPOLLIN), 0);
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(watch.revents, EPOLLIN | EPOLLHUP);
    watch_done(&watch);
    loop_free(loop);
}

static void test_loop_add__zero_mask__silent_until_modified(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, true);
    loop_remove(loop, &watch.src);
    watch.src.events = 0;
    assert_int_equal(loop_add(loop, &watch.src), 0);
    assert_int_equal(loop_turn(loop, 0), 0);
    assert_int_equal(loop_modify(loop, &watch.src, EPOLLIN), 0);
    assert_int_equal(loop_turn(loop, 0), 1);
    loop_remove(loop, &watch.src);
    watch.src.events = 0;
    assert_int_equal(loop_add(loop, &watch.src), 0);
    watch_done(&watch);
    loop_free(loop);
}

/* Two raised sources, each doing `what` to the other: only the first one may be called. */
static void check_first_stops_second(bool add_again, bool silence)
{
    struct loop *loop = make_loop(clock_real());
    struct watch pair[2];

    for (size_t i = 0; i < 2; i++)
        watch_init(&pair[i], loop, true);
    for (size_t i = 0; i < 2; i++) {
        pair[i].remove = &pair[1 - i].src;
        pair[i].add_again = add_again;
        pair[i].silence = silence;
    }
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(pair[0].calls + pair[1].calls, 1);
    /* Re-added, the other one is still raised: a fresh event, delivered by the next turn. */
    assert_int_equal(loop_turn(loop, 0), add_again ? 1 : 0);
    for (size_t i = 0; i < 2; i++)
        watch_done(&pair[i]);
    loop_free(loop);
}

static void test_loop_remove__other_source_in_batch__not_called(void **state)
{
    (void)state;
    check_first_stops_second(false, false);
}

static void test_loop_remove__other_source_added_again__old_event_not_delivered(void **state)
{
    (void)state;
    check_first_stops_second(true, false);
}

static void test_loop_modify__other_source_in_batch_silenced__not_called(void **state)
{
    (void)state;
    check_first_stops_second(false, true);
}

static void test_loop_remove__own_source__not_called_again(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, true);
    watch.keep = true;
    watch.remove = &watch.src;
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(loop_turn(loop, 0), 0);
    loop_remove(loop, &watch.src); /* not added is fine */
    watch_done(&watch);
    loop_free(loop);
}

static void on_nested(struct loop_src *src, uint32_t revents)
{
    (void)revents;
    struct watch *watch = src->ctx;

    assert_int_equal(loop_turn(watch->loop, 0), -EBUSY);
    watch->calls++;
    assert_int_equal(fd_event_take(src->fd), 1);
}

static void test_loop_turn__from_callback__refused(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, true);
    watch.src.fn = on_nested;
    assert_int_equal(loop_turn(loop, 0), 1);
    assert_int_equal(watch.calls, 1);
    watch_done(&watch);
    loop_free(loop);
}

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

static void test_loop_run__stop_in_callback__rest_of_batch_waits(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch pair[2];

    for (size_t i = 0; i < 2; i++) {
        watch_init(&pair[i], loop, true);
        pair[i].stop = true;
    }
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(pair[0].calls + pair[1].calls, 1);
    /* The stop is used up; the event that was left comes again. */
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(pair[0].calls, 1);
    assert_int_equal(pair[1].calls, 1);
    for (size_t i = 0; i < 2; i++)
        watch_done(&pair[i]);
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

static void test_loop_stop__before_run__returns_at_once(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    struct watch watch;

    watch_init(&watch, loop, true);
    errno = ERANGE;
    loop_stop(loop);
    loop_stop(loop);
    assert_int_equal(errno, ERANGE);
    assert_int_equal(loop_turn(loop, -1), 0);
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(watch.calls, 0);
    assert_int_equal(loop_turn(loop, 0), 1);
    watch_done(&watch);
    loop_free(loop);
}

static void *stop_thread(void *arg)
{
    (void)usleep(2000);
    loop_stop(arg);
    return NULL;
}

static void test_loop_stop__other_thread__wakes_the_wait(void **state)
{
    (void)state;
    struct loop *loop = make_loop(clock_real());
    pthread_t thread;

    assert_int_equal(pthread_create(&thread, NULL, stop_thread, loop), 0);
    assert_int_equal(loop_run(loop, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    loop_free(loop);
}

static void test_loop_create__no_fd_left__sentence(void **state)
{
    (void)state;
    struct loop *loop = NULL;
    struct err err = ERR_INIT;
    int fds[4096];
    size_t count = 0;

    while (count < ARRAY_LEN(fds) && (fds[count] = dup(0)) >= 0)
        count++;
    if (count < ARRAY_LEN(fds)) {
        assert_int_equal(loop_create(&fake_clock, &loop, &err), -EMFILE);
        assert_string_equal(err.msg, "Cannot create the event loop: "
                                     "No file descriptors available (os error 24)");
        /* One fd: the epoll instance works, the stop eventfd does not. */
        fd_close(&fds[--count]);
        assert_int_equal(loop_create(&fake_clock, &loop, &err), -EMFILE);
        assert_null(loop);
        int probe = dup(0);
        assert_true(probe >= 0);
        fd_close(&probe);
    }
    while (count > 0)
        fd_close(&fds[--count]);
    loop_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_loop_turn__raised_source__called_once),
        cmocka_unit_test(test_loop_turn__more_than_a_batch__all_served),
        cmocka_unit_test(test_loop_add__twice__eexist),
        cmocka_unit_test(test_loop_add__bad_or_unpollable_fd__errno),
        cmocka_unit_test(test_loop_modify__mask__events_follow),
        cmocka_unit_test(test_loop_modify__zero_mask__silent_even_for_hang_up),
        cmocka_unit_test(test_loop_add__zero_mask__silent_until_modified),
        cmocka_unit_test(test_loop_remove__other_source_in_batch__not_called),
        cmocka_unit_test(test_loop_remove__other_source_added_again__old_event_not_delivered),
        cmocka_unit_test(test_loop_modify__other_source_in_batch_silenced__not_called),
        cmocka_unit_test(test_loop_remove__own_source__not_called_again),
        cmocka_unit_test(test_loop_turn__from_callback__refused),
        cmocka_unit_test(test_loop_timer__due_times__fire_in_order_not_early),
        cmocka_unit_test(test_loop_timer_arm__armed_already__moved),
        cmocka_unit_test(test_loop_timer_disarm__armed_or_not__never_fires),
        cmocka_unit_test(test_loop_timer_disarm__due_one_from_callback__not_fired),
        cmocka_unit_test(test_loop_timer_arm__without_delay_in_own_callback__once_a_turn),
        cmocka_unit_test(test_loop_timer_arm__endless_delay_or_clock_at_zero__armed),
        cmocka_unit_test(test_loop_turn__real_timer__waits_not_early_not_long),
        cmocka_unit_test(test_loop_turn__timeout_before_timer__no_callback),
        cmocka_unit_test(test_loop_run__stop_in_callback__rest_of_batch_waits),
        cmocka_unit_test(test_loop_run__stop_in_timer__later_timers_wait),
        cmocka_unit_test(test_loop_stop__before_run__returns_at_once),
        cmocka_unit_test(test_loop_stop__other_thread__wakes_the_wait),
        cmocka_unit_test(test_loop_create__no_fd_left__sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
