/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of packets from the guest: devices/vsock/vsock_tx.c. Single thread. */
#include "base/metrics.h"
#include "tests/unit/vsock/vsock_fixture.h"

static void test_tx__stream_of_another_type__reset(void **state)
{
    (void)state;
    give(0, 2, 4096);
    struct vsock_packet packet = packet_of(VSOCK_OP_REQUEST, 99, 1000);
    packet.type = VIRTIO_VSOCK_TYPE_SEQPACKET;
    send_packet(&packet, NULL);
    const struct vsock_packet reset = expect_packet(VSOCK_OP_RST, 99, 1000);
    assert_int_equal(reset.buf_alloc, 0);
    assert_int_equal(reset.fwd_cnt, 0);
}

static void test_tx__another_cid_than_the_hosts__dropped(void **state)
{
    (void)state;
    static const uint64_t cids[] = {0, 1, 3, GUEST_CID, UINT32_MAX, 1ull << 32 | 2};
    give(0, 2, 4096);
    for (size_t i = 0; i < sizeof(cids) / sizeof(cids[0]); i++) {
        struct vsock_packet packet = packet_of(VSOCK_OP_REQUEST, 99, 1000);
        packet.dst_cid = cids[i];
        send_packet(&packet, NULL);
    }
    expect_no_packet();
}

static void test_tx__forged_source_cid__of_no_account(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    struct vsock_packet packet = packet_of(VSOCK_OP_RW, port, GUEST_PORT);
    packet.src_cid = 7;
    packet.len = 2;
    send_packet(&packet, "hi");
    expect_host_reads(fd, "hi");
    fd_close(&fd);
}

static void test_tx__no_such_stream__reset(void **state)
{
    (void)state;
    static const enum vsock_op ops[] = {VSOCK_OP_RESPONSE,      VSOCK_OP_RST,
                                        VSOCK_OP_SHUTDOWN,      VSOCK_OP_RW,
                                        VSOCK_OP_CREDIT_UPDATE, VSOCK_OP_CREDIT_REQUEST};
    give(0, 8, 4096);
    for (size_t i = 0; i < sizeof(ops) / sizeof(ops[0]); i++) {
        guest_says(ops[i], 99, 1000);
        (void)expect_packet(VSOCK_OP_RST, 99, 1000);
    }
}

static void test_tx__more_refusals_than_are_kept__the_rest_lost(void **state)
{
    (void)state;
    uint32_t count = 0;
    struct vsock_packet packet;
    for (uint32_t i = 0; i < 300; i++)
        guest_says(VSOCK_OP_RW, 99, i);
    for (uint16_t round = 0; round < 4; round++) {
        give(0, 100, 4096);
        while (take_packet(&packet, NULL)) {
            assert_int_equal(packet.dst_port, count);
            count++;
        }
    }
    assert_int_equal(count, 256);
}

/* One chain of those lengths, as the header says that it holds `len` bytes. */
static void offer_pieces(const uint32_t *lens, uint16_t count, uint32_t port, uint32_t len)
{
    static uint8_t bytes[2 * VSOCK_PAYLOAD_MAX_SIZE];
    struct vsock_packet packet = packet_of(VSOCK_OP_RW, port, GUEST_PORT);
    struct vsock_wire_header wire;
    uint32_t head;
    uint32_t used_len;
    uint64_t addr = TX_BUFFERS;
    packet.len = len;
    vsock_packet_encode(&packet, &wire);
    memcpy(bytes, &wire, sizeof(wire));
    for (size_t i = sizeof(wire); i < sizeof(bytes); i++)
        bytes[i] = (uint8_t)(i - sizeof(wire));
    assert_int_equal(gmem_write(fix.gmem, gpa(addr), bytes, sizeof(bytes)), 0);
    for (uint16_t i = 0; i < count; addr += lens[i], i++)
        vqd_desc(&fix.tx, TX_BASE + VQD_DESC, i, addr, lens[i],
                 i + 1 < count ? VRING_DESC_F_NEXT : 0, (uint16_t)(i + 1));
    vqd_offer(&fix.tx, 0);
    kick(1);
    assert_int_equal(vqd_take_used(&fix.tx, &head, &used_len), 1);
    assert_int_equal(used_len, 0);
}

