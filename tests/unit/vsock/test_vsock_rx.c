/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of packets to the guest: devices/vsock/vsock_rx.c. Single thread. */
#include "base/metrics.h"
#include "devices/vsock/vsock_int.h"
#include "tests/unit/vsock/vsock_fixture.h"

static uint8_t sent[1 << 20];

/* The host program writes that much at once; the buffers of its socket are made to hold it. */
static void host_writes_many(int fd, size_t len)
{
    int size = 4 * 1024 * 1024;
    (void)setsockopt(fd, SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    for (size_t i = 0; i < len; i++)
        sent[i] = (uint8_t)(i * 7 + i / 251);
    assert_int_equal(send(fd, sent, len, MSG_NOSIGNAL), len);
}

/* Takes RW packets until there is none; checks their bytes from *off on. Returns how many. */
static uint32_t take_data(size_t *off)
{
    static uint8_t payload[VSOCK_PAYLOAD_MAX_SIZE];
    struct vsock_packet packet;
    uint32_t count = 0;
    while (take_packet(&packet, payload)) {
        assert_int_equal(packet.op, VSOCK_OP_RW);
        assert_memory_equal(payload, sent + *off, packet.len);
        *off += packet.len;
        count++;
    }
    return count;
}

static void test_rx__bytes__cut_to_the_guests_buffers(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    give(0, 100, 4096);
    int fd = host_connects(&port);
    host_writes_many(fd, 100000);
    (void)turn();
    assert_int_equal(take_data(&off), (100000 + 4051) / 4052);
    assert_int_equal(off, 100000);
    fd_close(&fd);
}

static void test_rx__large_buffers__64_kib_a_packet(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    give(0, 8, 70000);
    int fd = host_connects(&port);
    host_writes_many(fd, 140000);
    (void)turn();
    assert_int_equal(take_data(&off), 3);
    assert_int_equal(off, 140000);
    fd_close(&fd);
}

static void test_rx__header_in_a_piece_of_its_own__filled(void **state)
{
    (void)state;
    uint32_t port;
    struct vsock_packet packet;
    uint8_t got[10];
    give(0, 2, 4096);
    int fd = host_connects(&port);
    vqd_desc(&fix.rx, VQD_DESC, 10, RX_BUFFERS + 10 * BUFFER_STEP, 44,
             VRING_DESC_F_WRITE | VRING_DESC_F_NEXT, 11);
    vqd_desc(&fix.rx, VQD_DESC, 11, RX_BUFFERS + 11 * BUFFER_STEP, 4096, VRING_DESC_F_WRITE, 0);
    vqd_offer(&fix.rx, 10);
    /* The first of what host_connects was given is left. */
    host_writes(fd, "0123456789");
    (void)turn();
    assert_true(take_packet(&packet, NULL));
    host_writes(fd, "abcdefghij");
    (void)turn();
    assert_true(take_packet(&packet, NULL));
    assert_int_equal(packet.len, 10);
    assert_int_equal(gmem_read(fix.gmem, gpa(RX_BUFFERS + 11 * BUFFER_STEP), got, 10), 0);
    assert_memory_equal(got, "abcdefghij", 10);
    fd_close(&fd);
}

static void test_rx__buffer_that_takes_no_packet__returned_empty(void **state)
{
    (void)state;
    static const uint32_t lens[] = {43, 44, 4096, 4096};
    uint32_t port;
    uint32_t head;
    uint32_t len;
    give(0, 1, 4096);
    int fd = host_connects(&port);
    uint64_t fails = metric_get(&metrics.vsock.rx_queue_event_fails);
    for (uint16_t i = 0; i < 4; i++)
        vqd_desc(&fix.rx, VQD_DESC, i, RX_BUFFERS + i * BUFFER_STEP, lens[i], VRING_DESC_F_WRITE,
                 0);
    vqd_desc(&fix.rx, VQD_DESC, 2, MEMORY_SIZE - 100, 4096, VRING_DESC_F_WRITE, 0);
    for (uint16_t i = 0; i < 4; i++)
        vqd_offer(&fix.rx, i);
    host_writes(fd, "hello");
    (void)turn();
    for (uint16_t i = 0; i < 3; i++) {
        assert_int_equal(vqd_take_used(&fix.rx, &head, &len), 1);
        assert_int_equal(head, i);
        assert_int_equal(len, 0);
    }
    const struct vsock_packet packet = expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    assert_int_equal(packet.len, 5);
    assert_int_equal(metric_get(&metrics.vsock.rx_queue_event_fails), fails + 3);
    fd_close(&fd);
}

/* It leaves by itself: those popped before it go back where they were. */
static void test_rx__bad_buffer_between_good_ones__all_used_in_order(void **state)
{
    (void)state;
    uint32_t port;
    uint32_t head;
    uint32_t len;
    uint32_t next = 20;
    give(0, 6, 4096); /* all of them are used */
    int fd = host_connects(&port);
    host_writes_many(fd, 20000); /* the next read hopes for as much */
    (void)turn();
    while (vqd_take_used(&fix.rx, &head, &len) == 1)
        continue;
    for (uint16_t i = 20; i < 25; i++) {
        vqd_desc(&fix.rx, VQD_DESC, i, RX_BUFFERS + i * BUFFER_STEP, i == 22 ? 10 : 4096,
                 VRING_DESC_F_WRITE, 0);
        vqd_offer(&fix.rx, i);
    }
    for (uint32_t i = 0; i < 10; i++) {
        host_writes(fd, "hello");
        (void)turn();
        while (vqd_take_used(&fix.rx, &head, &len) == 1)
            assert_int_equal(head, next++);
    }
    assert_int_equal(next, 25);
    fd_close(&fd);
}

static void test_rx__no_buffers__bytes_wait_and_nobody_spins(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    give(0, 1, 4096);
    int fd = host_connects(&port);
    host_writes_many(fd, 10000);
    (void)turn();
    expect_no_packet();
    give(0, 1, 4096);
    (void)turn();
    assert_int_equal(take_data(&off), 1);
    give(0, 10, 4096);
    (void)turn();
    assert_int_equal(take_data(&off), 2);
    assert_int_equal(off, 10000);
    host_writes_many(fd, 10); /* and is watched again */
    off = 0;
    (void)turn();
    assert_int_equal(take_data(&off), 1);
    fd_close(&fd);
}

static void test_rx__two_streams__take_turns(void **state)
{
    (void)state;
    uint32_t ports[2];
    int fds[2];
    uint32_t counts[2] = {0};
    struct vsock_packet packet;
    give(0, 2, 4096);
    for (uint32_t i = 0; i < 2; i++)
        fds[i] = host_connects(&ports[i]);
    for (uint32_t i = 0; i < 2; i++)
        host_writes_many(fds[i], 500000);
    (void)turn();
    give(0, 60, 4096);
    (void)turn();
    while (take_packet(&packet, NULL))
        counts[packet.src_port - ports[0]]++;
    assert_int_equal(counts[0] + counts[1], 60);
    assert_in_range(counts[0], 10, 50);
    for (uint32_t i = 0; i < 2; i++)
        fd_close(&fds[i]);
}

/* Buffers that were popped for a read and not filled are the guest's again, in order. */
static void test_rx__short_read__buffers_go_back(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    give(0, 100, 4096);
    int fd = host_connects(&port);
    for (uint32_t i = 0; i < 5; i++) {
        off = 0;
        host_writes_many(fd, 30000);
        (void)turn();
        assert_int_equal(take_data(&off), 8);
        assert_int_equal(vq_in_flight_count(&device()->queues[0]), 0);
    }
    fd_close(&fd);
}

static void test_rx__credit__never_exceeded_and_asked_for_once(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    fix.buf_alloc = 10000;
    give(0, 100, 4096);
    int fd = host_connects(&port);
    host_writes_many(fd, 25000);
    (void)turn();
    struct vsock_packet packet;
    uint32_t asked = 0;
    static uint8_t payload[VSOCK_PAYLOAD_MAX_SIZE];
    while (take_packet(&packet, payload)) {
        if (packet.op == VSOCK_OP_RW) {
            assert_memory_equal(payload, sent + off, packet.len);
            off += packet.len;
        } else {
            assert_int_equal(packet.op, VSOCK_OP_CREDIT_REQUEST);
            asked++;
        }
    }
    assert_int_equal(off, 10000);
    assert_int_equal(asked, 1);
    guest_says(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT); /* without a byte more */
    (void)turn();
    expect_no_packet();
    fix.fwd_cnt = 9000;
    fix.buf_alloc = 100000;
    guest_says(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    (void)turn();
    (void)take_data(&off);
    assert_int_equal(off, 25000);
    fd_close(&fd);
}

/* Four streams of which each takes 64 buffers to look are a pass, whatever they put into them. */
static void test_rx__more_than_a_pass__the_rest_later(void **state)
{
    (void)state;
    struct vsock_packet packet;
    struct vsock_conn *conn;
    int fds[8];
    uint32_t port;
    give(0, 8, 4096);
    for (uint32_t i = 0; i < 8; i++)
        fds[i] = host_connects(&port);
    TAILQ_FOREACH(conn, &vsock_of(device())->all, in_all)
    conn->chains_hint = VSOCK_READ_CHAINS_MAX;
    for (uint32_t i = 0; i < 8; i++)
        host_writes(fds[i], "x");
    (void)turn(); /* there is no buffer yet */
    give(20, 100, 4096);
    for (uint32_t i = 0; i < 4; i++)
        assert_true(take_packet(&packet, NULL));
    expect_no_packet();
    kick(0); /* the device asks for it itself */
    for (uint32_t i = 0; i < 4; i++)
        assert_true(take_packet(&packet, NULL));
    expect_no_packet();
    for (uint32_t i = 0; i < 8; i++)
        fd_close(&fds[i]);
}

static void test_rx__guest_claims_to_have_read_what_was_not_sent__no_credit(void **state)
{
    (void)state;
    uint32_t port;
    fix.buf_alloc = 10000;
    fix.fwd_cnt = 1;
    give(0, 10, 4096);
    int fd = host_connects(&port);
    host_writes(fd, "hello");
    (void)turn();
    (void)expect_packet(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    expect_no_packet();
    fd_close(&fd);
}

static void test_rx__one_interrupt__for_all_that_a_stream_has(void **state)
{
    (void)state;
    uint32_t port;
    size_t off = 0;
    give(0, 100, 4096);
    int fd = host_connects(&port);
    struct irq_line line;
    assert_int_equal(irq_line_open(&line), 0);
    device()->irq = &line;
    host_writes_many(fd, 100000);
    (void)turn();
    uint64_t raised = 0;
    assert_int_equal(read(line.fd, &raised, sizeof(raised)), sizeof(raised));
    assert_int_equal(raised, 1);
    (void)take_data(&off);
    assert_int_equal(off, 100000);
    device()->irq = NULL;
    irq_line_close(&line);
    fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rx__bytes__cut_to_the_guests_buffers),
        TEST(test_rx__large_buffers__64_kib_a_packet),
        TEST(test_rx__header_in_a_piece_of_its_own__filled),
        TEST(test_rx__buffer_that_takes_no_packet__returned_empty),
        TEST(test_rx__bad_buffer_between_good_ones__all_used_in_order),
        TEST(test_rx__no_buffers__bytes_wait_and_nobody_spins),
        TEST(test_rx__two_streams__take_turns),
        TEST(test_rx__short_read__buffers_go_back),
        TEST(test_rx__credit__never_exceeded_and_asked_for_once),
        TEST(test_rx__more_than_a_pass__the_rest_later),
        TEST(test_rx__guest_claims_to_have_read_what_was_not_sent__no_credit),
        TEST(test_rx__one_interrupt__for_all_that_a_stream_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
