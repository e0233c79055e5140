/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot may not be written over: by its name, and by what was opened at that name since.
 * Single thread.
 */
#include "snapshots/snap_own.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

static struct {
    char drive_path[40];
    char other_path[40];
    struct cfg_drive drive;
    struct cfg_vm config;
    struct gmem *gmem;
} fix;

static int make_file(char *path, size_t size)
{
    (void)snprintf(path, size, "/tmp/mayfly-own.XXXXXX");
    FD_AUTO int fd = mkostemp(path, O_CLOEXEC);
    return fd < 0 ? -1 : 0;
}

/* A VM with one drive. */
static int setup(void **state)
{
    (void)state;
    static const struct gmem_range range = {{0}, GMEM_PAGE_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    if (make_file(fix.drive_path, sizeof(fix.drive_path)) < 0 ||
        make_file(fix.other_path, sizeof(fix.other_path)) < 0)
        return -1;
    static char drive_id[] = "root";
    fix.drive = (struct cfg_drive){.drive_id = drive_id, .path_on_host = fix.drive_path};
    fix.config.drives = &fix.drive;
    fix.config.drives_count = 1;
    return gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err);
}

static int teardown(void **state)
{
    (void)state;
    gmem_free(fix.gmem);
    (void)unlink(fix.drive_path);
    (void)unlink(fix.other_path);
    return 0;
}

static int refuse(const char *path, int fd, struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    return snap_own_refuse(&fix.config, fix.gmem, path, fd, "memory", ret_err);
}

static void test_snap_own_refuse__file_of_a_drive__named(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(refuse(fix.drive_path, FD_NONE, &err), -EBUSY);
    assert_non_null(strstr(err.msg, "the file of this VM's drive root"));
}

static void test_snap_own_refuse__nobodys_file_or_none__passes(void **state)
{
    (void)state;
    struct err err;
    assert_int_equal(refuse(fix.other_path, FD_NONE, &err), 0);
    assert_int_equal(unlink(fix.other_path), 0);
    assert_int_equal(refuse(fix.other_path, FD_NONE, &err), 0);
}

/* The name was another's when it was asked for the first time: what was opened counts. */
static void test_snap_own_refuse__opened_file_of_a_drive__refused_by_any_name(void **state)
{
    (void)state;
    struct err err;
    FD_AUTO int fd = open(fix.drive_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(refuse(fix.other_path, fd, &err), -EBUSY);
}

static void test_snap_own_refuse__opened_for_it__its_own_descriptor_is_none_of_the_vms(void **state)
{
    (void)state;
    struct err err;
    FD_AUTO int fd = open(fix.other_path, O_RDWR | O_CLOEXEC);
    assert_int_equal(refuse(fix.other_path, fd, &err), 0);
    FD_AUTO int log = open(fix.other_path, O_RDWR | O_CLOEXEC);
    assert_true(log >= 0);
    assert_int_equal(refuse(fix.other_path, fd, &err), -EBUSY);
    assert_non_null(strstr(err.msg, "a file that this process has open"));
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_own_refuse__file_of_a_drive__named),
        TEST(test_snap_own_refuse__nobodys_file_or_none__passes),
        TEST(test_snap_own_refuse__opened_file_of_a_drive__refused_by_any_name),
        TEST(test_snap_own_refuse__opened_for_it__its_own_descriptor_is_none_of_the_vms),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
