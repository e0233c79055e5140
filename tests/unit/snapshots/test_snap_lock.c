/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of a memory file: many live from it, or one writes it. Single thread.
 */
#include "snapshots/snap_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

static struct {
    int writer; /* the same file, opened three times: as three processes have it */
    int one;
    int other;
} fix;

static int setup(void **state)
{
    (void)state;
    char path[] = "/tmp/mayfly-lock.XXXXXX";
    fix.writer = mkostemp(path, O_CLOEXEC);
    fix.one = open(path, O_RDONLY | O_CLOEXEC);
    fix.other = open(path, O_RDONLY | O_CLOEXEC);
    return fix.writer < 0 || fix.one < 0 || fix.other < 0 ? -1 : unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&fix.writer);
    fd_close(&fix.one);
    fd_close(&fix.other);
    return 0;
}

static void test_snap_lock_live__lived_from_by_another__taken(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_live(fix.one), 0);
    assert_int_equal(snap_lock_live(fix.other), 0);
}

static void test_snap_lock_write__another_lives_from_it__busy_until_that_is_closed(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_live(fix.other), 0);
    assert_int_equal(snap_lock_write(fix.writer, fix.writer), -EBUSY);
    fd_close(&fix.other);
    assert_int_equal(snap_lock_write(fix.writer, fix.writer), 0);
}

/* The one that is refused lives from it as before: the other's try fails, too. */
static void test_snap_lock_write__lives_from_it_with_another__busy_and_both_live_on(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_live(fix.one), 0);
    assert_int_equal(snap_lock_live(fix.other), 0);
    assert_int_equal(snap_lock_write(fix.writer, fix.one), -EBUSY);
    assert_int_equal(snap_lock_write(fix.writer, fix.other), -EBUSY);
}

static void test_snap_lock_write__lives_from_it_alone__taken_and_nobody_comes(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_live(fix.one), 0);
    assert_int_equal(snap_lock_write(fix.writer, fix.one), 0);
    assert_int_equal(snap_lock_live(fix.other), -EBUSY);
    fd_close(&fix.writer);
    assert_int_equal(snap_lock_live(fix.other), 0);
}

static void test_snap_lock_write__two_writers__the_second_is_busy(void **state)
{
    (void)state;
    char path[64];
    (void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fix.writer);
    FD_AUTO int second = open(path, O_RDWR | O_CLOEXEC);
    assert_true(second >= 0);
    assert_int_equal(snap_lock_write(fix.writer, fix.writer), 0);
    assert_int_equal(snap_lock_write(second, second), -EBUSY);
}

/* As a file system that has none. */
static void test_snap_lock__no_locks_there__nobody_is_kept_out(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_live(FD_NONE), 0);
    assert_int_equal(snap_lock_write(FD_NONE, FD_NONE), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_lock_live__lived_from_by_another__taken),
        TEST(test_snap_lock_write__another_lives_from_it__busy_until_that_is_closed),
        TEST(test_snap_lock_write__lives_from_it_with_another__busy_and_both_live_on),
        TEST(test_snap_lock_write__lives_from_it_alone__taken_and_nobody_comes),
        TEST(test_snap_lock_write__two_writers__the_second_is_busy),
        TEST(test_snap_lock__no_locks_there__nobody_is_kept_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
