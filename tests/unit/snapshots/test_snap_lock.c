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
    int one; /* the same file, opened twice: as two processes have it */
    int other;
} fix;

static int setup(void **state)
{
    (void)state;
    char path[] = "/tmp/mayfly-lock.XXXXXX";
    fix.one = mkostemp(path, O_CLOEXEC);
    fix.other = open(path, O_RDONLY | O_CLOEXEC);
    return fix.one < 0 || fix.other < 0 ? -1 : unlink(path);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&fix.one);
    fd_close(&fix.other);
    return 0;
}

static void test_snap_lock_shared__shared_by_another__taken(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_shared(fix.one), 0);
    assert_int_equal(snap_lock_shared(fix.other), 0);
}

static void test_snap_lock_alone__shared_by_another__busy_until_that_is_closed(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_shared(fix.other), 0);
    assert_int_equal(snap_lock_alone(fix.one), -EBUSY);
    fd_close(&fix.other);
    assert_int_equal(snap_lock_alone(fix.one), 0);
}

static void test_snap_lock_shared__another_has_it_alone__busy_until_that_shares(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_alone(fix.other), 0);
    assert_int_equal(snap_lock_shared(fix.one), -EBUSY);
    assert_int_equal(snap_lock_shared(fix.other), 0);
    assert_int_equal(snap_lock_shared(fix.one), 0);
}

/* As a file system that has none. */
static void test_snap_lock__no_locks_there__nobody_is_kept_out(void **state)
{
    (void)state;
    assert_int_equal(snap_lock_shared(FD_NONE), 0);
    assert_int_equal(snap_lock_alone(FD_NONE), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_lock_shared__shared_by_another__taken),
        TEST(test_snap_lock_alone__shared_by_another__busy_until_that_is_closed),
        TEST(test_snap_lock_shared__another_has_it_alone__busy_until_that_shares),
        TEST(test_snap_lock__no_locks_there__nobody_is_kept_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
