/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of frames to the guest: devices/net/net_rx.c. Single thread. */
#include "tests/unit/net/net_fixture.h"

#define BUFFER_STEP 0x12000ull

static uint64_t buffer_addr(uint16_t head)
{
    return RX_BUFFERS + head * BUFFER_STEP;
}

/* Again for one that was given back: a scribbling build has eaten it. */
static void lay_out(uint16_t head, uint32_t len)
{
    vqd_desc(&fix.rx, VQD_DESC, head, buffer_addr(head), len, VRING_DESC_F_WRITE, 0);
}

static void offer(uint16_t head, uint32_t len)
{
    lay_out(head, len);
    vqd_offer(&fix.rx, head);
}

static void offer_many(uint16_t first, uint16_t count, uint32_t len)
{
    for (uint16_t i = 0; i < count; i++)
        offer((uint16_t)(first + i), len);
}

static void host_sends(const uint8_t *frame, size_t len)
{
    assert_int_equal(send(fix.host, frame, len, 0), (ssize_t)len);
}

/* What the loop has to do; returns the callbacks. */
static int turn(void)
{
    return loop_turn(fix.loop, 0);
}

static void expect_used(uint16_t head, uint32_t len)
{
    uint32_t id;
    uint32_t used_len;
    assert_int_equal(vqd_take_used(&fix.rx, &id, &used_len), 1);
    assert_int_equal(id, head);
    assert_int_equal(used_len, len);
}

static void expect_nothing_used(void)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.rx, &id, &len), 0);
}

/* The frame lies in buffers of `len` bytes from `head` on; its header says how many. */
static void expect_in_buffers(uint16_t head, uint32_t len, const uint8_t *frame, size_t frame_len)
{
    size_t count = (frame_len + len - 1) / len;
    uint8_t header[TAP_HEADER_SIZE];
    memcpy(header, frame, sizeof(header));
    header[10] = (uint8_t)count;
    header[11] = (uint8_t)(count >> 8);
    assert_memory_equal(memory(buffer_addr(head), sizeof(header)), header, sizeof(header));
    for (size_t off = 0; off < frame_len; off += len, head++) {
        size_t here = frame_len - off < len ? frame_len - off : len;
        size_t skip = off == 0 ? sizeof(header) : 0;
        assert_memory_equal(memory(buffer_addr(head), here) + skip, frame + off + skip,
                            here - skip);
        expect_used(head, (uint32_t)here);
    }
}

static void test_net_rx__frame_larger_than_a_buffer__merged(void **state)
{
    (void)state;
    const uint8_t *frame = frame_of(5000, 3);
    offer_many(0, 40, 2048);
    kick(0);
    host_sends(frame, 5000);
    assert_int_equal(turn(), 1);
    expect_in_buffers(0, 2048, frame, 5000);
    expect_nothing_used();
    frame = frame_of(65562, 4);
    host_sends(frame, 65562);
    offer_many(40, 10, 2048);
    kick(0);
    (void)turn();
    expect_in_buffers(3, 2048, frame, 65562);
}

static void test_net_rx__exactly_full_buffers__no_empty_one(void **state)
{
    (void)state;
    offer_many(0, 40, 2048);
    kick(0);
    for (size_t len = 4095; len <= 4097; len++) {
        reset_device();
        assert_int_equal(activate(MERGEABLE), 0);
        offer_many(0, 40, 2048);
        kick(0);
        const uint8_t *frame = frame_of(len, 1);
        host_sends(frame, len);
        assert_int_equal(turn(), 1);
        expect_in_buffers(0, 2048, frame, len);
        expect_nothing_used();
    }
}

static void test_net_rx__too_few_buffers__tap_waits_unwatched(void **state)
{
    (void)state;
    uint64_t before = metric_get(&counters()->no_rx_avail_buffer);
    const uint8_t *frame = frame_of(100, 3);
    offer_many(0, 32, 2048); /* 65,536 bytes: 26 too few */
    kick(0);
    host_sends(frame, 100);
    assert_int_equal(turn(), 0);
    expect_nothing_used();
    assert_int_equal(metric_get(&counters()->no_rx_avail_buffer), before + 1);
    offer(32, 2048);
    kick(0);
    expect_in_buffers(0, 2048, frame, 100);
}

/* Without merging, with those features: a buffer of one byte less than `needed` comes back
 * empty, and the next one takes a frame. */
static void expect_needed(uint64_t features, uint32_t needed, size_t frame_len)
{
    reset_device();
    assert_int_equal(activate(features), 0);
    const uint8_t *frame = frame_of(frame_len, 9);
    offer(0, needed - 1);
    offer(1, needed);
    kick(0);
    expect_used(0, 0);
    host_sends(frame, frame_len);
    assert_int_equal(turn(), 1);
    expect_in_buffers(1, needed, frame, frame_len);
}

static void test_net_rx__not_mergeable__small_buffers_returned_empty(void **state)
{
    (void)state;
    expect_needed(1ull << VIRTIO_NET_F_GUEST_TSO4 | 1ull << VIRTIO_NET_F_GUEST_CSUM, 65562, 3000);
}

static void test_net_rx__no_segmentation__1526_bytes_do(void **state)
{
    (void)state;
    expect_needed(0, 1526, 1526);
}

