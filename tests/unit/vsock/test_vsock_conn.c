/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of one stream's rules: devices/vsock/vsock_conn.c. Single thread. */
#include "base/metrics.h"
#include "devices/vsock/vsock_int.h"
#include "tests/unit/vsock/vsock_fixture.h"

#define RCV VIRTIO_VSOCK_SHUTDOWN_RCV
#define SEND VIRTIO_VSOCK_SHUTDOWN_SEND

static uint32_t port;

/* A stream that both sides have taken; the guest has buffers for what comes. */
static int stream(void)
{
    give(0, 60, 4096);
    return host_connects(&port);
}

static void test_conn__host_ends_its_half__guest_is_told_and_goes_on_sending(void **state)
{
    (void)state;
    int fd = stream();
    host_writes(fd, "last");
    (void)shutdown(fd, SHUT_WR);
    (void)turn();
    const struct vsock_packet last = expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    assert_int_equal(last.len, 4);
    const struct vsock_packet end = expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    assert_int_equal(end.flags, SEND);
    wait_ms(60000); /* no time limit */
    guest_sends(port, GUEST_PORT, "answer", 6);
    expect_host_reads(fd, "answer");
    expect_no_packet();
    fd_close(&fd);
    (void)turn();
    const struct vsock_packet gone = expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    assert_int_equal(gone.flags, RCV | SEND);
}

static void test_conn__host_closes__guest_is_told_of_both_and_ends_it(void **state)
{
    (void)state;
    uint64_t removed = metric_get(&metrics.vsock.conns_removed);
    int fd = stream();
    host_writes(fd, "last");
    fd_close(&fd);
    (void)turn();
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    const struct vsock_packet end = expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    assert_int_equal(end.flags, RCV | SEND);
    guest_says(VSOCK_OP_RST, port, GUEST_PORT);
    assert_int_equal(metric_get(&metrics.vsock.conns_removed), removed + 1);
    wait_ms(3000);
    expect_no_packet();
}

