/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of disk_open: which files may be disks, size, serial id, and the sentences.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "devices/backend/disk.h"
#include "tests/unit/backend/disk_fixture.h"

static char folder[FIXTURE_PATH_MAX];

static int group_setup(void **state)
{
    (void)state;
    (void)snprintf(folder, sizeof(folder), "/tmp/mayfly-open-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Opens on the Sync engine, which must fail; returns the errno; the sentence must hold `part`. */
static int open_fails(const char *path, bool read_only, const char *part)
{
    struct err err = ERR_INIT;
    struct disk disk = {0};
    int rc = disk_open(path, read_only, NULL, NULL, NULL, &disk, &err);
    assert_true(rc < 0);
    assert_int_equal(err.code, rc);
    assert_null(disk.ops);
    if (!strstr(err.msg, part))
        fail_msg("\"%s\" lacks \"%s\"", err.msg, part);
    return -rc;
}

static void test_disk_open__missing__errno_text_and_path(void **state)
{
    (void)state;
    char want[256];
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/none", folder);
    (void)snprintf(want, sizeof(want), "No such file or directory (os error 2) %s", path);
    struct err err = ERR_INIT;
    struct disk disk;
    assert_int_equal(disk_open(path, false, NULL, NULL, NULL, &disk, &err), -ENOENT);
    assert_string_equal(err.msg, want);
}

static void test_disk_open__directory__refused_both_ways(void **state)
{
    (void)state;
    assert_int_equal(open_fails(folder, false, "Is a directory (os error 21)"), EISDIR);
    assert_int_equal(open_fails(folder, true, "Is a directory (os error 21)"), EISDIR);
}

static void test_disk_open__fifo__refused_without_blocking(void **state)
{
    (void)state;
    char path[128];
    (void)snprintf(path, sizeof(path), "%s/fifo", folder);
    assert_int_equal(mkfifo(path, 0600), 0);
    assert_int_equal(open_fails(path, true, "instead of a FIFO."), EINVAL);
    assert_int_equal(open_fails(path, false, "instead of a FIFO."), EINVAL);
    unlink(path);
}

static void test_disk_open__socket__refused(void **state)
{
    (void)state;
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s/sock", folder);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(open_fails(addr.sun_path, false, "instead of a socket."), EINVAL);
    unlink(addr.sun_path);
    close(fd);
}

static void test_disk_open__character_device__refused(void **state)
{
    (void)state;
    assert_int_equal(open_fails("/dev/null", false,
                                "/dev/null: a disk is a regular file or a block device, name one "
                                "instead of a character device."),
                     EINVAL);
    assert_int_equal(open_fails("/dev/full", true,
                                "/dev/full: a disk is a regular file or a block device, name one "
                                "instead of a character device."),
                     EINVAL);
}

static void test_disk_open__no_permission__eacces(void **state)
{
    (void)state;
    char path[FIXTURE_PATH_MAX];
    uid_t uid = geteuid();
    fixture_make_file(path, 512);
    assert_int_equal(chmod(path, 0400), 0);
    if (uid == 0)
        assert_int_equal(seteuid(65534), 0); /* root may open everything */
    int code = open_fails(path, false, "Permission denied (os error 13)");
    assert_int_equal(seteuid(uid), 0);
    assert_int_equal(code, EACCES);
    unlink(path);
}

static void test_disk_open__any_size__sectors_rounded_down(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {0, 1, 511, 512, 513, 4096, (1ull << 40) + 700};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        char path[FIXTURE_PATH_MAX];
        struct disk disk;
        fixture_make_file(path, sizes[i]);
        assert_int_equal(disk_open(path, i % 2, NULL, NULL, NULL, &disk, NULL), 0);
        assert_int_equal(disk.size, sizes[i]);
        assert_int_equal(disk.sectors_count, sizes[i] / 512);
        assert_int_equal(disk.read_only, i % 2);
        disk_close(&disk);
        unlink(path);
    }
}

static void test_disk_open__serial__device_and_inode_in_decimal(void **state)
{
    (void)state;
    char path[FIXTURE_PATH_MAX];
    struct stat st;
    struct disk disk;
    fixture_make_file(path, 512);
    assert_int_equal(stat(path, &st), 0);
    char text[64] = {0};
    (void)snprintf(text, sizeof(text), "%lu%lu%lu", (unsigned long)st.st_dev,
                   (unsigned long)st.st_rdev, (unsigned long)st.st_ino);
    assert_int_equal(disk_open(path, false, NULL, NULL, NULL, &disk, NULL), 0);
    assert_memory_equal(disk.serial, text, DISK_SERIAL_SIZE);
    disk_close(&disk);
    unlink(path);
}

static void test_disk_open__file_flags__cloexec_and_blocking(void **state)
{
    (void)state;
    char path[FIXTURE_PATH_MAX];
    struct disk disk;
    fixture_make_file(path, 512);
    int next = dup(0);
    close(next);
    assert_int_equal(disk_open(path, false, NULL, NULL, NULL, &disk, NULL), 0);
    assert_int_equal(fcntl(next, F_GETFD), FD_CLOEXEC);
    assert_int_equal(fcntl(next, F_GETFL) & (O_NONBLOCK | O_ACCMODE), O_RDWR);
    disk_close(&disk);
    assert_int_equal(fcntl(next, F_GETFD), -1);
    unlink(path);
}

static void test_disk_close__zeroed__fine(void **state)
{
    (void)state;
    struct disk disk = {0};
    disk_close(&disk);
    assert_null(disk.ops);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_disk_open__missing__errno_text_and_path),
        cmocka_unit_test(test_disk_open__directory__refused_both_ways),
        cmocka_unit_test(test_disk_open__fifo__refused_without_blocking),
        cmocka_unit_test(test_disk_open__socket__refused),
        cmocka_unit_test(test_disk_open__character_device__refused),
        cmocka_unit_test(test_disk_open__no_permission__eacces),
        cmocka_unit_test(test_disk_open__any_size__sectors_rounded_down),
        cmocka_unit_test(test_disk_open__serial__device_and_inode_in_decimal),
        cmocka_unit_test(test_disk_open__file_flags__cloexec_and_blocking),
        cmocka_unit_test(test_disk_close__zeroed__fine),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
