/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of frames from the guest: devices/net/net_tx.c. Single thread. */
#include "tests/unit/net/net_fixture.h"

/* Puts bytes into guest memory and describes them by a chain of pieces of that length; head
 * `head`. Again for one that was put back: a scribbling build has eaten it. */
static void lay_out(uint16_t head, const uint8_t *frame, size_t len, size_t piece)
{
    uint64_t addr = TX_BUFFERS + head * 0x20000ull;
    uint16_t idx = head;
    assert_int_equal(gmem_write(fix.gmem, gpa(addr), frame, len), 0);
    for (size_t off = 0; off < len; off += piece, idx++) {
        size_t here = len - off < piece ? len - off : piece;
        bool more = off + here < len;
        vqd_desc(&fix.tx, TX_BASE + VQD_DESC, idx, addr + off, (uint32_t)here,
                 more ? VRING_DESC_F_NEXT : 0, (uint16_t)(idx + 1));
    }
}

static void offer(uint16_t head, const uint8_t *frame, size_t len, size_t piece)
{
    lay_out(head, frame, len, piece);
    vqd_offer(&fix.tx, head);
}

static void expect_frame(const uint8_t *frame, size_t len)
{
    static uint8_t got[FRAME_MAX];
    assert_int_equal(recv(fix.host, got, sizeof(got), MSG_DONTWAIT), (ssize_t)len);
    assert_memory_equal(got, frame, len);
}

static void expect_no_frame(void)
{
    uint8_t byte;
    assert_int_equal(recv(fix.host, &byte, 1, MSG_DONTWAIT), -1);
    assert_int_equal(errno, EAGAIN);
}

static void expect_used(uint16_t head)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 1);
    assert_int_equal(id, head);
    assert_int_equal(len, 0);
}

static void expect_nothing_used(void)
{
    uint32_t id;
    uint32_t len;
    assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 0);
}

static void test_net_tx__frame_in_any_pieces__sent_whole(void **state)
{
    (void)state;
    static const size_t pieces[] = {12, 26, 100, 140, 141, 1526, 65562};
    for (size_t i = 0; i < ARRAY_LEN(pieces); i++) {
        const uint8_t *frame = frame_of(1526, (uint8_t)i);
        offer(0, frame, 1526, pieces[i]);
        kick(1);
        expect_frame(frame, 1526);
        expect_used(0);
    }
    expect_no_frame();
}

static void test_net_tx__smallest_and_largest__sent(void **state)
{
    (void)state;
    static const size_t sizes[] = {26, 139, 140, 141, 65562};
    for (size_t i = 0; i < ARRAY_LEN(sizes); i++) {
        const uint8_t *frame = frame_of(sizes[i], (uint8_t)i);
        offer(0, frame, sizes[i], 4096);
        kick(1);
        expect_frame(frame, sizes[i]);
        expect_used(0);
    }
}

static void test_net_tx__no_frame__dropped_and_counted(void **state)
{
    (void)state;
    uint64_t before = metric_get(&counters()->tx_malformed_frames);
    offer(0, frame_of(26, 0), 25, 25);          /* too short */
    offer(1, frame_of(65563, 0), 65563, 65563); /* too long */
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 2, TX_BUFFERS, 100, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.tx, 2); /* for the device to write */
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 3, MEMORY_SIZE - 50, 100, 0, 0);
    vqd_offer(&fix.tx, 3); /* looked at: outside memory */
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 4, TX_BUFFERS, 140, VRING_DESC_F_NEXT, 5);
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 5, MEMORY_SIZE - 50, 100, 0, 0);
    vqd_offer(&fix.tx, 4); /* payload outside memory */
    kick(1);
    for (uint16_t head = 0; head < 5; head++)
        expect_used(head);
    expect_no_frame();
    assert_int_equal(metric_get(&counters()->tx_malformed_frames), before + 5);
}

static void test_net_tx__foreign_source_mac__counted_and_sent(void **state)
{
    (void)state;
    uint64_t before = metric_get(&counters()->tx_spoofed_mac_count);
    uint8_t *frame = frame_of(60, 1);
    frame[TAP_HEADER_SIZE + 6] ^= 2;
    offer(0, frame, 60, 60);
    kick(1);
    expect_frame(frame, 60);
    assert_int_equal(metric_get(&counters()->tx_spoofed_mac_count), before + 1);
}

