/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mmio registers and the status machine, with a device that only counts. Single thread.
 */
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/le.h"
#include "devices/virtio/vmmio.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (1024u * 1024)
#define FEATURE_OWN 5u

struct counting_dev {
    struct virtio_dev dev;
    uint32_t activated;
    uint32_t resets;
    uint32_t served;
    int activate_result;
};

struct fixture {
    struct counting_dev counting;
    struct gmem *gmem;
    struct loop *loop;
    struct irq_line irq;
    struct vmmio *vmmio;
    struct vq_driver driver;
};

static struct fixture fix;

static struct counting_dev *counting(struct virtio_dev *dev)
{
    return CONTAINER_OF(dev, struct counting_dev, dev);
}

static int on_activate(struct virtio_dev *dev)
{
    counting(dev)->activated++;
    return counting(dev)->activate_result;
}

static void on_reset(struct virtio_dev *dev)
{
    counting(dev)->resets++;
}

static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    assert_int_equal(idx, 0);
    counting(dev)->served++;
}

static const struct virtio_dev_ops counting_ops = {
    .activate = on_activate, .reset = on_reset, .on_queue = on_queue};

static int setup(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0 ||
        loop_create(clock_real(), &fix.loop, &err) < 0 || irq_line_open(&fix.irq) < 0 ||
        virtio_dev_init(&fix.counting.dev, &counting_ops, 2, 1) < 0)
        return -1;
    fix.counting.dev.offered |= 1ull << FEATURE_OWN;
    memcpy(fix.counting.dev.config, "0123456789", 10);
    fix.counting.dev.config_size = 10;
    vqd_init(&fix.driver, fix.gmem, 8);
    return vmmio_create(&fix.counting.dev, fix.gmem, &fix.irq, fix.loop, &fix.vmmio, &err);
}

static int teardown(void **state)
{
    (void)state;
    vmmio_free(fix.vmmio);
    virtio_dev_done(&fix.counting.dev);
    irq_line_close(&fix.irq);
    loop_free(fix.loop);
    gmem_free(fix.gmem);
    return 0;
}

static uint32_t rd(uint32_t off)
{
    le32_t value = {0};
    vmmio_bus_ops.read(fix.vmmio, off, &value, sizeof(value));
    return le32_get(value);
}

static void wr(uint32_t off, uint32_t value)
{
    le32_t wire = le32_put(value);
    vmmio_bus_ops.write(fix.vmmio, off, &wire, sizeof(wire));
}

static void to_features_ok(void)
{
    wr(VIRTIO_MMIO_STATUS, 1);
    wr(VIRTIO_MMIO_STATUS, 3);
    wr(VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    wr(VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
    wr(VIRTIO_MMIO_STATUS, 11);
}

static void setup_queue(void)
{
    wr(VIRTIO_MMIO_QUEUE_SEL, 0);
    wr(VIRTIO_MMIO_QUEUE_NUM, 8);
    wr(VIRTIO_MMIO_QUEUE_DESC_LOW, VQD_DESC);
    wr(VIRTIO_MMIO_QUEUE_AVAIL_LOW, VQD_AVAIL);
    wr(VIRTIO_MMIO_QUEUE_USED_LOW, VQD_USED);
    wr(VIRTIO_MMIO_QUEUE_READY, 1);
}

static void to_driver_ok(void)
{
    to_features_ok();
    setup_queue();
    wr(VIRTIO_MMIO_STATUS, 15);
}

static void test_vmmio_read__identity__as_specified(void **state)
{
    (void)state;
    assert_int_equal(rd(VIRTIO_MMIO_MAGIC_VALUE), 0x74726976);
    assert_int_equal(rd(VIRTIO_MMIO_VERSION), 2);
    assert_int_equal(rd(VIRTIO_MMIO_DEVICE_ID), 2);
    assert_int_equal(rd(VIRTIO_MMIO_VENDOR_ID), 0);
    assert_int_equal(rd(VIRTIO_MMIO_QUEUE_NUM_MAX), 256);
    assert_int_equal(rd(VIRTIO_MMIO_SHM_LEN_LOW), UINT32_MAX);
    wr(VIRTIO_MMIO_QUEUE_SEL, 1);
    assert_int_equal(rd(VIRTIO_MMIO_QUEUE_NUM_MAX), 0);
}

static void test_vmmio_read__features__both_words_and_zero_beyond(void **state)
{
    (void)state;
    assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES),
                     (1u << FEATURE_OWN) | (1u << 29) | (1u << 28));
    wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES), 1);
    wr(VIRTIO_MMIO_DEVICE_FEATURES_SEL, 2);
    assert_int_equal(rd(VIRTIO_MMIO_DEVICE_FEATURES), 0);
}