static void test_tx__packet_in_any_pieces__arrives_whole(void **state)
{
    (void)state;
    static const uint32_t cuts[][5] = {{144},          {44, 100},          {43, 101},
                                       {1, 1, 1, 141}, {20, 24, 1, 98, 1}, {145}};
    uint32_t port;
    give(0, 2, 4096);
    int fd = host_connects(&port);
    for (size_t i = 0; i < sizeof(cuts) / sizeof(cuts[0]); i++) {
        uint8_t got[128];
        uint16_t count = 0;
        while (count < 5 && cuts[i][count] > 0)
            count++;
        offer_pieces(cuts[i], count, port, 100);
        assert_int_equal(recv(fd, got, sizeof(got), 0), 100);
        for (uint8_t byte = 0; byte < 100; byte++)
            assert_int_equal(got[byte], byte);
    }
    fd_close(&fd);
}

static void test_tx__no_packet__dropped_and_counted(void **state)
{
    (void)state;
    static const struct {
        uint32_t lens[2];
        uint16_t count;
        uint32_t len;
    } rows[] = {
        {{43}, 1, 0},             /* no whole header */
        {{44, 99}, 2, 100},       /* less than it says */
        {{44}, 1, UINT32_MAX},    /* likewise */
        {{44, 65537}, 2, 65537},  /* too long */
        {{44, 100000}, 2, 99999}, /* likewise */
    };
    uint32_t port;
    give(0, 2, 4096);
    int fd = host_connects(&port);
    uint64_t fails = metric_get(&metrics.vsock.tx_queue_event_fails);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
        offer_pieces(rows[i].lens, rows[i].count, port, rows[i].len);
    assert_int_equal(metric_get(&metrics.vsock.tx_queue_event_fails), fails + 5);
    expect_host_nothing(fd);
    offer_pieces((const uint32_t[]){44, 65536}, 2, port, 65536); /* and the longest is not */
    uint8_t byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 1);
    fd_close(&fd);
}

static void test_tx__header_or_payload_outside_memory__harms_nobody(void **state)
{
    (void)state;
    uint32_t port;
    uint32_t head;
    uint32_t len;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 0, MEMORY_SIZE - 10, 44, 0, 0);
    vqd_offer(&fix.tx, 0);
    kick(1);
    assert_int_equal(vqd_take_used(&fix.tx, &head, &len), 1);
    expect_no_packet();
    struct vsock_packet packet = packet_of(VSOCK_OP_RW, port, GUEST_PORT);
    packet.len = 100;
    lay_out(0, &packet, (uint8_t[100]){0});
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, 1, MEMORY_SIZE - 10, 100, 0, 0);
    vqd_offer(&fix.tx, 0);
    kick(1);
    assert_int_equal(vqd_take_used(&fix.tx, &head, &len), 1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT); /* its stream has lost bytes */
    expect_host_end(fd);
    fd_close(&fd);
}

static void test_tx__more_than_a_pass__the_rest_later(void **state)
{
    (void)state;
    struct vsock_packet packet = packet_of(VSOCK_OP_RW, 99, GUEST_PORT);
    struct vsock_wire_header wire;
    uint32_t id;
    uint32_t len;
    packet.dst_cid = 3; /* for nobody: dropped */
    vsock_packet_encode(&packet, &wire);
    for (uint16_t head = 0; head < 200; head++) {
        uint64_t addr = TX_BUFFERS + head * 64ull;
        assert_int_equal(gmem_write(fix.gmem, gpa(addr), &wire, sizeof(wire)), 0);
        vqd_desc(&fix.tx, TX_BASE + VQD_DESC, head, addr, sizeof(wire), 0, 0);
        vqd_offer(&fix.tx, head);
    }
    kick(1);
    for (uint32_t head = 0; head < 128; head++)
        assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 1);
    assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 0);
    kick(1); /* the device asks for it itself */
    for (uint32_t head = 128; head < 200; head++)
        assert_int_equal(vqd_take_used(&fix.tx, &id, &len), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_tx__stream_of_another_type__reset),
        TEST(test_tx__another_cid_than_the_hosts__dropped),
        TEST(test_tx__forged_source_cid__of_no_account),
        TEST(test_tx__no_such_stream__reset),
        TEST(test_tx__more_refusals_than_are_kept__the_rest_lost),
        TEST(test_tx__packet_in_any_pieces__arrives_whole),
        TEST(test_tx__no_packet__dropped_and_counted),
        TEST(test_tx__header_or_payload_outside_memory__harms_nobody),
        TEST(test_tx__more_than_a_pass__the_rest_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
