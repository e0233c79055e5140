/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes in a block device that runs: pausing, its file replaced, its limiter replaced.
 * Single thread.
 */
#include "tests/unit/blk/blk_fixture.h"

#define DEADLINE_NS (77 * NS_PER_S)

static uint64_t capacity(void)
{
    le64_t sectors_count;
    memcpy(&sectors_count, blk_virtio(fix.blk)->config, sizeof(sectors_count));
    return le64_get(sectors_count);
}

static int replace(void)
{
    struct err err = ERR_INIT;
    int rc = blk_replace_file(fix.blk, "/new", &err);
    assert_int_equal(rc < 0, err.msg[0] != '\0');
    return rc;
}

/* ------------------------------------------------------------------ pause */

static void test_blk_pause__requests_in_flight__finished_and_published(void **state)
{
    (void)state;
    fix.disk.later = true;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 1, 512);
    kick();
    expect_nothing_used();
    assert_int_equal(virtio_dev_pause(blk_virtio(fix.blk), DEADLINE_NS), 0);
    assert_int_equal(fix.disk.drain_until_ns, DEADLINE_NS);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    expect_used(1, 513, VIRTIO_BLK_S_OK);
    assert_int_equal(virtio_irq_status_read(blk_virtio(fix.blk)), VIRTIO_IRQ_RING);
}

static void test_blk_pause__disk_does_not_finish__serves_on(void **state)
{
    (void)state;
    fix.disk.later = true;
    fix.disk.drain_result = -ETIMEDOUT;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    kick();
    assert_int_equal(virtio_dev_pause(blk_virtio(fix.blk), DEADLINE_NS), -ETIMEDOUT);
    offer(1, VIRTIO_BLK_T_IN, 1, 512);
    kick();
    complete_all();
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    expect_used(1, 513, VIRTIO_BLK_S_OK);
    fix.disk.drain_result = 0;
}

static void test_blk_pause__completion_and_timer_meanwhile__memory_left_alone(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.rate_limiter = (struct cfg_rate_limiter){.present = true, .ops = {true, 1, 0, 1000}};
    assert_int_equal(create(&drive), 0);
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 1, 512); /* has to wait */
    kick();
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    assert_int_equal(virtio_dev_pause(blk_virtio(fix.blk), DEADLINE_NS), 0);
    fix.now_ns += 2 * NS_PER_S;
    assert_true(loop_turn(fix.loop, 0) > 0); /* the limiter's timer */
    fix.disk.notify(fix.disk.notify_ctx);
    expect_nothing_used();
    virtio_dev_resume(blk_virtio(fix.blk));
    lay_out(1, VIRTIO_BLK_T_IN, 1, 512); /* a scribbling build ate it when it was put back */
    kick();
    expect_used(1, 513, VIRTIO_BLK_S_OK);
}

/* ------------------------------------------------------------------ another file */

static void test_blk_replace_file__larger_file__capacity_and_config_interrupt(void **state)
{
    (void)state;
    struct virtio_dev *dev = blk_virtio(fix.blk);
    uint32_t generation = dev->config_generation;
    fix.disk.sectors_count = 1000;
    assert_int_equal(replace(), 0);
    assert_int_equal(capacity(), 1000);
    assert_int_equal(dev->config_generation, generation + 1);
    assert_int_equal(virtio_irq_status_read(dev), VIRTIO_IRQ_CONFIG);
    assert_int_equal(fix.disk.closes, 1);
}

static void test_blk_replace_file__driver_not_ready__no_interrupt(void **state)
{
    (void)state;
    reset_device();
    fix.disk.sectors_count = 1000;
    assert_int_equal(replace(), 0);
    assert_int_equal(capacity(), 1000);
    assert_int_equal(virtio_irq_status_read(blk_virtio(fix.blk)), 0);
}

static void test_blk_replace_file__smaller_file__requests_behind_its_end_fail(void **state)
{
    (void)state;
    fix.disk.sectors_count = 8;
    assert_int_equal(replace(), 0);
    offer(0, VIRTIO_BLK_T_IN, 8, 512);
    kick();
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
}

static void test_blk_replace_file__read_only_drive__opened_read_only(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.is_read_only = true;
    assert_int_equal(create(&drive), 0);
    fix.disk.opened_read_only = false;
    assert_int_equal(replace(), 0);
    assert_true(fix.disk.opened_read_only);
}

static void test_blk_replace_file__requests_in_flight__finish_on_the_old_file(void **state)
{
    (void)state;
    fix.disk.later = true;
    offer(0, VIRTIO_BLK_T_IN, 2, 512);
    kick();
    expect_nothing_used();
    assert_int_equal(replace(), 0);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    assert_int_equal(fix.disk.pending_count, 0);
}

static void test_blk_replace_file__old_file_does_not_finish__it_stays(void **state)
{
    (void)state;
    fix.disk.later = true;
    fix.disk.drain_result = -ETIMEDOUT;
    fix.disk.sectors_count = 1000;
    offer(0, VIRTIO_BLK_T_IN, 2, 512);
    kick();
    assert_int_equal(replace(), -ETIMEDOUT);
    assert_int_equal(fix.disk.closes, 1); /* the new one */
    assert_int_equal(capacity(), DISK_SIZE / 512);
    assert_int_equal(virtio_irq_status_read(blk_virtio(fix.blk)), 0);
    complete_all(); /* late, but answered */
    fix.disk.notify(fix.disk.notify_ctx);
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    fix.disk.drain_result = 0;
}

static void test_blk_replace_file__bad_path__old_file_serves_on(void **state)
{
    (void)state;
    fix.open_result = -ENOENT;
    assert_int_equal(replace(), -ENOENT);
    assert_int_equal(fix.disk.closes, 0);
    assert_int_equal(capacity(), DISK_SIZE / 512);
    offer(0, VIRTIO_BLK_T_IN, 2, 512);
    kick();
    expect_used(0, 513, VIRTIO_BLK_S_OK);
}

