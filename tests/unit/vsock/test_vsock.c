/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of the vsock device's life, pauses and resets: devices/vsock/vsock.c. Single
 * thread. */
#include <linux/virtio_config.h>
#include <sys/epoll.h>
#include <sys/syscall.h>

#include "base/metrics.h"
#include "tests/unit/vsock/vsock_fixture.h"

static void test_vsock_create__features_and_config__as_specified(void **state)
{
    (void)state;
    static const uint8_t config[8] = {GUEST_CID};
    assert_int_equal(device()->device_type, 19);
    assert_int_equal(device()->queues_count, 3);
    assert_int_equal(device()->offered, 1ull << VIRTIO_F_VERSION_1 | 1ull << VIRTIO_F_IN_ORDER |
                                            1ull << VIRTIO_RING_F_EVENT_IDX);
    assert_int_equal(device()->config_size, sizeof(config));
    assert_memory_equal(device()->config, config, sizeof(config));
}

static void expect_create_fails(char *path, int code, const char *sentence)
{
    const struct vsock_env env = {fix.loop, &fake_clock};
    const struct cfg_vsock config = {.guest_cid = GUEST_CID, .uds_path = path};
    struct vsock *vsock = NULL;
    struct err err = ERR_INIT;
    assert_int_equal(vsock_create(&config, &env, &vsock, &err), code);
    assert_null(vsock);
    assert_string_equal(err.msg, sentence);
}

#define BIND "Error binding to the host-side Unix socket: "

static void test_vsock_create__path_that_cannot_be_bound__refused(void **state)
{
    (void)state;
    char missing[] = "/nowhere/v";
    char longest[200];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    expect_create_fails(fix.path, -EADDRINUSE, BIND "Address in use (os error 98)");
    expect_create_fails(missing, -ENOENT, BIND "No such file or directory (os error 2)");
    expect_create_fails(longest, -ENAMETOOLONG, BIND "path must be shorter than SUN_LEN");
}

static void test_vsock_free__socket_file__stays(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    vsock_free(fix.vsock);
    fix.vsock = NULL;
    assert_int_equal(access(fix.path, F_OK), 0);
    assert_int_equal(device_create(&err), -EADDRINUSE);
}

static void test_vsock_unlink__socket_file__makes_room(void **state)
{
    (void)state;
    struct err err = ERR_INIT;
    assert_int_equal(vsock_unlink(fix.vsock, &err), 0);
    assert_int_equal(vsock_unlink(fix.vsock, &err), -ENOENT);
    assert_string_equal(err.msg, BIND "No such file or directory (os error 2)");
    vsock_free(fix.vsock);
    fix.vsock = NULL;
    assert_int_equal(device_create(&err), 0);
}

static void test_vsock__before_the_driver__host_programs_wait(void **state)
{
    (void)state;
    reset_device();
    (void)turn();
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    assert_int_equal(turn(), 0);
    assert_int_equal(activate(), 0);
    give(0, 1, 4096);
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, FIRST_LOCAL_PORT, GUEST_PORT);
    fd_close(&fd);
}

static void test_vsock__driver_reset__streams_end_and_ports_begin_anew(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    int unnamed = host_open();
    (void)turn();
    uint64_t removed = metric_get(&metrics.vsock.conns_removed);
    reset_device();
    (void)turn();
    expect_host_end(fd);
    expect_host_end(unnamed);
    assert_int_equal(metric_get(&metrics.vsock.conns_removed), removed + 1);
    fd_close(&fd);
    fd_close(&unnamed);

    assert_int_equal(activate(), 0);
    give(0, 4, 4096);
    fd = host_connects(&port);
    assert_int_equal(port, FIRST_LOCAL_PORT);
    fd_close(&fd);
}

/* The reset comes from a vCPU's thread while events of the old streams are about to be served. */
static void
test_vsock__reset_and_ready_again_before_an_event__old_stream_is_not_touched(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    host_writes(fd, "late");
    reset_device();
    assert_int_equal(activate_silently(), 0);
    (void)turn(); /* the stream's event comes first */
    give(0, 4, 4096);
    expect_no_packet();
    expect_host_cut_off(fd);
    fd_close(&fd);
}