static void test_conn__host_closes_and_guest_does_not_answer__reset_after_two_seconds(void **state)
{
    (void)state;
    int fd = stream();
    fd_close(&fd);
    (void)turn();
    (void)expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    guest_sends(port, GUEST_PORT, "late", 4); /* dropped */
    wait_ms(1999);
    expect_no_packet();
    wait_ms(1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
}

static void test_conn__guest_ends_its_half__host_reads_to_the_end_and_goes_on(void **state)
{
    (void)state;
    int fd = stream();
    guest_sends(port, GUEST_PORT, "last", 4);
    guest_shuts(port, GUEST_PORT, SEND);
    expect_host_reads(fd, "last");
    expect_host_end(fd);
    guest_sends(port, GUEST_PORT, "more", 4); /* against its word: dropped */
    host_writes(fd, "answer");
    (void)turn();
    const struct vsock_packet packet = expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    assert_int_equal(packet.len, 6);
    wait_ms(60000);
    expect_no_packet();
    fd_close(&fd);
    (void)turn();
    const struct vsock_packet gone = expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    assert_int_equal(gone.flags, RCV | SEND);
}

static void test_conn__both_halves_ended_one_by_one__over(void **state)
{
    (void)state;
    int fd = stream();
    guest_shuts(port, GUEST_PORT, SEND);
    (void)shutdown(fd, SHUT_WR);
    (void)turn();
    const struct vsock_packet gone = expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    assert_int_equal(gone.flags, RCV | SEND);
    expect_host_end(fd);
    fd_close(&fd);
}

static void test_conn__guest_reads_no_more__host_is_not_read(void **state)
{
    (void)state;
    int fd = stream();
    guest_shuts(port, GUEST_PORT, RCV);
    host_writes(fd, "unheard");
    (void)turn();
    expect_no_packet();
    guest_sends(port, GUEST_PORT, "still", 5);
    expect_host_reads(fd, "still");
    fd_close(&fd);
    (void)turn();
    (void)expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
}

static void test_conn__guest_reads_no_more_and_gives_credit__host_is_not_read(void **state)
{
    (void)state;
    fix.buf_alloc = 4;
    int fd = stream();
    host_writes(fd, "more than the guest takes");
    (void)turn();
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    (void)expect_packet(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    fix.buf_alloc = CREDIT;
    guest_shuts(port, GUEST_PORT, RCV);
    (void)turn();
    expect_no_packet();
    fd_close(&fd);
}

static void test_conn__guest_shuts_both__reset_and_closed(void **state)
{
    (void)state;
    int fd = stream();
    guest_sends(port, GUEST_PORT, "last", 4);
    guest_shuts(port, GUEST_PORT, RCV);
    guest_shuts(port, GUEST_PORT, SEND);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    expect_host_reads(fd, "last");
    expect_host_end(fd);
    fd_close(&fd);
}

static void test_conn__guest_resets__closed_without_a_reply(void **state)
{
    (void)state;
    int fd = stream();
    guest_says(VSOCK_OP_RST, port, GUEST_PORT);
    expect_host_end(fd);
    expect_no_packet();
    guest_sends(port, GUEST_PORT, "x", 1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    fd_close(&fd);
}

static volatile sig_atomic_t pipes;

static void on_sigpipe(int signum)
{
    (void)signum;
    pipes++;
}

static void test_conn__host_is_gone_when_the_guest_writes__killed_with_sigpipe(void **state)
{
    (void)state;
    uint64_t fails = metric_get(&metrics.vsock.tx_write_fails);
    uint64_t killed = metric_get(&metrics.vsock.conns_killed);
    int fd = stream();
    pipes = 0;
    (void)signal(SIGPIPE, on_sigpipe);
    fd_close(&fd);
    guest_sends(port, GUEST_PORT, "x", 1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    assert_int_equal(pipes, 1);
    assert_int_equal(metric_get(&metrics.vsock.tx_write_fails), fails + 1);
    assert_int_equal(metric_get(&metrics.vsock.conns_killed), killed + 1);
}

static void test_conn__empty_packet__dropped(void **state)
{
    (void)state;
    int fd = stream();
    guest_sends(port, GUEST_PORT, "", 0);
    expect_host_nothing(fd);
    expect_no_packet();
    fd_close(&fd);
}

static void test_conn__response_twice__dropped(void **state)
{
    (void)state;
    int fd = stream();
    guest_says(VSOCK_OP_RESPONSE, port, GUEST_PORT);
    expect_host_nothing(fd);
    expect_no_packet();
    fd_close(&fd);
}

static void test_conn__data_before_the_response__dropped(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    guest_sends(FIRST_LOCAL_PORT, GUEST_PORT, "early", 5);
    guest_shuts(FIRST_LOCAL_PORT, GUEST_PORT, RCV | SEND);
    expect_host_nothing(fd);
    guest_says(VSOCK_OP_RESPONSE, FIRST_LOCAL_PORT, GUEST_PORT);
    expect_host_reads(fd, "OK 1073741824\n");
    fd_close(&fd);
}

static void test_conn__credit_request__answered(void **state)
{
    (void)state;
    int fd = stream();
    guest_sends(port, GUEST_PORT, "12345", 5);
    guest_says(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    const struct vsock_packet packet = expect_packet(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    assert_int_equal(packet.buf_alloc, VSOCK_BUF_SIZE);
    assert_int_equal(packet.fwd_cnt, 5);
    fd_close(&fd);
}

static void test_conn__guest_has_little_room_left__told_of_more(void **state)
{
    (void)state;
    static uint8_t bytes[65536];
    static uint8_t got[VSOCK_BUF_SIZE];
    int fd = stream();
    guest_sends(port, GUEST_PORT, bytes, 65536);
    guest_sends(port, GUEST_PORT, bytes, 65536);
    expect_no_packet();
    guest_sends(port, GUEST_PORT, bytes, 1);
    const struct vsock_packet packet = expect_packet(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    assert_int_equal(packet.fwd_cnt, 131073);
    expect_no_packet();
    assert_int_equal(recv(fd, got, sizeof(got), 0), 131073);
    fd_close(&fd);
}

/* A packet whose bytes can be told by their place, which is `off` of all that are sent. */
static void send_pattern(uint64_t off, uint32_t len)
{
    static uint8_t bytes[4096];
    for (uint32_t i = 0; i < len; i++)
        bytes[i] = (uint8_t)((off + i) * 7 + (off + i) / 251);
    guest_sends(port, GUEST_PORT, bytes, len);
}

/* Sends until the host's socket takes no more and the device keeps `kept` bytes. Returns all bytes
 * sent. */
static size_t fill(uint32_t kept)
{
    uint64_t written = metric_get(&metrics.vsock.tx_bytes_count);
    uint64_t sent = 0;
    for (;;) {
        uint64_t held = written + sent - metric_get(&metrics.vsock.tx_bytes_count);
        if (held >= kept)
            return sent;
        uint32_t len = kept - held < 4096 ? (uint32_t)(kept - held) : 4096;
        send_pattern(sent, len);
        sent += len;
    }
}

/* Reads it from `off` on at the host's end, while the loop passes on what is kept. */
static void expect_pattern(int fd, size_t off, size_t end_off)
{
    static uint8_t got[8192];
    while (off < end_off) {
        ssize_t here = recv(fd, got, sizeof(got), 0);
        if (here < 0) {
            assert_int_equal(errno, EAGAIN);
            assert_true(turn() > 0);
            continue;
        }
        assert_true(here > 0);
        for (ssize_t i = 0; i < here; i++)
            assert_int_equal(got[i], (uint8_t)((off + (size_t)i) * 7 + (off + (size_t)i) / 251));
        off += (size_t)here;
    }
    expect_host_nothing(fd);
}

static void test_conn__host_does_not_read__256_kib_are_kept_in_order(void **state)
{
    (void)state;
    int fd = stream();
    size_t sent = fill(VSOCK_BUF_SIZE);
    (void)turn(); /* nobody spins */
    give(60, 60, 4096);
    expect_pattern(fd, 0, sent);
    (void)turn();
    sent = fill(10000); /* again, from another place of the buffer */
    expect_pattern(fd, 0, sent);
    assert_int_equal(metric_get(&metrics.vsock.tx_flush_fails), 0);
    fd_close(&fd);
}

static void test_conn__host_reads_while_bytes_are_kept__later_ones_wait_behind_them(void **state)
{
    (void)state;
    static uint8_t got[65536];
    int fd = stream();
    size_t sent = fill(5000);
    ssize_t len = recv(fd, got, sizeof(got), 0); /* there is room in the socket again */
    assert_true(len > 0);
    send_pattern(sent, 1000);
    expect_pattern(fd, (size_t)len, sent + 1000);
    fd_close(&fd);
}

static void test_conn__more_than_the_credit__killed(void **state)
{
    (void)state;
    struct vsock_packet packet;
    uint64_t killed = metric_get(&metrics.vsock.conns_killed);
    int fd = stream();
    (void)fill(VSOCK_BUF_SIZE);
    while (take_packet(&packet, NULL))
        assert_int_equal(packet.op, VSOCK_OP_CREDIT_UPDATE);
    guest_sends(port, GUEST_PORT, "x", 1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    assert_int_equal(metric_get(&metrics.vsock.conns_killed), killed + 1);
    fd_close(&fd);
}

static void test_conn__guest_ends_with_bytes_kept__host_gets_them_first(void **state)
{
    (void)state;
    struct vsock_packet packet;
    int fd = stream();
    size_t sent = fill(5000);
    guest_shuts(port, GUEST_PORT, RCV | SEND);
    while (take_packet(&packet, NULL))
        assert_int_equal(packet.op, VSOCK_OP_CREDIT_UPDATE);
    static uint8_t got[1 << 20];
    size_t off = 0;
    ssize_t here;
    while ((here = recv(fd, got, sizeof(got), 0)) != 0) {
        if (here > 0)
            off += (size_t)here;
        else
            (void)turn();
    }
    assert_int_equal(off, sent);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    fd_close(&fd);
}

static void test_conn__guest_ends_and_host_never_reads__ends_after_two_seconds(void **state)
{
    (void)state;
    struct vsock_packet packet;
    int fd = stream();
    (void)fill(5000);
    guest_shuts(port, GUEST_PORT, RCV | SEND);
    while (take_packet(&packet, NULL))
        assert_int_equal(packet.op, VSOCK_OP_CREDIT_UPDATE);
    wait_ms(1999);
    expect_no_packet();
    wait_ms(1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    fd_close(&fd);
}

static void test_conn__host_leaves_unread_bytes_and_a_starved_guest__nobody_spins(void **state)
{
    (void)state;
    fix.buf_alloc = 4;
    int fd = stream();
    host_writes(fd, "more than the guest takes");
    (void)turn();
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    (void)expect_packet(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    (void)shutdown(fd, SHUT_RDWR);
    (void)turn(); /* and does not spin */
    fd_close(&fd);
    (void)turn();
    expect_no_packet(); /* the bytes come first */
    fix.buf_alloc = 4096;
    guest_says(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    (void)turn();
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    (void)expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
}

/* It will not read what is kept for it, but what it wrote is read. */
static void test_conn__host_answers_and_closes_with_bytes_kept__guest_gets_the_answer(void **state)
{
    (void)state;
    struct vsock_packet packet;
    int fd = stream();
    (void)fill(5000);
    while (take_packet(&packet, NULL))
        assert_int_equal(packet.op, VSOCK_OP_CREDIT_UPDATE);
    host_writes(fd, "enough");
    fd_close(&fd);
    (void)turn();
    packet = expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    assert_int_equal(packet.len, 6);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT); /* it left bytes unread: no plain end */
}

/* Both sides send and neither reads; then the host program is killed. */
static void test_conn__host_leaves_while_nobody_reads__guest_is_told_in_two_seconds(void **state)
{
    (void)state;
    struct vsock_packet packet;
    fix.buf_alloc = 4;
    int fd = stream();
    host_writes(fd, "more than the guest takes");
    (void)turn();
    (void)fill(5000);
    while (take_packet(&packet, NULL))
        assert_int_not_equal(packet.op, VSOCK_OP_RST);
    fd_close(&fd);
    (void)turn();
    wait_ms(2000);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
}

static void test_conn__all_streams_keep_too_much__killed(void **state)
{
    (void)state;
    struct vsock_packet packet;
    int fd = stream();
    vsock_of(device())->kept_size = VSOCK_KEPT_MAX_SIZE - 1000; /* others */
    (void)fill(1000);
    while (take_packet(&packet, NULL))
        assert_int_equal(packet.op, VSOCK_OP_CREDIT_UPDATE);
    guest_sends(port, GUEST_PORT, "x", 1);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
    assert_int_equal(vsock_of(device())->kept_size, VSOCK_KEPT_MAX_SIZE - 1000);
    fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_conn__host_ends_its_half__guest_is_told_and_goes_on_sending),
        TEST(test_conn__host_closes__guest_is_told_of_both_and_ends_it),
        TEST(test_conn__host_closes_and_guest_does_not_answer__reset_after_two_seconds),
        TEST(test_conn__guest_ends_its_half__host_reads_to_the_end_and_goes_on),
        TEST(test_conn__both_halves_ended_one_by_one__over),
        TEST(test_conn__guest_reads_no_more__host_is_not_read),
        TEST(test_conn__guest_reads_no_more_and_gives_credit__host_is_not_read),
        TEST(test_conn__guest_shuts_both__reset_and_closed),
        TEST(test_conn__guest_resets__closed_without_a_reply),
        TEST(test_conn__host_is_gone_when_the_guest_writes__killed_with_sigpipe),
        TEST(test_conn__empty_packet__dropped),
        TEST(test_conn__response_twice__dropped),
        TEST(test_conn__data_before_the_response__dropped),
        TEST(test_conn__credit_request__answered),
        TEST(test_conn__guest_has_little_room_left__told_of_more),
        TEST(test_conn__host_does_not_read__256_kib_are_kept_in_order),
        TEST(test_conn__host_reads_while_bytes_are_kept__later_ones_wait_behind_them),
        TEST(test_conn__more_than_the_credit__killed),
        TEST(test_conn__guest_ends_with_bytes_kept__host_gets_them_first),
        TEST(test_conn__guest_ends_and_host_never_reads__ends_after_two_seconds),
        TEST(test_conn__host_answers_and_closes_with_bytes_kept__guest_gets_the_answer),
        TEST(test_conn__host_leaves_while_nobody_reads__guest_is_told_in_two_seconds),
        TEST(test_conn__all_streams_keep_too_much__killed),
        TEST(test_conn__host_leaves_unread_bytes_and_a_starved_guest__nobody_spins),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
