/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/app/flush.c on a clock of their own: when a metrics line is written. Metrics
 * open once in a process: the file is the process's, each test looks at what came behind. Single
 * thread.
 */
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tests/unit/unit.h"
#include "vmm/app/flush.h"

#define MINUTE_NS (60 * NS_PER_S)

static char path[] = "/tmp/mayfly-flush-XXXXXX";
static uint64_t fake_now_ns = NS_PER_S;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fake_now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now};

/* A VM that was never started, and how long the file was then. */
struct fixture {
    struct loop *loop;
    struct app_flush flush;
    uint64_t before;
};

static uint64_t flushes(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (uint64_t)st.st_size;
}

static void fixture_make(struct fixture *fixture)
{
    struct err err = ERR_INIT;
    assert_int_equal(loop_create(&fake_clock, &fixture->loop, &err), 0);
    app_flush_init(&fixture->flush, fixture->loop);
    fixture->before = flushes();
}

/* Lets time pass. Were there lines since the last look? */
static bool wrote_in(struct fixture *fixture, uint64_t ns)
{
    fake_now_ns += ns;
    assert_true(loop_turn(fixture->loop, 0) >= 0);
    uint64_t now = flushes();
    bool wrote = now > fixture->before;
    fixture->before = now;
    return wrote;
}

static void test_app_flush__not_started__nothing(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_make(&fixture);
    app_flush_on_state(&fixture.flush, CTL_STATE_NOT_STARTED);
    assert_false(wrote_in(&fixture, 10 * MINUTE_NS));
    loop_free(fixture.loop);
}

static void test_app_flush__runs__at_once_and_every_minute(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_make(&fixture);
    app_flush_on_state(&fixture.flush, CTL_STATE_RUNNING);
    assert_true(wrote_in(&fixture, 0));
    for (int minute = 0; minute < 3; minute++) {
        assert_false(wrote_in(&fixture, MINUTE_NS - 1));
        assert_true(wrote_in(&fixture, 1));
    }
    loop_free(fixture.loop);
}

static void test_app_flush__paused__rests_until_a_minute_after_resuming(void **state)
{
    (void)state;
    struct fixture fixture;
    fixture_make(&fixture);
    app_flush_on_state(&fixture.flush, CTL_STATE_RUNNING);
    assert_true(wrote_in(&fixture, MINUTE_NS / 2));
    app_flush_on_state(&fixture.flush, CTL_STATE_PAUSED);
    assert_false(wrote_in(&fixture, 10 * MINUTE_NS));
    app_flush_on_state(&fixture.flush, CTL_STATE_RUNNING);
    assert_false(wrote_in(&fixture, MINUTE_NS - 1));
    assert_true(wrote_in(&fixture, 1));
    loop_free(fixture.loop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_flush__not_started__nothing),
        cmocka_unit_test(test_app_flush__runs__at_once_and_every_minute),
        cmocka_unit_test(test_app_flush__paused__rests_until_a_minute_after_resuming),
    };
    struct err err = ERR_INIT;
    int fd = mkstemp(path);
    if (fd < 0 || close(fd) < 0 || metrics_open(path, &err) < 0)
        return 1;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    (void)unlink(path);
    return failed;
}