static void test_vsock__paused__nothing_is_served_and_no_time_goes_on(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 8, 4096);
    int fd = host_connects(&port);
    int asking = host_open();
    host_writes(asking, "CONNECT 53\n");
    (void)turn();
    (void)expect_packet(VSOCK_OP_REQUEST, port + 1, 53);

    assert_int_equal(virtio_dev_pause(device(), fix.now_ns), 0);
    assert_int_equal(vq_in_flight_count(&device()->queues[0]), 0);
    host_writes(fd, "while paused");
    int late = host_open();
    wait_ms(60000);
    expect_no_packet();
    expect_host_nothing(asking);

    virtio_dev_resume(device());
    kick(0); /* the transport's, on resume */
    (void)turn();
    const struct vsock_packet packet = expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    assert_int_equal(packet.len, strlen("while paused"));
    wait_ms(1999);
    expect_no_packet();
    wait_ms(1); /* the two seconds of the one that asks are over now */
    (void)expect_packet(VSOCK_OP_RST, port + 1, 53);
    fd_close(&fd);
    fd_close(&asking);
    fd_close(&late);
}

static void test_vsock__event_of_a_broken_device__silenced(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 4, 4096);
    int fd = host_connects(&port);
    vqd_set_avail_idx(&fix.tx, (uint16_t)(fix.tx.avail_idx + QUEUE_SIZE + 1));
    uint64_t fails = metric_get(&metrics.vsock.tx_queue_event_fails);
    kick(1);
    assert_true(device()->broken);
    assert_int_equal(metric_get(&metrics.vsock.tx_queue_event_fails), fails + 1);
    host_writes(fd, "x");
    (void)turn(); /* and does not spin */
    expect_no_packet();
    fd_close(&fd);
}

static void test_vsock__broken_receive_queue__needs_reset(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 1, 4096);
    int fd = host_connects(&port);
    vqd_set_avail_idx(&fix.rx, (uint16_t)(fix.rx.avail_idx + QUEUE_SIZE + 1));
    host_writes(fd, "x");
    (void)turn();
    assert_true(device()->broken);
    fd_close(&fd);
}

static int epoll_add_error; /* what EPOLL_CTL_ADD fails with; 0: nothing */

/* In place of the C library's, for this program. */
int epoll_ctl(int epoll_fd, int op, int fd, struct epoll_event *event)
{
    if (op == EPOLL_CTL_ADD && epoll_add_error) {
        errno = epoll_add_error;
        return -1;
    }
    return (int)syscall(SYS_epoll_ctl, epoll_fd, op, fd, event);
}