static void test_blk_replace_file__writeback_disk__old_file_flushed(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.cache_type = CFG_CACHE_WRITEBACK;
    assert_int_equal(create(&drive), 0);
    assert_int_equal(replace(), 0);
    assert_int_equal(fix.disk.flushes, 1);
}

static void test_blk_replace_file__while_paused__ring_left_alone_until_the_resume(void **state)
{
    (void)state;
    struct virtio_dev *dev = blk_virtio(fix.blk);
    assert_int_equal(virtio_dev_pause(dev, DEADLINE_NS), 0);
    offer(0, VIRTIO_BLK_T_IN, 2, 512);
    fix.disk.sectors_count = 1000;
    assert_int_equal(replace(), 0);
    assert_int_equal(capacity(), 1000);
    expect_nothing_used();
    assert_true(dev->paused);
}

/* ------------------------------------------------------------------ another limiter */

static const struct cfg_bucket one_a_second = {true, 1, 0, 1000};
static const struct cfg_bucket no_limit = {.present = true};

static uint32_t served_of(uint16_t first, uint16_t count)
{
    for (uint16_t i = 0; i < count; i++)
        offer((uint16_t)(first + i), VIRTIO_BLK_T_IN, 0, 512);
    kick();
    uint32_t served = 0;
    uint32_t id;
    uint32_t len;
    while (vqd_take_used(&fix.driver, &id, &len) == 1)
        served++;
    return served;
}

static void test_blk_replace_limiter__limit_where_none_was__next_requests_wait(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {.present = true, .ops = one_a_second};
    blk_replace_limiter(fix.blk, &limiter);
    assert_int_equal(served_of(0, 3), 1);
}

static void test_blk_replace_limiter__no_limit__all_served(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    const struct cfg_rate_limiter limiter = {.present = true, .ops = no_limit};
    drive.rate_limiter = (struct cfg_rate_limiter){.present = true, .ops = one_a_second};
    assert_int_equal(create(&drive), 0);
    blk_replace_limiter(fix.blk, &limiter);
    assert_int_equal(served_of(0, 3), 3);
}

static void note_kick(void *transport, uint32_t idx)
{
    *(uint32_t *)transport += 1 + idx;
}

static void test_blk_replace_limiter__no_limit_while_requests_wait__served_at_once(void **state)
{
    (void)state;
    static const struct virtio_transport_ops transport_ops = {.kick = note_kick};
    uint32_t self_kicks = 0;
    struct cfg_drive drive = plain_drive();
    const struct cfg_rate_limiter limiter = {.present = true, .ops = no_limit};
    drive.rate_limiter = (struct cfg_rate_limiter){.present = true, .ops = one_a_second};
    assert_int_equal(create(&drive), 0);
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 1, 512); /* has to wait */
    kick();
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    struct virtio_dev *dev = blk_virtio(fix.blk);
    const struct virtio_transport_ops *no_transport = dev->transport_ops;
    dev->transport = &self_kicks;
    dev->transport_ops = &transport_ops;
    blk_replace_limiter(fix.blk, &limiter);
    dev->transport_ops = no_transport;
    assert_int_equal(self_kicks, 1);
    lay_out(1, VIRTIO_BLK_T_IN, 1, 512); /* a scribbling build ate it when it was put back */
    kick();
    expect_used(1, 513, VIRTIO_BLK_S_OK);
}

static void test_blk_replace_limiter__absent_bucket__stays_as_it_was(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    const struct cfg_rate_limiter limiter = {.present = true, .bandwidth = no_limit};
    drive.rate_limiter = (struct cfg_rate_limiter){.present = true, .ops = one_a_second};
    assert_int_equal(create(&drive), 0);
    blk_replace_limiter(fix.blk, &limiter);
    assert_int_equal(served_of(0, 3), 1);
}

static void test_blk_replace_limiter__again__fresh_and_full(void **state)
{
    (void)state;
    const struct cfg_rate_limiter two = {.present = true, .ops = {true, 2, 0, 1000}};
    blk_replace_limiter(fix.blk, &two);
    assert_int_equal(served_of(0, 2), 2);
    blk_replace_limiter(fix.blk, &two);
    assert_int_equal(served_of(2, 2), 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_blk_pause__requests_in_flight__finished_and_published),
        TEST(test_blk_pause__disk_does_not_finish__serves_on),
        BARE(test_blk_pause__completion_and_timer_meanwhile__memory_left_alone),
        TEST(test_blk_replace_file__larger_file__capacity_and_config_interrupt),
        TEST(test_blk_replace_file__driver_not_ready__no_interrupt),
        TEST(test_blk_replace_file__smaller_file__requests_behind_its_end_fail),
        BARE(test_blk_replace_file__read_only_drive__opened_read_only),
        TEST(test_blk_replace_file__requests_in_flight__finish_on_the_old_file),
        TEST(test_blk_replace_file__old_file_does_not_finish__it_stays),
        TEST(test_blk_replace_file__bad_path__old_file_serves_on),
        BARE(test_blk_replace_file__writeback_disk__old_file_flushed),
        TEST(test_blk_replace_file__while_paused__ring_left_alone_until_the_resume),
        TEST(test_blk_replace_limiter__limit_where_none_was__next_requests_wait),
        BARE(test_blk_replace_limiter__no_limit__all_served),
        BARE(test_blk_replace_limiter__no_limit_while_requests_wait__served_at_once),
        BARE(test_blk_replace_limiter__absent_bucket__stays_as_it_was),
        TEST(test_blk_replace_limiter__again__fresh_and_full),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
