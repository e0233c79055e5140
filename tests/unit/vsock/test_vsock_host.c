/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of how streams begin: devices/vsock/vsock_host.c and vsock_table.c. Single thread. */
#include <sys/resource.h>

#include "base/metrics.h"
#include "devices/vsock/vsock_int.h"
#include "tests/unit/vsock/vsock_fixture.h"

static void test_connect__guest_answers__ok_and_port(void **state)
{
    (void)state;
    uint64_t added = metric_get(&metrics.vsock.conns_added);
    give(0, 4, 4096);
    int fds[2];
    for (uint32_t i = 0; i < 2; i++) {
        uint32_t port;
        fds[i] = host_connects(&port);
        assert_int_equal(port, FIRST_LOCAL_PORT + i);
    }
    assert_int_equal(metric_get(&metrics.vsock.conns_added), added + 2);
    fd_close(&fds[0]);
    fd_close(&fds[1]);
}

static void test_connect__port_that_a_stream_of_the_guest_has__passed_over(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int listener = host_listens(FIRST_LOCAL_PORT, 1);
    guest_says(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, 1000);
    (void)expect_packet(VSOCK_OP_RESPONSE, FIRST_LOCAL_PORT, 1000);
    int fd = host_connects(&port);
    assert_int_equal(port, FIRST_LOCAL_PORT + 1);
    fd_close(&fd);
    fd_close(&listener);
}

static void test_connect__request__tells_our_room(void **state)
{
    (void)state;
    give(0, 1, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    const struct vsock_packet packet =
        expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    assert_int_equal(packet.buf_alloc, VSOCK_BUF_SIZE);
    assert_int_equal(packet.fwd_cnt, 0);
    assert_int_equal(packet.len, 0);
    fd_close(&fd);
}

static void test_connect__bytes_behind_the_line__come_after_the_answer(void **state)
{
    (void)state;
    uint8_t payload[64];
    struct vsock_packet packet;
    give(0, 4, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\nearly");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    expect_no_packet();
    guest_says(VSOCK_OP_RESPONSE, FIRST_LOCAL_PORT, GUEST_PORT);
    (void)turn();
    assert_true(take_packet(&packet, payload));
    assert_int_equal(packet.op, VSOCK_OP_RW);
    assert_int_equal(packet.len, 5);
    assert_memory_equal(payload, "early", 5);
    fd_close(&fd);
}

static void test_connect__line_that_is_none__closed_without_a_byte(void **state)
{
    (void)state;
    static const char *const lines[] = {"hello\n", "CONNECT x\n\n", "CONNECT 5",
                                        "GET / HTTP/1.1\r\n", "CONNECT 4294967296\n"};
    give(0, 4, 4096);
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        int fd = host_open();
        host_writes(fd, lines[i]);
        (void)turn();
        expect_host_cut_off(fd);
        fd_close(&fd);
    }
    expect_no_packet();
}

static void test_connect__host_leaves_without_a_line__forgotten(void **state)
{
    (void)state;
    give(0, 1, 4096);
    int fd = host_open();
    (void)turn();
    assert_int_equal(vsock_of(device())->conns_count, 1);
    fd_close(&fd);
    (void)turn();
    assert_int_equal(vsock_of(device())->conns_count, 0);
}

static void test_connect__guest_refuses__closed_without_a_byte(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    guest_says(VSOCK_OP_RST, FIRST_LOCAL_PORT, GUEST_PORT);
    expect_host_end(fd);
    expect_no_packet();
    fd_close(&fd);
}

static void test_connect__no_answer__ends_after_two_seconds(void **state)
{
    (void)state;
    uint64_t killed = metric_get(&metrics.vsock.conns_killed);
    give(0, 4, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    wait_ms(1999);
    expect_host_nothing(fd);
    wait_ms(1);
    expect_host_end(fd);
    (void)expect_packet(VSOCK_OP_RST, FIRST_LOCAL_PORT, GUEST_PORT);
    assert_int_equal(metric_get(&metrics.vsock.conns_killed), killed + 1);
    fd_close(&fd);
}

static void test_connect__host_leaves_before_the_answer__reset(void **state)
{
    (void)state;
    (void)signal(SIGPIPE, SIG_IGN);
    give(0, 4, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&fd);
    guest_says(VSOCK_OP_RESPONSE, FIRST_LOCAL_PORT, GUEST_PORT);
    (void)expect_packet(VSOCK_OP_RST, FIRST_LOCAL_PORT, GUEST_PORT);
}

static int fds[VSOCK_CONNS_MAX];

/* As many as there may be; what each says. */
static void open_all(const char *text)
{
    const struct rlimit limit = {4096, 4096};
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        skip();
    for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++) {
        fds[i] = host_open();
        host_writes(fds[i], text);
        if (i % 64 == 0)
            (void)turn();
    }
    (void)turn();
}

static void close_all(void)
{
    for (uint32_t i = 0; i < VSOCK_CONNS_MAX; i++)
        fd_close(&fds[i]);
}

static void test_connect__more_than_1023_streams__closed_at_once(void **state)
{
    (void)state;
    open_all("CONNECT 52\n");
    int one_more = host_open();
    (void)turn();
    expect_host_end(one_more);
    expect_host_nothing(fds[0]);
    expect_host_nothing(fds[VSOCK_CONNS_MAX - 1]);
    guest_says(VSOCK_OP_REQUEST, 99, 1000); /* nor from the other side */
    give(0, 2, 4096);
    (void)expect_packet(VSOCK_OP_RST, 99, 1000);
    guest_says(VSOCK_OP_RST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&one_more);
    one_more = host_open();
    (void)turn();
    expect_host_nothing(one_more);
    fd_close(&one_more);
    close_all();
}

static void test_connect__1023_that_say_nothing__the_oldest_makes_room(void **state)
{
    (void)state;
    open_all("");
    int listener = host_listens(99, 8);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    give(0, 1, 4096);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1000);
    expect_host_end(fds[0]);
    expect_host_nothing(fds[1]);
    fd_close(&listener);
    close_all();
}

