/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Notifications of a Sync disk, served on the vCPU's thread that makes them: what is served there
 * and what is left to the loop. Single thread.
 */
#include "tests/unit/blk/blk_fixture.h"

static bool notify(void)
{
    struct virtio_dev *dev = blk_virtio(fix.blk);
    (void)pthread_mutex_lock(&dev->lock);
    bool served = dev->ops->on_notify(dev, 0);
    (void)pthread_mutex_unlock(&dev->lock);
    return served;
}

static uint32_t loop_kicks;

static void count_kick(void *transport, uint32_t queue_idx)
{
    (void)transport;
    assert_int_equal(queue_idx, 0);
    loop_kicks++;
}

static const struct virtio_transport_ops counting_transport = {.kick = count_kick};

static int setup_counting(void **state)
{
    loop_kicks = 0;
    if (setup(state) < 0)
        return -1;
    blk_virtio(fix.blk)->transport_ops = &counting_transport;
    return 0;
}

static int teardown_counting(void **state)
{
    blk_virtio(fix.blk)->transport_ops = NULL;
    return teardown(state);
}

static void test_blk_notify__one_request__answered_before_the_guest_goes_on(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    assert_true(notify());
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    assert_int_equal(loop_kicks, 0);
}

static void test_blk_notify__much_to_do__loop_takes_over(void **state)
{
    (void)state;
    /* 2 MiB each on a disk of 32 KiB: refused, but what was asked for counts: 33 of 64. */
    for (uint16_t slot = 0; slot < 3; slot++)
        offer(slot, VIRTIO_BLK_T_IN, 0, 2 * 1024 * 1024);
    assert_true(notify());
    expect_used(0, 1, VIRTIO_BLK_S_IOERR);
    expect_nothing_used();
    assert_int_equal(loop_kicks, 1);
    lay_out(1, VIRTIO_BLK_T_IN, 0, 2 * 1024 * 1024);
    kick();
    expect_used(1, 1, VIRTIO_BLK_S_IOERR);
    expect_used(2, 1, VIRTIO_BLK_S_IOERR);
}

static void test_blk_notify__flush__left_to_the_loop(void **state)
{
    (void)state;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_FLUSH, 0, 0);
    assert_true(notify());
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    expect_nothing_used();
    assert_int_equal(fix.disk.flushes, 0);
    assert_int_equal(loop_kicks, 1);
    lay_out(1, VIRTIO_BLK_T_FLUSH, 0, 0);
    kick();
    expect_used(1, 1, VIRTIO_BLK_S_OK);
    assert_int_equal(fix.disk.flushes, 1);
}

static void test_blk_notify__slow_disk__loop_serves_for_a_second(void **state)
{
    (void)state;
    fix.disk.takes_ns = 300 * NS_PER_US;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    assert_true(notify());
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    offer(1, VIRTIO_BLK_T_IN, 0, 512);
    assert_false(notify());
    expect_nothing_used();
    kick();
    expect_used(1, 513, VIRTIO_BLK_S_OK);
    fix.now_ns += NS_PER_S;
    offer(2, VIRTIO_BLK_T_IN, 0, 512);
    assert_true(notify());
    expect_used(2, 513, VIRTIO_BLK_S_OK);
}

static void test_blk_notify__slow_disk__turn_ends_with_the_first_slow_request(void **state)
{
    (void)state;
    fix.disk.takes_ns = 300 * NS_PER_US;
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    offer(1, VIRTIO_BLK_T_IN, 0, 512);
    assert_true(notify());
    expect_used(0, 513, VIRTIO_BLK_S_OK);
    expect_nothing_used();
    assert_int_equal(loop_kicks, 1);
}

static void test_blk_notify__limited_disk__left_to_the_loop(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.rate_limiter.present = true;
    drive.rate_limiter.ops = (struct cfg_bucket){true, 100, 0, 1000};
    assert_int_equal(create(&drive), 0);
    offer(0, VIRTIO_BLK_T_IN, 0, 512);
    assert_false(notify());
    expect_nothing_used();
}

static void test_blk_create__async_disk__notified_by_eventfd(void **state)
{
    (void)state;
    struct cfg_drive drive = plain_drive();
    drive.io_engine = CFG_IO_ENGINE_ASYNC;
    assert_int_equal(create(&drive), 0);
    assert_null(blk_virtio(fix.blk)->ops->on_notify);
}

#define COUNTING(test) cmocka_unit_test_setup_teardown(test, setup_counting, teardown_counting)

int main(void)
{
    const struct CMUnitTest tests[] = {
        COUNTING(test_blk_notify__one_request__answered_before_the_guest_goes_on),
        COUNTING(test_blk_notify__much_to_do__loop_takes_over),
        COUNTING(test_blk_notify__flush__left_to_the_loop),
        COUNTING(test_blk_notify__slow_disk__loop_serves_for_a_second),
        COUNTING(test_blk_notify__slow_disk__turn_ends_with_the_first_slow_request),
        BARE(test_blk_notify__limited_disk__left_to_the_loop),
        BARE(test_blk_create__async_disk__notified_by_eventfd),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
