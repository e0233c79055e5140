/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common state of a virtio device: out of one device, checked, and into another, with a device
 * that only counts. Single thread.
 */
#include "devices/virtio/virtio_state.h"

#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_mmio.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <unistd.h>

#include "base/le.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (1024u * 1024)
#define FEATURE_OWN 5u
#define DEVICE_TYPE 2u
#define RUNNING 15u
#define NEAR_WRAP 65533u

/* A device, its transport and its line. */
struct side {
    struct virtio_dev dev;
    struct irq_line irq;
    struct vmmio *vmmio;
    uint32_t activated;
    int activate_result;
};

static struct {
    struct gmem *gmem;
    struct loop *loop;
    struct vq_driver driver;
    struct side from;
    struct side to;
    struct virtio_state state;
} fix;

static int on_activate(struct virtio_dev *dev)
{
    struct side *side = CONTAINER_OF(dev, struct side, dev);
    side->activated++;
    return side->activate_result;
}

static void on_reset(struct virtio_dev *dev)
{
    (void)dev;
}

/* Gives everything back at once. */
static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    static struct vq_chain chain;
    while (vq_pop(&dev->queues[idx], &chain) > 0)
        vq_push_used(&dev->queues[idx], chain.head, 0);
    virtio_queue_flush(dev, idx);
}

static const struct virtio_dev_ops ops = {
    .activate = on_activate, .reset = on_reset, .on_queue = on_queue};

static int side_open(struct side *side)
{
    struct err err = ERR_INIT;
    if (irq_line_open(&side->irq) < 0 || virtio_dev_init(&side->dev, &ops, DEVICE_TYPE, 1) < 0)
        return -1;
    side->dev.offered |= 1ull << FEATURE_OWN | 1ull << VIRTIO_RING_F_EVENT_IDX;
    return vmmio_create(&side->dev, fix.gmem, &side->irq, fix.loop, &side->vmmio, &err);
}

static void side_close(struct side *side)
{
    vmmio_free(side->vmmio);
    virtio_dev_done(&side->dev);
    irq_line_close(&side->irq);
}

static int setup(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0 ||
        loop_create(clock_real(), &fix.loop, &err) < 0)
        return -1;
    vqd_init(&fix.driver, fix.gmem, 8);
    return side_open(&fix.from) < 0 ? -1 : side_open(&fix.to);
}

static int teardown(void **state)
{
    (void)state;
    side_close(&fix.from);
    side_close(&fix.to);
    loop_free(fix.loop);
    gmem_free(fix.gmem);
    return 0;
}

static uint32_t rd(const struct side *side, uint32_t off)
{
    le32_t value = {0};
    vmmio_bus_ops.read(side->vmmio, off, &value, sizeof(value));
    return le32_get(value);
}

static void wr(const struct side *side, uint32_t off, uint32_t value)
{
    le32_t wire = le32_put(value);
    vmmio_bus_ops.write(side->vmmio, off, &wire, sizeof(wire));
}

/* The driver of `from` up to FEATURES_OK, with all features, and its queue. */
static void almost_ready(void)
{
    const struct side *side = &fix.from;
    wr(side, VIRTIO_MMIO_STATUS, 1);
    wr(side, VIRTIO_MMIO_STATUS, 3);
    wr(side, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 0);
    wr(side, VIRTIO_MMIO_DRIVER_FEATURES, 1u << FEATURE_OWN | 1u << VIRTIO_RING_F_EVENT_IDX);
    wr(side, VIRTIO_MMIO_DRIVER_FEATURES_SEL, 1);
    wr(side, VIRTIO_MMIO_DRIVER_FEATURES, 1); /* VERSION_1 */
    wr(side, VIRTIO_MMIO_STATUS, 11);
    wr(side, VIRTIO_MMIO_QUEUE_SEL, 0);
    wr(side, VIRTIO_MMIO_QUEUE_NUM, 8);
    wr(side, VIRTIO_MMIO_QUEUE_DESC_LOW, VQD_DESC);
    wr(side, VIRTIO_MMIO_QUEUE_AVAIL_LOW, VQD_AVAIL);
    wr(side, VIRTIO_MMIO_QUEUE_USED_LOW, VQD_USED);
    wr(side, VIRTIO_MMIO_QUEUE_READY, 1);
}

static void ready(void)
{
    almost_ready();
    wr(&fix.from, VIRTIO_MMIO_STATUS, RUNNING);
    assert_true(fix.from.dev.active);
}

/* The driver gives `count` buffers, gets them back, and takes note. */
static void turn_over(struct virtio_dev *dev, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t head;
        uint32_t len;
        vqd_desc(&fix.driver, VQD_DESC, (uint16_t)(i % 8), 0x40000, 16, 0, 0);
        vqd_offer(&fix.driver, (uint16_t)(i % 8));
        dev->ops->on_queue(dev, 0);
        assert_int_equal(vqd_take_used(&fix.driver, &head, &len), 1);
        assert_int_equal(head, i % 8);
    }
}