static void test_vmmio_status__legal_steps__activates_and_serves(void **state)
{
    (void)state;
    to_driver_ok();
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 15);
    assert_int_equal(fix.counting.activated, 1);
    assert_true(loop_turn(fix.loop, 0) > 0); /* kicked once by itself */
    assert_int_equal(fix.counting.served, 1);
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_int_equal(fix.counting.served, 1); /* not here: on the loop */
    assert_true(loop_turn(fix.loop, 0) > 0);
    assert_int_equal(fix.counting.served, 2);
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 1); /* no such queue */
    assert_int_equal(loop_turn(fix.loop, 0), 0);
    assert_int_equal(fd_event_raise(vmmio_kick_fd(fix.vmmio, 0)), 0);
    assert_true(loop_turn(fix.loop, 0) > 0);
    assert_int_equal(fix.counting.served, 3);
}

static void test_vmmio_status__skipped_or_repeated_steps__ignored(void **state)
{
    (void)state;
    const uint32_t bad_first[] = {2, 3, 8, 11, 15, 4};
    for (size_t i = 0; i < ARRAY_LEN(bad_first); i++) {
        wr(VIRTIO_MMIO_STATUS, bad_first[i]);
        assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
    }
    wr(VIRTIO_MMIO_STATUS, 1);
    wr(VIRTIO_MMIO_STATUS, 15);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 1);
    wr(VIRTIO_MMIO_STATUS, 3);
    wr(VIRTIO_MMIO_STATUS, 11); /* VERSION_1 was not acked */
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 3);
    assert_int_equal(fix.counting.activated, 0);
}

static void test_vmmio_status__failed_bit__always_accepted(void **state)
{
    (void)state;
    wr(VIRTIO_MMIO_STATUS, 1);
    wr(VIRTIO_MMIO_STATUS, 0x81);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0x81);
}

static void test_vmmio_features__not_offered_or_wrong_time__dropped(void **state)
{
    (void)state;
    wr(VIRTIO_MMIO_DRIVER_FEATURES, 1u << FEATURE_OWN); /* before DRIVER */
    assert_int_equal(fix.counting.dev.acked, 0);
    wr(VIRTIO_MMIO_STATUS, 1);
    wr(VIRTIO_MMIO_STATUS, 3);
    wr(VIRTIO_MMIO_DRIVER_FEATURES, UINT32_MAX);
    assert_int_equal(fix.counting.dev.acked, (1u << FEATURE_OWN) | (1u << 29) | (1u << 28));
}

static void test_vmmio_queue__registers_outside_their_window__ignored(void **state)
{
    (void)state;
    setup_queue(); /* status is 0 */
    assert_int_equal(rd(VIRTIO_MMIO_QUEUE_READY), 0);
    assert_int_equal(fix.counting.dev.queues[0].setup.desc, 0);
    to_driver_ok();
    wr(VIRTIO_MMIO_QUEUE_DESC_LOW, 0);
    assert_int_equal(fix.counting.dev.queues[0].setup.desc, VQD_DESC);
}

static void test_vmmio_activate__bad_ring__needs_reset_and_config_interrupt(void **state)
{
    (void)state;
    to_features_ok();
    setup_queue();
    wr(VIRTIO_MMIO_QUEUE_USED_HIGH, 1); /* beyond memory */
    wr(VIRTIO_MMIO_STATUS, 15);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 15 | VIRTIO_CONFIG_S_NEEDS_RESET);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_CONFIG);
    assert_int_equal(fd_event_take(fix.irq.fd), 1);
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_int_equal(fix.counting.served, 0);
}

static void test_vmmio_activate__device_refuses__needs_reset_until_reset(void **state)
{
    (void)state;
    fix.counting.activate_result = -EIO;
    to_driver_ok();
    assert_true(rd(VIRTIO_MMIO_STATUS) & VIRTIO_CONFIG_S_NEEDS_RESET);
    fix.counting.activate_result = 0;
    wr(VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
    to_driver_ok();
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 15);
}