/* A byte out of band is reported for ever and cannot be looked at. */
static void test_connect__byte_out_of_band__closed(void **state)
{
    (void)state;
    give(0, 1, 4096);
    int fd = host_open();
    if (send(fd, "x", 1, MSG_OOB | MSG_NOSIGNAL) != 1)
        skip(); /* older kernels have none */
    (void)turn();
    expect_host_cut_off(fd);
    fd_close(&fd);
}

/* We would be the last to close it, and might wait for as long as its owner likes. */
static void test_connect__descriptor_is_passed__refused(void **state)
{
    (void)state;
    uint32_t port;
    int off = -1;
    socklen_t size = sizeof(off);
    char byte = 'x';
    struct iovec iov = {&byte, 1};
    union {
        char bytes[CMSG_SPACE(sizeof(int))];
        struct cmsghdr align;
    } control = {0};
    struct msghdr message = {.msg_iov = &iov,
                             .msg_iovlen = 1,
                             .msg_control = control.bytes,
                             .msg_controllen = sizeof(control.bytes)};
    give(0, 2, 4096);
    int fd = host_connects(&port);
    if (getsockopt(fd, SOL_SOCKET, 83 /* SO_PASSRIGHTS */, &off, &size) < 0) {
        fd_close(&fd);
        skip(); /* before Linux 6.16 */
    }
    control.align = (struct cmsghdr){
        .cmsg_level = SOL_SOCKET, .cmsg_type = SCM_RIGHTS, .cmsg_len = CMSG_LEN(sizeof(int))};
    memcpy(CMSG_DATA(&control.align), &fd, sizeof(fd));
    assert_int_equal(sendmsg(fd, &message, MSG_NOSIGNAL), -1);
    assert_int_equal(errno, EPERM);
    fd_close(&fd);
}

static void test_connect__no_descriptor_left__taken_when_there_is_one(void **state)
{
    (void)state;
    struct rlimit before;
    give(0, 1, 4096);
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    (void)turn(); /* and does not spin */
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    expect_no_packet();
    wait_ms(10);
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&fd);
}

static void test_request__host_program_waits__answered(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int listener = host_listens(99, 8);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1000);
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK);
    assert_true(fd >= 0);
    expect_host_nothing(fd);
    guest_sends(99, 1000, "hello", 5);
    expect_host_reads(fd, "hello");
    fd_close(&fd);
    fd_close(&listener);
}

static void test_request__nobody_there__reset(void **state)
{
    (void)state;
    uint64_t added = metric_get(&metrics.vsock.conns_added);
    give(0, 4, 4096);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    (void)expect_packet(VSOCK_OP_RST, 99, 1000);
    assert_int_equal(metric_get(&metrics.vsock.conns_added), added); /* none came about */
    int listener = host_listens(98, 8);
    fd_close(&listener); /* its file stays */
    guest_says(VSOCK_OP_REQUEST, 98, 1000);
    (void)expect_packet(VSOCK_OP_RST, 98, 1000);
    expect_no_packet();
}

static void test_request__full_listener__asked_again_until_it_takes_us(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int listener = host_listens(99, 0); /* takes one */
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1000);
    guest_says(VSOCK_OP_REQUEST, 99, 1001);
    wait_ms(100);
    expect_no_packet();
    int fd = accept(listener, NULL, NULL);
    wait_ms(10);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1001);
    fd_close(&fd);
    fd_close(&listener);
}

static void test_request__listener_full_for_two_seconds__reset(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int listener = host_listens(99, 0);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1000);
    guest_says(VSOCK_OP_REQUEST, 99, 1001);
    wait_ms(1999);
    expect_no_packet();
    wait_ms(1);
    (void)expect_packet(VSOCK_OP_RST, 99, 1001);
    fd_close(&listener);
}

static void test_request__of_a_stream_that_is_there__dropped(void **state)
{
    (void)state;
    give(0, 4, 4096);
    int listener = host_listens(99, 8);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    (void)expect_packet(VSOCK_OP_RESPONSE, 99, 1000);
    guest_says(VSOCK_OP_REQUEST, 99, 1000);
    expect_no_packet();
    fd_close(&listener);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_connect__guest_answers__ok_and_port),
        TEST(test_connect__port_that_a_stream_of_the_guest_has__passed_over),
        TEST(test_connect__request__tells_our_room),
        TEST(test_connect__bytes_behind_the_line__come_after_the_answer),
        TEST(test_connect__line_that_is_none__closed_without_a_byte),
        TEST(test_connect__host_leaves_without_a_line__forgotten),
        TEST(test_connect__guest_refuses__closed_without_a_byte),
        TEST(test_connect__no_answer__ends_after_two_seconds),
        TEST(test_connect__host_leaves_before_the_answer__reset),
        TEST(test_connect__more_than_1023_streams__closed_at_once),
        TEST(test_connect__1023_that_say_nothing__the_oldest_makes_room),
        TEST(test_connect__byte_out_of_band__closed),
        TEST(test_connect__descriptor_is_passed__refused),
        TEST(test_connect__no_descriptor_left__taken_when_there_is_one),
        TEST(test_request__host_program_waits__answered),
        TEST(test_request__nobody_there__reset),
        TEST(test_request__full_listener__asked_again_until_it_takes_us),
        TEST(test_request__listener_full_for_two_seconds__reset),
        TEST(test_request__of_a_stream_that_is_there__dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