static void test_vsock__kernel_takes_no_socket_to_be_watched__offered_again(void **state)
{
    (void)state;
    uint32_t port;
    uint64_t fails = metric_get(&metrics.vsock.muxer_event_fails);
    give(0, 8, 4096);
    int fd = host_connects(&port);
    fix.buf_alloc = 0; /* no credit: it is silent */
    guest_says(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    host_writes(fd, "one");
    (void)turn();
    (void)expect_packet(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    epoll_add_error = ENOSPC;
    fix.buf_alloc = CREDIT;
    guest_says(VSOCK_OP_CREDIT_UPDATE, port, GUEST_PORT);
    (void)turn();
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    int unnamed = host_open();
    (void)turn();
    epoll_add_error = 0;
    assert_int_equal(metric_get(&metrics.vsock.muxer_event_fails), fails + 2);
    host_writes(fd, "two");
    host_writes(unnamed, "CONNECT 53\n");
    wait_ms(10);
    (void)expect_packet(VSOCK_OP_RW, port, GUEST_PORT);
    (void)expect_packet(VSOCK_OP_REQUEST, port + 1, 53);
    fd_close(&fd);
    fd_close(&unnamed);
}

/* The API's resume and the end of a host program in one turn, before the queues are served. */
static void test_vsock__event_between_resume_and_the_queues__its_time_is_two_seconds(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 8, 4096);
    int fd = host_connects(&port);
    assert_int_equal(virtio_dev_pause(device(), UINT64_MAX), 0);
    fix.now_ns += 3600 * NS_PER_S;
    fd_close(&fd);
    virtio_dev_resume(device());
    (void)turn();
    kick(0);
    (void)turn();
    (void)expect_packet(VSOCK_OP_SHUTDOWN, port, GUEST_PORT);
    wait_ms(2000);
    (void)expect_packet(VSOCK_OP_RST, port, GUEST_PORT);
}

static void test_vsock__transmit_queue_breaks_the_device__nothing_more_is_received(void **state)
{
    (void)state;
    uint32_t port;
    give(0, 8, 4096);
    int fd = host_connects(&port);
    const struct vsock_packet packet = packet_of(VSOCK_OP_CREDIT_REQUEST, port, GUEST_PORT);
    lay_out(0, &packet, NULL);
    vqd_offer(&fix.tx, 0);
    vqd_offer(&fix.tx, 1000); /* no such descriptor */
    uint16_t used = device()->queues[0].next_used;
    kick(1);
    assert_true(device()->broken);
    assert_int_equal(device()->queues[0].next_used, used);
    fd_close(&fd);
}

/* Interrupts raised since the last question. */
static uint64_t raised(const struct irq_line *line)
{
    uint64_t count = 0;
    return read(line->fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

static void
test_vsock__packets_taken__told_with_the_next_packet_or_a_millisecond_later(void **state)
{
    (void)state;
    uint32_t port;
    struct irq_line line;
    give(0, 8, 4096);
    int fd = host_connects(&port);
    (void)turn();
    wait_ms(1);
    assert_int_equal(irq_line_open(&line), 0);
    device()->irq = &line;
    guest_sends(port, GUEST_PORT, "a", 1);
    assert_int_equal(raised(&line), 0);
    host_writes(fd, "b");
    (void)turn();
    assert_int_equal(raised(&line), 1);
    wait_ms(1);
    assert_int_equal(raised(&line), 0);
    guest_sends(port, GUEST_PORT, "c", 1);
    wait_ms(1);
    assert_int_equal(raised(&line), 1);
    for (uint32_t i = 0; i < QUEUE_SIZE / 4; i++)
        guest_sends(port, GUEST_PORT, "d", 1);
    assert_int_equal(raised(&line), 1); /* a part of the ring does not wait */
    guest_sends(port, GUEST_PORT, "e", 1);
    assert_int_equal(virtio_dev_pause(device(), fix.now_ns), 0);
    assert_int_equal(raised(&line), 1);
    virtio_dev_resume(device());
    device()->irq = NULL;
    irq_line_close(&line);
    fd_close(&fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_vsock_create__features_and_config__as_specified),
        TEST(test_vsock_create__path_that_cannot_be_bound__refused),
        TEST(test_vsock_free__socket_file__stays),
        TEST(test_vsock_unlink__socket_file__makes_room),
        TEST(test_vsock__before_the_driver__host_programs_wait),
        TEST(test_vsock__driver_reset__streams_end_and_ports_begin_anew),
        TEST(test_vsock__reset_and_ready_again_before_an_event__old_stream_is_not_touched),
        TEST(test_vsock__paused__nothing_is_served_and_no_time_goes_on),
        TEST(test_vsock__event_of_a_broken_device__silenced),
        TEST(test_vsock__broken_receive_queue__needs_reset),
        TEST(test_vsock__kernel_takes_no_socket_to_be_watched__offered_again),
        TEST(test_vsock__event_between_resume_and_the_queues__its_time_is_two_seconds),
        TEST(test_vsock__transmit_queue_breaks_the_device__nothing_more_is_received),
        TEST(test_vsock__packets_taken__told_with_the_next_packet_or_a_millisecond_later),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