static void test_vmmio_reset__running_device__everything_forgotten(void **state)
{
    (void)state;
    to_driver_ok();
    wr(VIRTIO_MMIO_STATUS, 0);
    assert_int_equal(fix.counting.resets, 1);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
    assert_int_equal(fix.counting.dev.acked, 0);
    assert_false(fix.counting.dev.active);
    assert_null(fix.counting.dev.gmem);
    assert_int_equal(rd(VIRTIO_MMIO_QUEUE_READY), 0);
    assert_true(loop_turn(fix.loop, 0) >= 0); /* the old kick is harmless */
    assert_int_equal(fix.counting.served, 0);
}

static void test_vmmio_interrupt__flush_and_ack__bits_come_and_go(void **state)
{
    (void)state;
    to_driver_ok();
    struct virtio_dev *dev = &fix.counting.dev;
    struct vq_chain chain;
    vqd_desc(&fix.driver, VQD_DESC, 0, 0x40000, 1, 0, 0);
    vqd_offer(&fix.driver, 0);
    assert_int_equal(vq_pop(&dev->queues[0], &chain), 1);
    vq_push_used(&dev->queues[0], 0, 0);
    virtio_queue_flush(dev, 0);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_RING);
    assert_int_equal(fd_event_take(fix.irq.fd), 1);
    virtio_config_changed(dev);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_RING | VIRTIO_IRQ_CONFIG);
    assert_int_equal(rd(VIRTIO_MMIO_CONFIG_GENERATION), 1);
    wr(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_IRQ_RING);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_CONFIG);
}

/* KVM keeps acknowledgements while no vCPU exits, so one may arrive after the next interrupt. */
static void test_vmmio_interrupt__ack_after_next_interrupt__bit_stays(void **state)
{
    (void)state;
    to_driver_ok();
    struct virtio_dev *dev = &fix.counting.dev;
    virtio_config_changed(dev);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_CONFIG);
    virtio_config_changed(dev);
    wr(VIRTIO_MMIO_INTERRUPT_ACK, VIRTIO_IRQ_CONFIG); /* of the first */
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), VIRTIO_IRQ_CONFIG);
    wr(VIRTIO_MMIO_INTERRUPT_ACK, UINT32_MAX);
    assert_int_equal(rd(VIRTIO_MMIO_INTERRUPT_STATUS), 0);
}

static bool notified_here(struct virtio_dev *dev, uint32_t idx)
{
    on_queue(dev, idx);
    return counting(dev)->served < 2;
}

static void test_vmmio_notify__device_that_serves_it_itself__loop_gets_what_it_leaves(void **state)
{
    static const struct virtio_dev_ops ops = {.activate = on_activate,
                                              .reset = on_reset,
                                              .on_queue = on_queue,
                                              .on_notify = notified_here};
    (void)state;
    assert_true(vmmio_wants_eventfd(fix.vmmio));
    fix.counting.dev.ops = &ops;
    assert_false(vmmio_wants_eventfd(fix.vmmio));
    to_driver_ok();
    assert_int_equal(fd_event_take(vmmio_kick_fd(fix.vmmio, 0)), 1); /* of the activation */
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    assert_int_equal(fix.counting.served, 1);
    assert_int_equal(loop_turn(fix.loop, 0), 0);
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0); /* says that the loop shall go on */
    assert_int_equal(fix.counting.served, 2);
    assert_true(loop_turn(fix.loop, 0) > 0);
    assert_int_equal(fix.counting.served, 3);
}

static _Atomic bool other_wrote;

static void *write_status_zero(void *arg)
{
    (void)arg;
    wr(VIRTIO_MMIO_STATUS, 0);
    atomic_store(&other_wrote, true);
    return NULL;
}

/* As a device that waits for its backend, while another vCPU resets, too. */
static void reset_slowly(struct virtio_dev *dev)
{
    on_reset(dev);
    assert_false(dev->active);
    (void)pthread_mutex_unlock(&dev->lock);
    assert_int_not_equal(rd(VIRTIO_MMIO_STATUS), 0); /* not done yet */
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);                 /* waits for nothing */
    (void)usleep(20 * 1000);
    assert_false(atomic_load(&other_wrote));
    (void)pthread_mutex_lock(&dev->lock);
}