static void save(void)
{
    vmmio_save(fix.from.vmmio, &fix.state);
}

static int restore(struct err *ret_err)
{
    *ret_err = (struct err)ERR_INIT;
    int rc = virtio_state_check(&fix.state, ret_err);
    return rc < 0 ? rc : vmmio_restore(fix.to.vmmio, &fix.state, ret_err);
}

static void move(void)
{
    struct err err;
    save();
    int rc = restore(&err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
}

static void test_vmmio_restore__active_device__registers_as_they_were(void **state)
{
    (void)state;
    ready();
    fix.from.dev.config_generation = 7;
    wr(&fix.from, VIRTIO_MMIO_DEVICE_FEATURES_SEL, 1);
    move();
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_STATUS), RUNNING);
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_CONFIG_GENERATION), 7);
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_DEVICE_FEATURES), 1); /* the upper half */
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_QUEUE_READY), 1);
    assert_int_equal(fix.to.dev.acked, fix.from.dev.acked);
    assert_int_equal(fix.to.activated, 1);
    assert_true(fix.to.dev.active && fix.to.dev.paused);
    assert_false(virtio_serves(&fix.to.dev));
}

static void test_vmmio_restore__indexes_near_wrap__rings_go_on_across_it(void **state)
{
    (void)state;
    ready();
    turn_over(&fix.from.dev, NEAR_WRAP);
    move();
    assert_int_equal(fix.state.queues[0].next_avail, NEAR_WRAP);
    assert_int_equal(fix.state.queues[0].next_used, NEAR_WRAP);
    fix.to.dev.paused = false;
    turn_over(&fix.to.dev, 8);
    assert_int_equal(vqd_used_idx(&fix.driver), (uint16_t)(NEAR_WRAP + 8));
    assert_int_equal(fix.to.dev.queues[0].next_avail, (uint16_t)(NEAR_WRAP + 8));
}

static void test_vmmio_restore__buffers_not_looked_at_yet__served_after_it(void **state)
{
    (void)state;
    uint32_t head;
    uint32_t len;
    ready();
    turn_over(&fix.from.dev, 3);
    vqd_offer(&fix.driver, 5);
    move();
    fix.to.dev.paused = false;
    fix.to.dev.ops->on_queue(&fix.to.dev, 0);
    assert_int_equal(vqd_take_used(&fix.driver, &head, &len), 1);
    assert_int_equal(head, 5);
}

static void test_vmmio_restore__interrupt_not_seen__raised_again_when_asked(void **state)
{
    (void)state;
    uint64_t edges = 0;
    ready();
    turn_over(&fix.from.dev, 1);
    move();
    vmmio_renotify(fix.to.vmmio);
    assert_int_equal(read(fix.to.irq.fd, &edges, sizeof(edges)), sizeof(edges));
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_INTERRUPT_STATUS), 1);
}

static void test_vmmio_renotify__nothing_pending__no_interrupt(void **state)
{
    (void)state;
    uint64_t edges = 0;
    ready();
    move();
    vmmio_renotify(fix.to.vmmio);
    assert_int_equal(read(fix.to.irq.fd, &edges, sizeof(edges)), -1);
}

static void test_vmmio_restore__driver_half_way__goes_on_to_be_ready(void **state)
{
    (void)state;
    almost_ready();
    move();
    assert_false(fix.to.dev.active);
    assert_int_equal(fix.to.activated, 0);
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_STATUS), 11);
    wr(&fix.to, VIRTIO_MMIO_STATUS, RUNNING);
    assert_true(fix.to.dev.active);
}

static void test_vmmio_restore__no_driver_yet__nothing_is_told(void **state)
{
    (void)state;
    move();
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_STATUS), 0);
    assert_false(fix.to.dev.active);
}

static void test_vmmio_restore__broken_device__stays_broken(void **state)
{
    (void)state;
    ready();
    virtio_mark_broken(&fix.from.dev, "unit", -EPROTO);
    move();
    assert_true(fix.to.dev.broken);
    assert_false(virtio_serves(&fix.to.dev));
    assert_int_equal(rd(&fix.to, VIRTIO_MMIO_STATUS), RUNNING | VIRTIO_CONFIG_S_NEEDS_RESET);
    wr(&fix.to, VIRTIO_MMIO_STATUS, 0);
    assert_false(fix.to.dev.broken);
}

static void test_vmmio_restore__features_that_are_not_here__refused_and_named(void **state)
{
    (void)state;
    struct err err;
    ready();
    fix.to.dev.offered &= ~(1ull << FEATURE_OWN);
    save();
    assert_int_equal(restore(&err), -EINVAL);
    assert_string_equal(err.msg,
                        "the guest uses features 0x20, which the device does not have here");
    assert_int_equal(fix.to.activated, 0);
}

