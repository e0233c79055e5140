/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A block device's state: its limiter goes on where it was, what was written is durable, and
 * another disk is refused. Single thread.
 */
#include "devices/blk/blk_state.h"

#include "tests/unit/blk/blk_fixture.h"

#define FILE_SIZE (DISK_SIZE + 100u) /* as the fixture opens it */

static struct blk_state saved;

static void save(void)
{
    struct err err = ERR_INIT;
    assert_int_equal(blk_save(fix.blk, &saved, &err), 0);
}

static int restore(struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    return blk_restore(fix.blk, &saved, ret_err);
}

/* The device gives way to a fresh one, as after a restore. */
static void fresh(const struct cfg_drive *drive)
{
    reset_device();
    blk_free(fix.blk);
    fix.blk = NULL;
    assert_int_equal(create(drive), 0);
}

static struct cfg_drive limited_drive(void)
{
    struct cfg_drive drive = plain_drive();
    drive.rate_limiter.present = true;
    drive.rate_limiter.ops = (struct cfg_bucket){true, 10, 2, 1000};
    return drive;
}

/* Reads that the limiter lets through at once. */
static void expect_reads(uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        offer(0, VIRTIO_BLK_T_IN, 0, 512);
        kick();
        expect_used(0, 513, VIRTIO_BLK_S_OK);
    }
}

static void expect_read_waits(void)
{
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    expect_nothing_used();
}

static void test_blk_save__disk__its_size_and_access(void **state)
{
    (void)state;
    save();
    assert_int_equal(saved.file_size, FILE_SIZE);
    assert_false(saved.read_only);
    assert_false(saved.rl.buckets[RL_OPS].limited);
}

static void test_blk_save__unsafe_cache__flushed_all_the_same(void **state)
{
    (void)state;
    uint32_t flushes = fix.disk.flushes;
    save();
    assert_int_equal(fix.disk.flushes, flushes + 1);
}

/* Two snapshots of one pause start the same request: the engine must not have it any more. */
static void test_blk_save__engine_that_completes_later__flush_is_taken_back(void **state)
{
    (void)state;
    uint32_t flushes = fix.disk.flushes;
    fix.disk.later = true;
    save();
    assert_int_equal(fix.disk.flushes, flushes + 1);
    assert_int_equal(fix.disk.pending_count, 0);
}

static void test_blk_save__flush_fails__said(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    fix.disk.fail_with = -EIO;
    assert_int_equal(blk_save(fix.blk, &saved, &err), -EIO);
    assert_non_null(strstr(err.msg, "flushing its file failed: "));
}

static void test_blk_restore__limiter_after_spending__goes_on_where_it_was(void **state)
{
    (void)state;
    struct err err;
    const struct cfg_drive drive = limited_drive();
    fresh(&drive);
    expect_reads(5); /* two of the burst, three of the budget */
    fix.now_ns += 50 * NS_PER_MS;
    save();
    assert_int_equal(saved.rl.buckets[RL_OPS].burst, 0);
    assert_int_equal(saved.rl.buckets[RL_OPS].burst_initial, 2);
    assert_int_equal(saved.rl.buckets[RL_OPS].budget, 7);
    assert_int_equal(saved.rl.buckets[RL_OPS].elapsed_ns, 50 * NS_PER_MS);
    fresh(&drive);
    fix.now_ns += 3600 * NS_PER_S; /* the time between is nobody's */
    assert_int_equal(restore(&err), 0);
    expect_reads(7);
    expect_read_waits();
}

/* After a PATCH the limiter is not what the configuration of the boot said. */
static void test_blk_restore__limiter_of_the_state__counts(void **state)
{
    (void)state;
    struct err err;
    const struct cfg_drive drive = limited_drive();
    save();
    fresh(&drive);
    assert_int_equal(restore(&err), 0);
    expect_reads(50);
}

static void test_blk_restore__smaller_file__refused(void **state)
{
    (void)state;
    struct err err;
    save();
    saved.file_size++;
    assert_int_equal(restore(&err), -EINVAL);
    assert_string_equal(err.msg, "its file has 32868 bytes and had 32869 when the snapshot was "
                                 "taken: is it another disk?");
}

static void test_blk_restore__larger_file__taken(void **state)
{
    (void)state;
    struct err err;
    save();
    saved.file_size--;
    assert_int_equal(restore(&err), 0);
}

static void test_blk_restore__read_only_of_another_size__refused(void **state)
{
    (void)state;
    struct err err;
    struct cfg_drive drive = plain_drive();
    drive.is_read_only = true;
    fresh(&drive);
    save();
    assert_true(saved.read_only);
    assert_int_equal(restore(&err), 0);
    saved.file_size--;
    assert_int_equal(restore(&err), -EINVAL);
    saved.file_size += 2;
    assert_int_equal(restore(&err), -EINVAL);
}

static void test_blk_restore__limiter_that_none_has__refused(void **state)
{
    (void)state;
    struct err err;
    save();
    saved.rl.buckets[RL_BYTES] =
        (struct rl_bucket_state){.limited = true, .size = 10, .refill_time_ms = 10, .budget = 11};
    assert_int_equal(restore(&err), -EINVAL);
    assert_string_equal(err.msg, "the state of its rate limiter is not valid");
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_save__disk__its_size_and_access),
        TEST(test_blk_save__unsafe_cache__flushed_all_the_same),
        TEST(test_blk_save__engine_that_completes_later__flush_is_taken_back),
        TEST(test_blk_save__flush_fails__said),
        TEST(test_blk_restore__limiter_after_spending__goes_on_where_it_was),
        TEST(test_blk_restore__limiter_of_the_state__counts),
        TEST(test_blk_restore__smaller_file__refused),
        TEST(test_blk_restore__larger_file__taken),
        TEST(test_blk_restore__read_only_of_another_size__refused),
        TEST(test_blk_restore__limiter_that_none_has__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
