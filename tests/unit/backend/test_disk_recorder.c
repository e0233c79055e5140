/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of the durability recorder (tests/lib/disk_recorder.h), on both engines: what a power
 * cut leaves, and that a flush which does nothing is found out.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tests/lib/disk_recorder.h"
#include "tests/unit/backend/disk_fixture.h"

#define FILE_SIZE (64u * 1024u)
#define BLOCK_SIZE 4096u

struct recorded {
    struct disk_fixture fx;
    char log_path[FIXTURE_PATH_MAX];
    char image_path[FIXTURE_PATH_MAX]; /* the disk as it was before: zeros */
    struct disk_recorder_counts counts;
    struct err err;
};

static struct recorded recorded;
static const enum engine engines[] = {ENGINE_SYNC, ENGINE_ASYNC, ENGINE_ASYNC_RING};

static int setup(void **state)
{
    const enum engine *engine = *state;
    recorded = (struct recorded){0};
    fixture_open(&recorded.fx, *engine, FILE_SIZE);
    fixture_make_file(recorded.log_path, 0);
    fixture_make_file(recorded.image_path, FILE_SIZE);
    *state = &recorded;
    return 0;
}

static int teardown(void **state)
{
    struct recorded *rec = *state;
    fixture_close(&rec->fx);
    unlink(rec->log_path);
    unlink(rec->image_path);
    return 0;
}

static void record(struct recorded *rec, bool broken_flush)
{
    const struct disk_recorder_options options = {.log_path = rec->log_path,
                                                  .broken_flush = broken_flush};
    assert_int_equal(disk_recorder_wrap(&rec->fx.disk, &options, NULL), 0);
}

static void write_block(struct recorded *rec, uint32_t block, char mark)
{
    char buf[BLOCK_SIZE];
    memset(buf, mark, sizeof(buf));
    assert_int_equal(fixture_io(&rec->fx, DISK_WRITE, buf, sizeof(buf), block * BLOCK_SIZE),
                     sizeof(buf));
}

static void flush(struct recorded *rec)
{
    assert_int_equal(fixture_io(&rec->fx, DISK_FLUSH, NULL, 0, 0), 0);
}

/* The marks of the first blocks of a file, NUL as '.'. */
static void expect_marks(const char *path, const char *marks)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    assert_true(fd >= 0);
    for (uint32_t i = 0; marks[i]; i++) {
        char want[BLOCK_SIZE];
        char buf[BLOCK_SIZE];
        memset(want, marks[i] == '.' ? 0 : marks[i], sizeof(want));
        assert_int_equal(pread(fd, buf, sizeof(buf), (off_t)(i * BLOCK_SIZE)), sizeof(buf));
        assert_memory_equal(buf, want, sizeof(buf));
    }
    close(fd);
}

static void replay(struct recorded *rec)
{
    disk_close(&rec->fx.disk);
    if (disk_recorder_replay(rec->log_path, rec->image_path, &rec->counts, &rec->err) < 0)
        fail_msg("replay: %s", rec->err.msg);
}

static void test_disk_recorder__writes_behind_the_last_flush__dropped(void **state)
{
    struct recorded *rec = *state;
    record(rec, false);
    write_block(rec, 0, 'a');
    write_block(rec, 1, 'b');
    flush(rec);
    write_block(rec, 0, 'A');
    write_block(rec, 2, 'c');
    flush(rec);
    write_block(rec, 1, 'B');
    write_block(rec, 3, 'd');
    replay(rec);
    expect_marks(rec->fx.path, "ABcd");
    expect_marks(rec->image_path, "Abc..");
    assert_int_equal(rec->counts.writes_kept, 4);
    assert_int_equal(rec->counts.writes_dropped, 2);
    assert_int_equal(rec->counts.bytes_kept, 4 * BLOCK_SIZE);
    assert_int_equal(rec->counts.flushes, 2);
}

static void test_disk_recorder__no_flush__nothing_kept(void **state)
{
    struct recorded *rec = *state;
    record(rec, false);
    write_block(rec, 0, 'a');
    replay(rec);
    expect_marks(rec->image_path, "..");
    assert_int_equal(rec->counts.writes_dropped, 1);
}

static void test_disk_recorder__broken_flush__answered_and_found_out(void **state)
{
    struct recorded *rec = *state;
    record(rec, true);
    write_block(rec, 0, 'a');
    flush(rec);
    replay(rec);
    expect_marks(rec->fx.path, "a.");
    expect_marks(rec->image_path, "..");
    assert_int_equal(rec->counts.flushes, 0);
}

static void test_disk_recorder__reads__passed_on_not_logged(void **state)
{
    struct recorded *rec = *state;
    char buf[BLOCK_SIZE];
    write_block(rec, 0, 'r');
    record(rec, false);
    assert_int_equal(fixture_io(&rec->fx, DISK_READ, buf, sizeof(buf), 0), sizeof(buf));
    assert_int_equal(buf[7], 'r');
    replay(rec);
    assert_int_equal(rec->counts.writes_kept + rec->counts.writes_dropped, 0);
}

/* A write that completes while a flush is under way is not covered by it. Async only: Sync has no
 * such moment. */