static void test_vmmio_restore__other_device__refused(void **state)
{
    (void)state;
    struct err err;
    ready();
    save();
    fix.state.device_type = 1;
    assert_int_equal(restore(&err), -EINVAL);
    assert_string_equal(err.msg, "the state is of device type 1 with 1 queues, expected 2 with 1");
    fix.state.device_type = DEVICE_TYPE;
    fix.state.queues_count = 2;
    assert_int_equal(restore(&err), -EINVAL);
    assert_string_equal(err.msg, "the state is of device type 2 with 2 queues, expected 2 with 1");
}

static void test_vmmio_restore__ring_outside_memory__refused(void **state)
{
    (void)state;
    struct err err;
    ready();
    save();
    fix.state.queues[0].setup.used = MEMORY_SIZE - 4;
    assert_int_equal(restore(&err), -EFAULT);
    assert_non_null(strstr(err.msg, "its rings or its backend cannot be used here: "));
}

static void test_vmmio_restore__backend_fails__refused(void **state)
{
    (void)state;
    struct err err;
    ready();
    save();
    fix.to.activate_result = -EIO;
    assert_int_equal(restore(&err), -EIO);
    assert_non_null(strstr(err.msg, "its rings or its backend cannot be used here: "));
}

/* One thing of a good state changed, and what is said of it. */
static void expect_check_fails(const char *sentence)
{
    struct err err = ERR_INIT;
    assert_int_equal(virtio_state_check(&fix.state, &err), -EINVAL);
    assert_string_equal(err.msg, sentence);
    save();
    assert_int_equal(virtio_state_check(&fix.state, &err), 0);
}

static void test_virtio_state_check__impossible_values__each_named(void **state)
{
    (void)state;
    ready();
    save();
    fix.state.queues_count = 0;
    expect_check_fails("it has 0 queues, expected 1 to 3");
    fix.state.queues_count = VIRTIO_QUEUES_MAX + 1;
    expect_check_fails("it has 4 queues, expected 1 to 3");
    fix.state.irq_bits = 4;
    expect_check_fails("its interrupt status 0x4 has unknown bits");
    fix.state.irq_bits = 0x80000000;
    expect_check_fails("its interrupt status 0x80000000 has unknown bits");
    fix.state.status = 0x100;
    expect_check_fails("its status 0x100 has unknown bits");
    fix.state.status = 11;
    expect_check_fails("it is active in status 0xb");
    fix.state.queues[0].setup.size = VQ_SIZE_MAX + 1;
    expect_check_fails("its queue 0 has 257 entries, more than 256");
}

static struct vq *queue(void)
{
    return &fix.from.dev.queues[0];
}

static void test_vq_notify_next__with_event_idx__the_entry_behind_all(void **state)
{
    (void)state;
    ready();
    vqd_offer(&fix.driver, 1);
    vqd_offer(&fix.driver, 2);
    assert_int_equal(vq_notify_next(queue()), 2);
    assert_int_equal(vqd_avail_event(&fix.driver), 2);
    assert_int_equal(queue()->next_avail, 0); /* left alone */
}

static void test_vq_notify_next__without_event_idx__flag_is_cleared(void **state)
{
    (void)state;
    fix.from.dev.offered &= ~(1ull << VIRTIO_RING_F_EVENT_IDX);
    ready();
    assert_false(queue()->event_idx);
    vq_notify_off(queue());
    assert_int_equal(vqd_used_flags(&fix.driver), VRING_USED_F_NO_NOTIFY);
    vqd_offer(&fix.driver, 1);
    assert_int_equal(vq_notify_next(queue()), 1);
    assert_int_equal(vqd_used_flags(&fix.driver), 0);
    assert_int_equal(queue()->next_avail, 0);
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vmmio_restore__active_device__registers_as_they_were),
        TEST(test_vmmio_restore__indexes_near_wrap__rings_go_on_across_it),
        TEST(test_vmmio_restore__buffers_not_looked_at_yet__served_after_it),
        TEST(test_vmmio_restore__interrupt_not_seen__raised_again_when_asked),
        TEST(test_vmmio_renotify__nothing_pending__no_interrupt),
        TEST(test_vmmio_restore__driver_half_way__goes_on_to_be_ready),
        TEST(test_vmmio_restore__no_driver_yet__nothing_is_told),
        TEST(test_vmmio_restore__broken_device__stays_broken),
        TEST(test_vmmio_restore__features_that_are_not_here__refused_and_named),
        TEST(test_vmmio_restore__other_device__refused),
        TEST(test_vmmio_restore__ring_outside_memory__refused),
        TEST(test_vmmio_restore__backend_fails__refused),
        TEST(test_virtio_state_check__impossible_values__each_named),
        TEST(test_vq_notify_next__with_event_idx__the_entry_behind_all),
        TEST(test_vq_notify_next__without_event_idx__flag_is_cleared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