static void test_net_tx__nic_without_a_mac__nothing_is_foreign(void **state)
{
    (void)state;
    const struct cfg_nic nic = {.iface_id = iface_id, .host_dev_name = host_name};
    struct err err = ERR_INIT;
    assert_int_equal(nic_create(&nic, &err), 0);
    assert_int_equal(activate(MERGEABLE), 0);
    uint64_t before = metric_get(&counters()->tx_spoofed_mac_count);
    offer(0, frame_of(60, 1), 60, 60);
    kick(1);
    expect_frame(frame_of(60, 1), 60);
    assert_int_equal(metric_get(&counters()->tx_spoofed_mac_count), before);
}

static void test_net_tx__limiter_denies__waits_in_order(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limiter = {
        .present = true, .ops = {.present = true, .size = 2, .refill_time_ms = 100}};
    net_replace_limiters(fix.net, &(struct cfg_rate_limiter){0}, &limiter);
    for (uint16_t head = 0; head < 3; head++)
        offer(head, frame_of(60, (uint8_t)head), 60, 60);
    kick(1);
    expect_frame(frame_of(60, 0), 60);
    expect_frame(frame_of(60, 1), 60);
    expect_no_frame();
    expect_used(0);
    expect_used(1);
    expect_nothing_used();
    lay_out(2, frame_of(60, 2), 60, 60);
    kick(1);
    expect_no_frame();
    fix.now_ns += 100 * NS_PER_MS;
    assert_int_equal(loop_turn(fix.loop, 0), 1);
    expect_frame(frame_of(60, 2), 60);
    expect_used(2);
}

static void test_net_tx__limiter_taken_away__goes_on(void **state)
{
    (void)state;
    const struct cfg_rate_limiter limit = {
        .present = true, .bandwidth = {.present = true, .size = 60, .refill_time_ms = 1000}};
    const struct cfg_rate_limiter none = {.present = true, .bandwidth = {.present = true}};
    net_replace_limiters(fix.net, &(struct cfg_rate_limiter){0}, &limit);
    for (uint16_t head = 0; head < 2; head++)
        offer(head, frame_of(60, (uint8_t)head), 60, 60);
    kick(1);
    expect_frame(frame_of(60, 0), 60);
    expect_no_frame();
    lay_out(1, frame_of(60, 1), 60, 60);
    net_replace_limiters(fix.net, &none, &none);
    kick(1); /* the device asks for it itself */
    expect_frame(frame_of(60, 1), 60);
}

static void test_net_tx__more_than_a_pass__the_rest_later(void **state)
{
    (void)state;
    for (uint16_t head = 0; head < 100; head++)
        offer(head, frame_of(60, (uint8_t)head), 60, 60);
    kick(1);
    for (uint16_t head = 0; head < 64; head++)
        expect_used(head);
    expect_nothing_used();
    kick(1); /* the device asks for it itself */
    for (uint16_t head = 64; head < 100; head++)
        expect_used(head);
}

static void test_net_tx__tap_refuses__dropped_and_counted(void **state)
{
    (void)state;
    uint64_t before = metric_get(&counters()->tap_write_fails);
    fd_close(&fix.host);
    offer(0, frame_of(60, 0), 60, 60);
    kick(1);
    expect_used(0);
    assert_int_equal(metric_get(&counters()->tap_write_fails), before + 1);
}

static void test_net_tx__broken_ring__needs_reset(void **state)
{
    (void)state;
    vqd_set_avail_idx(&fix.tx, QUEUE_SIZE + 1);
    kick(1);
    assert_true(net_virtio(fix.net)->broken);
    expect_no_frame();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_net_tx__frame_in_any_pieces__sent_whole),
        TEST(test_net_tx__smallest_and_largest__sent),
        TEST(test_net_tx__no_frame__dropped_and_counted),
        TEST(test_net_tx__foreign_source_mac__counted_and_sent),
        BARE(test_net_tx__nic_without_a_mac__nothing_is_foreign),
        TEST(test_net_tx__limiter_denies__waits_in_order),
        TEST(test_net_tx__limiter_taken_away__goes_on),
        TEST(test_net_tx__more_than_a_pass__the_rest_later),
        TEST(test_net_tx__tap_refuses__dropped_and_counted),
        TEST(test_net_tx__broken_ring__needs_reset),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