static void test_net_rx__buffer_that_takes_no_header__returned_empty(void **state)
{
    (void)state;
    vqd_desc(&fix.rx, VQD_DESC, 0, buffer_addr(0), 2048, 0, 0); /* for the device to read */
    vqd_offer(&fix.rx, 0);
    vqd_desc(&fix.rx, VQD_DESC, 1, buffer_addr(1), 11, VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 2);
    vqd_desc(&fix.rx, VQD_DESC, 2, buffer_addr(2), 2048, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.rx, 1);
    vqd_desc(&fix.rx, VQD_DESC, 3, MEMORY_SIZE - 100, 2048, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.rx, 3);
    kick(0);
    expect_used(0, 0);
    expect_used(1, 0);
    expect_used(3, 0);
    assert_false(net_virtio(fix.net)->broken);
}

static void test_net_rx__pieces_too_small_for_a_frame__needs_reset(void **state)
{
    (void)state;
    for (uint16_t i = 0; i < 120; i++)
        vqd_desc(&fix.rx, VQD_DESC, i, buffer_addr(0) + i * 16u, 12,
                 VRING_DESC_F_WRITE | (i < 119 ? VRING_DESC_F_NEXT : 0), (uint16_t)(i + 1));
    for (uint16_t head = 0; head < 10; head++) /* all heads share one tail */
        vqd_offer(&fix.rx, head);
    kick(0);
    assert_true(net_virtio(fix.net)->broken);
}

static void test_net_rx__limiter_denies__held_and_delivered_first(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 1, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &limiter, &(struct cfg_rate_limiter){0});
    offer_many(0, 50, 2048);
    kick(0);
    for (uint8_t i = 0; i < 3; i++)
        host_sends(frame_of(100, i), 100);
    (void)turn();
    expect_in_buffers(0, 2048, frame_of(100, 0), 100);
    expect_nothing_used();
    for (uint16_t i = 1; i < 3; i++) {
        assert_int_equal(turn(), 0); /* not watched: nobody spins */
        kick(0);
        expect_nothing_used();
        fix.now_ns += 100 * NS_PER_MS;
        assert_true(turn() >= 1);
        expect_in_buffers(i, 2048, frame_of(100, (uint8_t)i), 100);
    }
}

static void test_net_rx__many_frames__a_pass_has_its_budget(void **state)
{
    (void)state;
    offer_many(0, 127, 2048);
    kick(0);
    for (uint8_t i = 0; i < 80; i++)
        host_sends(frame_of(100, i), 100);
    assert_int_equal(turn(), 1);
    for (uint16_t i = 0; i < 64; i++)
        expect_used(i, 100);
    expect_nothing_used();
    assert_int_equal(turn(), 1);
    for (uint16_t i = 64; i < 80; i++)
        expect_used(i, 100);
}

static void test_net_rx__pause__ring_whole_and_nothing_lost(void **state)
{
    (void)state;
    struct virtio_dev *dev = net_virtio(fix.net);
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 1, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &limiter, &(struct cfg_rate_limiter){0});
    offer_many(0, 50, 2048);
    kick(0);
    for (uint8_t i = 0; i < 3; i++)
        host_sends(frame_of(100, i), 100);
    (void)turn(); /* one delivered, one held, one in the TAP */
    assert_int_equal(virtio_dev_pause(dev, fix.now_ns + NS_PER_S), 0);
    expect_in_buffers(0, 2048, frame_of(100, 0), 100);
    expect_in_buffers(1, 2048, frame_of(100, 1), 100);
    assert_int_equal(vq_in_flight_count(&dev->queues[0]), 0);
    assert_int_equal(dev->queues[0].next_avail, 2);
    fix.now_ns += 200 * NS_PER_MS;
    (void)turn();
    expect_nothing_used(); /* paused */
    for (uint16_t head = 2; head < 50; head++)
        lay_out(head, 2048);
    virtio_dev_resume(dev);
    kick(0);
    expect_in_buffers(2, 2048, frame_of(100, 2), 100);
}

static void test_net_rx__reset_with_a_held_frame__starts_anew(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 1, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &limiter, &(struct cfg_rate_limiter){0});
    offer_many(0, 50, 2048);
    kick(0);
    host_sends(frame_of(100, 0), 100);
    host_sends(frame_of(100, 1), 100);
    (void)turn();
    reset_device();
    fix.now_ns += 100 * NS_PER_MS;
    (void)turn(); /* the limiter's timer finds a device without a driver */
    assert_int_equal(activate(MERGEABLE), 0);
    offer_many(0, 50, 2048);
    kick(0);
    host_sends(frame_of(100, 2), 100);
    (void)turn();
    expect_in_buffers(0, 2048, frame_of(100, 2), 100);
}

static void test_net_rx__broken_ring__needs_reset(void **state)
{
    (void)state;
    vqd_set_avail_idx(&fix.rx, QUEUE_SIZE + 1);
    kick(0);
    assert_true(net_virtio(fix.net)->broken);
    host_sends(frame_of(100, 0), 100);
    (void)turn();
    assert_int_equal(turn(), 0); /* not watched any more */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_rx__frame_larger_than_a_buffer__merged),
        TEST(test_net_rx__exactly_full_buffers__no_empty_one),
        TEST(test_net_rx__too_few_buffers__tap_waits_unwatched),
        TEST(test_net_rx__not_mergeable__small_buffers_returned_empty),
        TEST(test_net_rx__no_segmentation__1526_bytes_do),
        TEST(test_net_rx__buffer_that_takes_no_header__returned_empty),
        TEST(test_net_rx__pieces_too_small_for_a_frame__needs_reset),
        TEST(test_net_rx__limiter_denies__held_and_delivered_first),
        TEST(test_net_rx__many_frames__a_pass_has_its_budget),
        TEST(test_net_rx__pause__ring_whole_and_nothing_lost),
        TEST(test_net_rx__reset_with_a_held_frame__starts_anew),
        TEST(test_net_rx__broken_ring__needs_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
