/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/loop/loop.c: sources, removal while events are being delivered, stopping from
 * callbacks and from other threads. Timers stand in test_loop_timer.c.
 */
#include "tests/unit/loop/loop_fixture.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/socket.h>
#include <unistd.h>

#define WATCHES_MAX 40

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
        cmocka_unit_test(test_loop_run__stop_in_callback__rest_of_batch_waits),
        cmocka_unit_test(test_loop_stop__before_run__returns_at_once),
        cmocka_unit_test(test_loop_stop__other_thread__wakes_the_wait),
        cmocka_unit_test(test_loop_create__no_fd_left__sentence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
