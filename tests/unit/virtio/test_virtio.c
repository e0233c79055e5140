/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pausing and resuming a virtio device, and waiting for a reset that another thread makes. Threads:
 * the test's, and one that resets.
 */
#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "devices/virtio/virtio.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (1024u * 1024)
#define QUEUES_COUNT 2u

static struct {
    struct virtio_dev dev;
    struct gmem *gmem;
    struct vq_driver driver;
    uint32_t quiesces_count;
    uint64_t until_ns;
    int quiesce_result;
    uint32_t kicks_count[QUEUES_COUNT];
} fix;

static int on_activate(struct virtio_dev *dev)
{
    (void)dev;
    return 0;
}

static void on_reset(struct virtio_dev *dev)
{
    (void)dev;
}

static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    (void)dev;
    (void)idx;
}

static int on_quiesce(struct virtio_dev *dev, uint64_t until_ns)
{
    assert_true(dev->paused); /* nothing new begins meanwhile */
    assert_int_not_equal(pthread_mutex_trylock(&dev->lock), 0);
    fix.quiesces_count++;
    fix.until_ns = until_ns;
    return fix.quiesce_result;
}

static const struct virtio_dev_ops ops = {
    .activate = on_activate, .reset = on_reset, .on_queue = on_queue, .quiesce = on_quiesce};

static void on_needs_reset(void *transport)
{
    (void)transport;
}

static void on_kick(void *transport, uint32_t queue_idx)
{
    (void)transport;
    assert_true(queue_idx < QUEUES_COUNT);
    fix.kicks_count[queue_idx]++;
}

static const struct virtio_transport_ops transport_ops = {on_needs_reset, on_kick};

static int setup(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0 ||
        virtio_dev_init(&fix.dev, &ops, 2, QUEUES_COUNT) < 0)
        return -1;
    fix.dev.transport_ops = &transport_ops;
    vqd_init(&fix.driver, fix.gmem, 8);
    for (uint32_t i = 0; i < QUEUES_COUNT; i++)
        fix.dev.queues[i].setup = vqd_setup(&fix.driver);
    return virtio_dev_activate(&fix.dev, fix.gmem);
}

static int teardown(void **state)
{
    (void)state;
    virtio_dev_done(&fix.dev);
    gmem_free(fix.gmem);
    return 0;
}

static void expect_kicks(uint32_t count)
{
    for (uint32_t i = 0; i < QUEUES_COUNT; i++)
        assert_int_equal(fix.kicks_count[i], count);
}

static void test_virtio_dev_pause__active_device__quiesced_and_serves_nothing(void **state)
{
    (void)state;
    assert_true(virtio_serves(&fix.dev));
    assert_int_equal(virtio_dev_pause(&fix.dev, 77), 0);
    assert_int_equal(fix.quiesces_count, 1);
    assert_int_equal(fix.until_ns, 77);
    assert_false(virtio_serves(&fix.dev));
    expect_kicks(0);
}

static void test_virtio_dev_pause__driver_not_ready__nothing_to_finish(void **state)
{
    (void)state;
    fix.dev.active = false;
    assert_int_equal(virtio_dev_pause(&fix.dev, 0), 0);
    assert_int_equal(fix.quiesces_count, 0);
    assert_true(fix.dev.paused);
}

static void test_virtio_dev_pause__device_without_quiesce__paused(void **state)
{
    static const struct virtio_dev_ops plain = {
        .activate = on_activate, .reset = on_reset, .on_queue = on_queue};
    (void)state;
    fix.dev.ops = &plain;
    assert_int_equal(virtio_dev_pause(&fix.dev, 0), 0);
    assert_false(virtio_serves(&fix.dev));
}

static void test_virtio_dev_pause__does_not_finish__serves_on(void **state)
{
    (void)state;
    fix.quiesce_result = -ETIMEDOUT;
    assert_int_equal(virtio_dev_pause(&fix.dev, 0), -ETIMEDOUT);
    assert_true(virtio_serves(&fix.dev));
    expect_kicks(1); /* what came meanwhile is looked at */
}

static void test_virtio_dev_resume__paused_device__every_queue_looked_at_once(void **state)
{
    (void)state;
    assert_int_equal(virtio_dev_pause(&fix.dev, 0), 0);
    virtio_dev_resume(&fix.dev);
    assert_true(virtio_serves(&fix.dev));
    expect_kicks(1);
    virtio_dev_resume(&fix.dev); /* not paused is fine */
    expect_kicks(1);
}

static void test_virtio_dev_pause__broken_device__stays_broken_after_the_resume(void **state)
{
    (void)state;
    virtio_mark_broken(&fix.dev, "a test", -EPROTO);
    assert_int_equal(virtio_dev_pause(&fix.dev, 0), 0);
    virtio_dev_resume(&fix.dev);
    assert_true(fix.dev.broken);
    assert_false(virtio_serves(&fix.dev));
}

static int await_reset(uint64_t until_ns)
{
    (void)pthread_mutex_lock(&fix.dev.lock);
    int rc = virtio_await_reset(&fix.dev, until_ns);
    (void)pthread_mutex_unlock(&fix.dev.lock);
    return rc;
}

static void test_virtio_await_reset__never_ends__deadline(void **state)
{
    (void)state;
    uint64_t until_ns = clock_mono_ns() + 20 * NS_PER_MS;
    fix.dev.resetting = true;
    assert_int_equal(await_reset(until_ns), -ETIMEDOUT);
    assert_true(clock_mono_ns() >= until_ns);
    fix.dev.resetting = false;
    assert_int_equal(await_reset(0), 0);
}

static void *reset_soon(void *arg)
{
    (void)arg;
    (void)usleep(20 * 1000);
    (void)pthread_mutex_lock(&fix.dev.lock);
    virtio_dev_reset(&fix.dev);
    (void)pthread_mutex_unlock(&fix.dev.lock);
    return NULL;
}

static void test_virtio_await_reset__ends_on_another_thread__woken(void **state)
{
    pthread_t thread;
    (void)state;
    fix.dev.resetting = true; /* as if it had begun */
    assert_int_equal(pthread_create(&thread, NULL, reset_soon, NULL), 0);
    assert_int_equal(await_reset(UINT64_MAX), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_virtio_dev_pause__active_device__quiesced_and_serves_nothing),
        TEST(test_virtio_dev_pause__driver_not_ready__nothing_to_finish),
        TEST(test_virtio_dev_pause__device_without_quiesce__paused),
        TEST(test_virtio_dev_pause__does_not_finish__serves_on),
        TEST(test_virtio_dev_resume__paused_device__every_queue_looked_at_once),
        TEST(test_virtio_dev_pause__broken_device__stays_broken_after_the_resume),
        TEST(test_virtio_await_reset__never_ends__deadline),
        TEST(test_virtio_await_reset__ends_on_another_thread__woken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
