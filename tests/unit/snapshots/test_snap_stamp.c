/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The stamp by which a load knows its memory file: what keeps it, and what does not. Single thread.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/snap_stamp.h"
#include "tests/unit/unit.h"

struct fixture {
    int fd;
    struct snapf_stamp stamp;
    struct stat before;
};

/* A file with a stamp. */
static int setup(void **state)
{
    static struct fixture fixture;
    char path[] = "/tmp/mayfly-stamp-XXXXXX";
    fixture.fd = mkostemp(path, O_CLOEXEC);
    if (fixture.fd < 0 || unlink(path) < 0 || write(fixture.fd, "memory", 6) != 6 ||
        fstat(fixture.fd, &fixture.before) < 0)
        return -1;
    snap_stamp_set(fixture.fd, &fixture.stamp);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    fd_close(&fixture->fd);
    return 0;
}

static bool has_stamp(const struct fixture *fixture)
{
    struct stat stat;
    assert_int_equal(fstat(fixture->fd, &stat), 0);
    return snap_stamp_is(&stat, &fixture->stamp);
}

static void test_snap_stamp__untouched__kept(void **state)
{
    struct fixture *fixture = *state;
    assert_true(fixture->stamp.s != 0);
    assert_true(has_stamp(fixture));
    assert_int_equal(fsync(fixture->fd), 0);
    assert_true(has_stamp(fixture));
}

static void test_snap_stamp__time__of_the_last_seconds(void **state)
{
    struct fixture *fixture = *state;
    uint64_t now_s = (uint64_t)fixture->before.st_mtim.tv_sec;
    assert_in_range(fixture->stamp.s, now_s - 2, now_s + 2);
    assert_true(fixture->stamp.ns < 1000000000);
}

static void test_snap_stamp__written_to__gone(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(pwrite(fixture->fd, "M", 1, 0), 1);
    assert_false(has_stamp(fixture));
}

static void test_snap_stamp__longer_by_a_hole__gone(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(ftruncate(fixture->fd, 4096), 0);
    assert_false(has_stamp(fixture));
}

static void test_snap_stamp__two_in_a_row__differ(void **state)
{
    struct fixture *fixture = *state;
    struct snapf_stamp second;
    snap_stamp_set(fixture->fd, &second);
    assert_true(second.s != fixture->stamp.s || second.ns != fixture->stamp.ns);
    assert_false(has_stamp(fixture));
}

static void test_snap_stamp__none__no_file_has_it(void **state)
{
    struct fixture *fixture = *state;
    const struct snapf_stamp none = {0};
    struct stat stat = {0};
    assert_false(snap_stamp_is(&stat, &none));
    assert_int_equal(fstat(fixture->fd, &stat), 0);
    assert_false(snap_stamp_is(&stat, &none));
}

static void test_snap_stamp_set__file_that_has_no_times__none(void **state)
{
    (void)state;
    struct snapf_stamp stamp = {.s = 1};
    snap_stamp_set(FD_NONE, &stamp);
    assert_true(stamp.s == 0 && stamp.ns == 0);
}

#define STAMPED(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAMPED(test_snap_stamp__untouched__kept),
        STAMPED(test_snap_stamp__time__of_the_last_seconds),
        STAMPED(test_snap_stamp__written_to__gone),
        STAMPED(test_snap_stamp__longer_by_a_hole__gone),
        STAMPED(test_snap_stamp__two_in_a_row__differ),
        STAMPED(test_snap_stamp__none__no_file_has_it),
        cmocka_unit_test(test_snap_stamp_set__file_that_has_no_times__none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