static void test_vmmio_reset__another_during_it__waits_for_its_end(void **state)
{
    static const struct virtio_dev_ops ops = {
        .activate = on_activate, .reset = reset_slowly, .on_queue = on_queue};
    pthread_t thread;
    (void)state;
    fix.counting.dev.ops = &ops;
    to_driver_ok();
    atomic_store(&other_wrote, false);
    fix.counting.dev.resetting = true; /* holds the other one until ours has begun */
    assert_int_equal(pthread_create(&thread, NULL, write_status_zero, NULL), 0);
    (void)usleep(20 * 1000);
    assert_false(atomic_load(&other_wrote));
    (void)pthread_mutex_lock(&fix.counting.dev.lock);
    virtio_dev_reset(&fix.counting.dev);
    (void)pthread_mutex_unlock(&fix.counting.dev.lock);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(atomic_load(&other_wrote));
    assert_int_equal(fix.counting.resets, 1);
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
}

/* The loop serves the device: the vCPU leaves it a note and goes on. */
static void test_vmmio_notify__device_is_being_served__left_to_the_loop(void **state)
{
    (void)state;
    to_driver_ok();
    assert_int_equal(fd_event_take(vmmio_kick_fd(fix.vmmio, 0)), 1); /* of the activation */
    (void)pthread_mutex_lock(&fix.counting.dev.lock);
    wr(VIRTIO_MMIO_QUEUE_NOTIFY, 0);
    (void)pthread_mutex_unlock(&fix.counting.dev.lock);
    assert_int_equal(fd_event_take(vmmio_kick_fd(fix.vmmio, 0)), 1);
    assert_int_equal(fix.counting.served, 0);
}

static void test_vmmio_access__odd_widths__ignored_or_zero(void **state)
{
    (void)state;
    uint64_t wide = UINT64_MAX;
    vmmio_bus_ops.read(fix.vmmio, VIRTIO_MMIO_MAGIC_VALUE, &wide, sizeof(wide));
    assert_int_equal(wide, 0);
    uint8_t byte = 1;
    vmmio_bus_ops.write(fix.vmmio, VIRTIO_MMIO_STATUS, &byte, sizeof(byte));
    assert_int_equal(rd(VIRTIO_MMIO_STATUS), 0);
    uint32_t unaligned = UINT32_MAX;
    vmmio_bus_ops.read(fix.vmmio, VIRTIO_MMIO_MAGIC_VALUE + 2, &unaligned, sizeof(unaligned));
    assert_int_equal(unaligned, 0);
}

static void test_vmmio_config__any_width_and_beyond_the_end__zero_filled(void **state)
{
    (void)state;
    char bytes[8];
    vmmio_bus_ops.read(fix.vmmio, VIRTIO_MMIO_CONFIG + 1, bytes, 1);
    assert_int_equal(bytes[0], '1');
    vmmio_bus_ops.read(fix.vmmio, VIRTIO_MMIO_CONFIG + 8, bytes, 8);
    assert_memory_equal(bytes, "89\0\0\0\0\0\0", 8);
    vmmio_bus_ops.read(fix.vmmio, 0xff8, bytes, 8);
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0", 8);
    vmmio_bus_ops.write(fix.vmmio, VIRTIO_MMIO_CONFIG, "x", 1);
    assert_int_equal(fix.counting.dev.config[0], '0');
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vmmio_read__identity__as_specified),
        TEST(test_vmmio_read__features__both_words_and_zero_beyond),
        TEST(test_vmmio_status__legal_steps__activates_and_serves),
        TEST(test_vmmio_status__skipped_or_repeated_steps__ignored),
        TEST(test_vmmio_status__failed_bit__always_accepted),
        TEST(test_vmmio_features__not_offered_or_wrong_time__dropped),
        TEST(test_vmmio_queue__registers_outside_their_window__ignored),
        TEST(test_vmmio_activate__bad_ring__needs_reset_and_config_interrupt),
        TEST(test_vmmio_activate__device_refuses__needs_reset_until_reset),
        TEST(test_vmmio_reset__running_device__everything_forgotten),
        TEST(test_vmmio_reset__another_during_it__waits_for_its_end),
        TEST(test_vmmio_notify__device_is_being_served__left_to_the_loop),
        TEST(test_vmmio_interrupt__flush_and_ack__bits_come_and_go),
        TEST(test_vmmio_notify__device_that_serves_it_itself__loop_gets_what_it_leaves),
        TEST(test_vmmio_interrupt__ack_after_next_interrupt__bit_stays),
        TEST(test_vmmio_access__odd_widths__ignored_or_zero),
        TEST(test_vmmio_config__any_width_and_beyond_the_end__zero_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
