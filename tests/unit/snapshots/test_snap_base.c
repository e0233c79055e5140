/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The identity of a file that is only read: what it finds, what it takes, and when it does not
 * look. Single thread.
 */
#include "snapshots/snap_base.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/unit/unit.h"

#define KIB 1024u
#define LARGE_SIZE (4096 * KIB + 512)
#define SMALL_SIZE (20 * KIB)

static struct {
    char path[64];
    char copy_path[64];
    struct disk disk;
    struct snapf_base base;
    struct cfg_drive drive;
    struct cfg_drive_override override;
} fix;

static char id[] = "base";

static void write_at(const char *path, uint64_t off, const void *bytes, size_t len)
{
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, len, (off_t)off), len);
}

static void make_file(char *path, uint64_t size)
{
    (void)strcpy(path, "/tmp/mayfly-base.XXXXXX");
    FD_AUTO int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    write_at(path, 0, "file system", 11);
}

/* The file as a drive has it, opened now. */
static void open_disk(char *path)
{
    struct err err = ERR_INIT;
    disk_close(&fix.disk);
    assert_int_equal(disk_open(path, true, NULL, NULL, NULL, &fix.disk, &err), 0);
    fix.drive = (struct cfg_drive){.drive_id = id, .path_on_host = path, .is_read_only = true};
    fix.override = (struct cfg_drive_override){.drive_id = id, .path_on_host = path};
}

static void take(uint64_t size)
{
    make_file(fix.path, size);
    make_file(fix.copy_path, size);
    open_disk(fix.path);
    assert_int_equal(snap_base_take(&fix.disk, 0, &fix.base), 0);
}

static int setup(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof(fix));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    disk_close(&fix.disk);
    (void)unlink(fix.path);
    (void)unlink(fix.copy_path);
    return 0;
}

static int check(struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    return snap_base_check(&fix.drive, &fix.disk, &fix.base, &fix.override, ret_err);
}

static void expect_taken(void)
{
    struct err err;
    int rc = check(&err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void expect_refused(const char *path)
{
    struct err err;
    char sentence[ERR_MSG_MAX_SIZE];
    assert_int_equal(check(&err), -EINVAL);
    (void)snprintf(sentence, sizeof(sentence),
                   "drive base: %s is not the file that it was when the snapshot was taken: its "
                   "content differs. Name that one, or say \"force\": true in its "
                   "drive_overrides when the guest is to find this one",
                   path);
    assert_string_equal(err.msg, sentence);
}

static void test_snap_base_check__a_copy__taken(void **state)
{
    (void)state;
    static const uint32_t sizes[] = {0, 1, SMALL_SIZE, 256 * KIB, 256 * KIB + 1, LARGE_SIZE};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        take(sizes[i] < 11 ? 11 : sizes[i]);
        open_disk(fix.copy_path);
        expect_taken();
        (void)unlink(fix.path);
        (void)unlink(fix.copy_path);
    }
}

/* One byte in each part that the digest has: the head up to 128 KiB, the first and the last block,
 * the tail. */
static void test_snap_base_check__another_content__refused(void **state)
{
    (void)state;
    static const uint64_t offs[] = {0,
                                    64 * KIB + 64,
                                    128 * KIB - 1,
                                    128 * KIB,
                                    4028 * KIB, /* the last block */
                                    LARGE_SIZE - 64 * KIB,
                                    LARGE_SIZE - 1};
    take(LARGE_SIZE);
    for (size_t i = 0; i < ARRAY_LEN(offs); i++) {
        char was = offs[i] == 0 ? 'f' : 0;
        write_at(fix.copy_path, offs[i], "!", 1);
        open_disk(fix.copy_path);
        expect_refused(fix.copy_path);
        write_at(fix.copy_path, offs[i], &was, 1);
        open_disk(fix.copy_path);
        expect_taken();
    }
}

static void test_snap_base_check__every_byte_of_a_small_file__counts(void **state)
{
    (void)state;
    take(SMALL_SIZE);
    for (uint64_t off = 0; off < SMALL_SIZE; off += 1021) {
        write_at(fix.copy_path, off, "!", 1);
        open_disk(fix.copy_path);
        expect_refused(fix.copy_path);
        write_at(fix.copy_path, off, off == 0 ? "f" : "", 1);
    }
}

static void test_snap_base_check__written_since__refused(void **state)
{
    (void)state;
    take(SMALL_SIZE);
    expect_taken();
    write_at(fix.path, 100, "!", 1);
    fix.base.ctime_ns--; /* the clock of files is slower than this test */
    open_disk(fix.path);
    expect_refused(fix.path);
}

/* It is the same file, untouched: that the digest is another's does not matter. */
static void test_snap_base_check__untouched__not_read(void **state)
{
    (void)state;
    take(SMALL_SIZE);
    fix.base.digest[0] ^= 1;
    expect_taken();
    fix.base.is_file = false; /* a block device's times say nothing */
    expect_refused(fix.path);
}

static void test_snap_base_check__each_part_of_the_stamp__has_it_read(void **state)
{
    (void)state;
    take(SMALL_SIZE);
    fix.base.digest[0] ^= 1;
    uint64_t *parts[] = {&fix.base.dev, &fix.base.ino, &fix.base.mtime_ns, &fix.base.ctime_ns};
    for (size_t i = 0; i < ARRAY_LEN(parts); i++) {
        (*parts[i])++;
        expect_refused(fix.path);
        (*parts[i])--;
    }
    expect_taken();
}

static void test_snap_base_check__forced__taken_unless_of_another_size(void **state)
{
    (void)state;
    struct err err;
    take(SMALL_SIZE);
    write_at(fix.copy_path, 5, "!", 1);
    open_disk(fix.copy_path);
    fix.override.force = true;
    expect_taken();
    assert_int_equal(truncate(fix.copy_path, SMALL_SIZE + 512), 0);
    open_disk(fix.copy_path);
    fix.override.force = true;
    assert_int_equal(check(&err), -EINVAL);
    assert_non_null(
        strstr(err.msg, "it has 20992 bytes, and that one 20480. Name one of that size"));
}

static void test_snap_base_check__nobody_asked__taken(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    take(SMALL_SIZE);
    write_at(fix.copy_path, 5, "!", 1);
    open_disk(fix.copy_path);
    assert_int_equal(snap_base_check(&fix.drive, &fix.disk, &fix.base, NULL, &err), 0);
    assert_int_equal(snap_base_check(&fix.drive, &fix.disk, NULL, NULL, &err), 0);
    assert_int_equal(snap_base_check(&fix.drive, &fix.disk, NULL, &fix.override, &err), 0);
}

static void test_snap_base_take__became_shorter__fails(void **state)
{
    (void)state;
    take(LARGE_SIZE);
    assert_int_equal(truncate(fix.path, SMALL_SIZE), 0);
    assert_int_equal(snap_base_take(&fix.disk, 0, &fix.base), -EIO);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_snap_base_check__a_copy__taken),
        TEST(test_snap_base_check__another_content__refused),
        TEST(test_snap_base_check__every_byte_of_a_small_file__counts),
        TEST(test_snap_base_check__written_since__refused),
        TEST(test_snap_base_check__untouched__not_read),
        TEST(test_snap_base_check__each_part_of_the_stamp__has_it_read),
        TEST(test_snap_base_check__forced__taken_unless_of_another_size),
        TEST(test_snap_base_check__nobody_asked__taken),
        TEST(test_snap_base_take__became_shorter__fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