static void test_disk_recorder__write_during_a_flush__not_covered(void **state)
{
    struct recorded *rec = *state;
    record(rec, false);
    write_block(rec, 0, 'a');
    struct disk_req req = {.op = DISK_FLUSH};
    /* Started, and not submitted before the write below. */
    assert_int_equal(disk_start(&rec->fx.disk, &req), 0);
    char buf[BLOCK_SIZE];
    memset(buf, 'b', sizeof(buf));
    const struct iovec iov = {buf, sizeof(buf)};
    struct disk_req write = {
        .op = DISK_WRITE, .off = BLOCK_SIZE, .iov = &iov, .iov_count = 1, .len = sizeof(buf)};
    assert_in_range(disk_start(&rec->fx.disk, &write), 0, 1);
    assert_int_equal(disk_drain(&rec->fx.disk), 0);
    while (disk_reap(&rec->fx.disk))
        continue;
    replay(rec);
    expect_marks(rec->image_path, "a..");
}

static void test_disk_recorder__killed_in_a_record__rest_is_used(void **state)
{
    struct recorded *rec = *state;
    record(rec, false);
    write_block(rec, 0, 'a');
    flush(rec);
    write_block(rec, 1, 'b');
    flush(rec);
    disk_close(&rec->fx.disk);
    int fd = open(rec->log_path, O_RDWR | O_CLOEXEC);
    assert_true(fd >= 0);
    off_t size = lseek(fd, 0, SEEK_END);
    assert_int_equal(ftruncate(fd, size - 1), 0); /* the last flush is no longer known to be done */
    assert_int_equal(disk_recorder_replay(rec->log_path, rec->image_path, &rec->counts, NULL), 0);
    expect_marks(rec->image_path, "a..");
    /* Cut in the bytes of the second write: head 24, block, head, head, head, then half a block. */
    assert_int_equal(ftruncate(fd, 24 + BLOCK_SIZE + 24 + 24 + 24 + BLOCK_SIZE / 2), 0);
    close(fd);
    assert_int_equal(disk_recorder_replay(rec->log_path, rec->image_path, &rec->counts, NULL), 0);
    assert_int_equal(rec->counts.writes_kept, 1);
    assert_int_equal(rec->counts.writes_dropped, 0);
}

static void test_disk_recorder__failed_write__not_logged(void **state)
{
    struct recorded *rec = *state;
    fixture_reopen(&rec->fx, true);
    record(rec, false);
    char buf[BLOCK_SIZE] = "x";
    assert_int_equal(fixture_io(&rec->fx, DISK_WRITE, buf, sizeof(buf), 0), -EBADF);
    flush(rec);
    replay(rec);
    assert_int_equal(rec->counts.writes_kept + rec->counts.writes_dropped, 0);
}

static void test_disk_recorder__log_is_full__device_meets_an_error(void **state)
{
    struct recorded *rec = *state;
    const struct disk_recorder_options options = {.log_path = "/dev/full"};
    assert_int_equal(disk_recorder_wrap(&rec->fx.disk, &options, NULL), 0);
    char buf[BLOCK_SIZE] = "x";
    assert_int_equal(fixture_io(&rec->fx, DISK_WRITE, buf, sizeof(buf), 0), -ENOSPC);
}

static void test_disk_recorder_replay__not_a_log__refused(void **state)
{
    struct recorded *rec = *state;
    write_block(rec, 0, 'x');
    int rc = disk_recorder_replay(rec->fx.path, rec->image_path, &rec->counts, &rec->err);
    assert_int_equal(rc, -EBADMSG);
    assert_non_null(strstr(rec->err.msg, "EBADMSG"));
    assert_int_equal(disk_recorder_replay("/tmp/mayfly-none", rec->image_path, &rec->counts, NULL),
                     -ENOENT);
}

#define RECORDER_TEST(fn, idx)                                                                     \
    {                                                                                              \
        .name = #fn " [" #idx "]", .test_func = (fn), .setup_func = setup,                         \
        .teardown_func = teardown, .initial_state = (void *)(uintptr_t)&engines[idx],              \
    }
#define ON_EVERY_ENGINE(fn) RECORDER_TEST(fn, 0), RECORDER_TEST(fn, 1), RECORDER_TEST(fn, 2)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_EVERY_ENGINE(test_disk_recorder__writes_behind_the_last_flush__dropped),
        ON_EVERY_ENGINE(test_disk_recorder__no_flush__nothing_kept),
        ON_EVERY_ENGINE(test_disk_recorder__broken_flush__answered_and_found_out),
        ON_EVERY_ENGINE(test_disk_recorder__reads__passed_on_not_logged),
        RECORDER_TEST(test_disk_recorder__write_during_a_flush__not_covered, 1),
        RECORDER_TEST(test_disk_recorder__write_during_a_flush__not_covered, 2),
        ON_EVERY_ENGINE(test_disk_recorder__killed_in_a_record__rest_is_used),
        ON_EVERY_ENGINE(test_disk_recorder__failed_write__not_logged),
        ON_EVERY_ENGINE(test_disk_recorder__log_is_full__device_meets_an_error),
        RECORDER_TEST(test_disk_recorder_replay__not_a_log__refused, 0),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
