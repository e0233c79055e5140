/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device with its socket in a directory of its own, a driver for each of its queues, and
 * host programs that do not block. Single thread.
 */
#pragma once

#include <errno.h>
#include <linux/virtio_ring.h>
#include <linux/virtio_vsock.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/fd.h"
#include "devices/vsock/vsock.h"
#include "devices/vsock/vsock_packet.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (16u * 1024 * 1024)
#define TX_BASE 0x100000ull
#define EVENT_BASE 0x200000ull
#define TX_BUFFERS 0x300000ull
#define RX_BUFFERS 0x400000ull
#define BUFFER_STEP 0x12000ull
#define QUEUE_SIZE 256u
#define GUEST_CID 42u
#define GUEST_PORT 52u
#define FIRST_LOCAL_PORT (1u << 30)
#define CREDIT 262144u /* what Linux says that it has room for */

static struct {
    struct gmem *gmem;
    struct loop *loop;
    struct vsock *vsock;
    struct vq_driver rx;
    struct vq_driver tx;
    struct vq_driver event;
    uint64_t now_ns;
    uint32_t buf_alloc; /* what the guest says of its room */
    uint32_t fwd_cnt;
    char dir[32];
    char path[64];
} fix;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fix.now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now};

static inline struct virtio_dev *device(void)
{
    return vsock_virtio(fix.vsock);
}

static int device_create(struct err *err)
{
    const struct vsock_env env = {fix.loop, &fake_clock};
    const struct cfg_vsock config = {.guest_cid = GUEST_CID, .uds_path = fix.path};
    return vsock_create(&config, &env, &fix.vsock, err);
}

/* What the driver notifies; the loop does it in the product. */
static inline void kick(uint32_t queue)
{
    struct virtio_dev *dev = device();
    (void)pthread_mutex_lock(&dev->lock);
    if (virtio_serves(dev))
        dev->ops->on_queue(dev, queue);
    (void)pthread_mutex_unlock(&dev->lock);
}

/* The driver is ready and has notified nothing yet; all queues are empty. */
static int activate_silently(void)
{
    struct virtio_dev *dev = device();
    dev->acked = 1ull << 32; /* VERSION_1 */
    vqd_init(&fix.rx, fix.gmem, QUEUE_SIZE);
    vqd_init_at(&fix.tx, fix.gmem, QUEUE_SIZE, TX_BASE);
    vqd_init_at(&fix.event, fix.gmem, QUEUE_SIZE, EVENT_BASE);
    dev->queues[0].setup = vqd_setup(&fix.rx);
    dev->queues[1].setup = vqd_setup(&fix.tx);
    dev->queues[2].setup = vqd_setup(&fix.event);
    return virtio_dev_activate(dev, fix.gmem);
}

/* The driver is ready. */
static int activate(void)
{
    int rc = activate_silently();
    kick(0);
    return rc;
}

static void reset_device(void)
{
    struct virtio_dev *dev = device();
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
}

static int setup(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    fix.now_ns = NS_PER_S;
    fix.buf_alloc = CREDIT;
    (void)strcpy(fix.dir, "/tmp/mayfly-vsock.XXXXXX");
    if (!mkdtemp(fix.dir))
        return -1;
    (void)snprintf(fix.path, sizeof(fix.path), "%s/v", fix.dir);
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0 ||
        loop_create(&fake_clock, &fix.loop, &err) < 0)
        return -1;
    return device_create(&err) < 0 ? -1 : activate();
}

static int teardown(void **state)
{
    (void)state;
    char command[64];
    if (fix.vsock)
        reset_device();
    vsock_free(fix.vsock);
    loop_free(fix.loop);
    gmem_free(fix.gmem);
    (void)snprintf(command, sizeof(command), "rm -rf %s", fix.dir);
    return system(command);
}

/* Runs the loop until nothing is left to do; fails when that never happens. Returns what ran. */
static inline int turn(void)
{
    int all = 0;
    for (int i = 0; i < 200; i++) {
        int ran = loop_turn(fix.loop, 0);
        assert_true(ran >= 0);
        if (ran == 0)
            return all;
        all += ran;
    }
    fail_msg("the loop spins");
    return all;
}

static inline void wait_ms(uint64_t ms)
{
    fix.now_ns += ms * NS_PER_MS;
    (void)turn();
}

/* The guest's buffers for packets to it: heads first .. first + count, of `size` bytes each. */
static inline void give(uint16_t first, uint16_t count, uint32_t size)
{
    for (uint16_t head = first; head < first + count; head++) {
        vqd_desc(&fix.rx, VQD_DESC, head, RX_BUFFERS + head * BUFFER_STEP, size, VRING_DESC_F_WRITE,
                 0);
        vqd_offer(&fix.rx, head);
    }
    kick(0);
}

/* The next packet to the guest. False: there is none. ret_payload: VSOCK_PAYLOAD_MAX_SIZE bytes, or
 * NULL. */
static inline bool take_packet(struct vsock_packet *ret_packet, uint8_t *ret_payload)
{
    struct vsock_wire_header wire;
    uint32_t head;
    uint32_t len;
    if (vqd_take_used(&fix.rx, &head, &len) == 0)
        return false;
    uint64_t addr = RX_BUFFERS + head * BUFFER_STEP;
    assert_true(len >= sizeof(wire));
    assert_int_equal(gmem_read(fix.gmem, gpa(addr), &wire, sizeof(wire)), 0);
    vsock_packet_decode(&wire, ret_packet);
    assert_int_equal(ret_packet->len, len - sizeof(wire));
    assert_int_equal(ret_packet->src_cid, 2);
    assert_int_equal(ret_packet->dst_cid, GUEST_CID);
    assert_int_equal(ret_packet->type, VIRTIO_VSOCK_TYPE_STREAM);
    if (ret_payload && ret_packet->len > 0)
        assert_int_equal(
            gmem_read(fix.gmem, gpa(addr + sizeof(wire)), ret_payload, ret_packet->len), 0);
    return true;
}

static inline struct vsock_packet expect_packet(enum vsock_op op, uint32_t local_port,
                                                uint32_t peer_port)
{
    struct vsock_packet packet;
    assert_true(take_packet(&packet, NULL));
    assert_int_equal(packet.op, op);
    assert_int_equal(packet.src_port, local_port);
    assert_int_equal(packet.dst_port, peer_port);
    return packet;
}

static inline void expect_no_packet(void)
{
    struct vsock_packet packet = {0};
    if (take_packet(&packet, NULL))
        fail_msg("operation %u, port %u to %u", packet.op, packet.src_port, packet.dst_port);
}

/* A packet of the guest as bytes in its memory, to be offered by its head. */
static inline void lay_out(uint16_t head, const struct vsock_packet *packet, const void *payload)
{
    struct vsock_wire_header wire;
    uint64_t addr = TX_BUFFERS + head * BUFFER_STEP;
    vsock_packet_encode(packet, &wire);
    assert_int_equal(gmem_write(fix.gmem, gpa(addr), &wire, sizeof(wire)), 0);
    if (packet->len > 0)
        assert_int_equal(gmem_write(fix.gmem, gpa(addr + sizeof(wire)), payload, packet->len), 0);
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, head, addr, (uint32_t)sizeof(wire),
             packet->len > 0 ? VRING_DESC_F_NEXT : 0, (uint16_t)(head + 1));
    vqd_desc(&fix.tx, TX_BASE + VQD_DESC, (uint16_t)(head + 1), addr + sizeof(wire), packet->len, 0,
             0);
}

static inline struct vsock_packet packet_of(enum vsock_op op, uint32_t local_port,
                                            uint32_t peer_port)
{
    return (struct vsock_packet){.src_cid = GUEST_CID,
                                 .dst_cid = 2,
                                 .src_port = peer_port,
                                 .dst_port = local_port,
                                 .type = VIRTIO_VSOCK_TYPE_STREAM,
                                 .op = op,
                                 .buf_alloc = fix.buf_alloc,
                                 .fwd_cnt = fix.fwd_cnt};
}

/* The guest sends it, and gets its buffers back. */
static inline void send_packet(const struct vsock_packet *packet, const void *payload)
{
    uint32_t head;
    uint32_t len;
    lay_out(0, packet, payload);
    vqd_offer(&fix.tx, 0);
    kick(1);
    assert_int_equal(vqd_take_used(&fix.tx, &head, &len), 1);
    assert_int_equal(head, 0);
    assert_int_equal(len, 0);
}

static inline void guest_says(enum vsock_op op, uint32_t local_port, uint32_t peer_port)
{
    const struct vsock_packet packet = packet_of(op, local_port, peer_port);
    send_packet(&packet, NULL);
}

static inline void guest_shuts(uint32_t local_port, uint32_t peer_port, uint32_t flags)
{
    struct vsock_packet packet = packet_of(VSOCK_OP_SHUTDOWN, local_port, peer_port);
    packet.flags = flags;
    send_packet(&packet, NULL);
}

static inline void guest_sends(uint32_t local_port, uint32_t peer_port, const void *bytes,
                               uint32_t len)
{
    struct vsock_packet packet = packet_of(VSOCK_OP_RW, local_port, peer_port);
    packet.len = len;
    send_packet(&packet, bytes);
}

/* A host program's socket, connected to the device's. */
static inline int host_open(void)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    memcpy(addr.sun_path, fix.path, strlen(fix.path));
    assert_true(fd >= 0);
    assert_int_equal(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    return fd;
}

static inline void host_writes(int fd, const char *text)
{
    assert_int_equal(send(fd, text, strlen(text), MSG_NOSIGNAL), strlen(text));
}

static inline void expect_host_reads(int fd, const char *text)
{
    char got[128] = {0};
    assert_int_equal(recv(fd, got, sizeof(got) - 1, 0), strlen(text));
    assert_string_equal(got, text);
}

static inline void expect_host_end(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), 0);
}

/* The same, whether or not all that the host wrote was read. */
static inline void expect_host_cut_off(int fd)
{
    char byte;
    ssize_t len = recv(fd, &byte, 1, 0);
    assert_true(len == 0 || (len < 0 && errno == ECONNRESET));
}

static inline void expect_host_nothing(int fd)
{
    char byte;
    assert_int_equal(recv(fd, &byte, 1, 0), -1);
    assert_int_equal(errno, EAGAIN);
}

/* A host program's stream to GUEST_PORT that the guest has taken; *ret_port: its local port. The
 * guest needs two buffers. */
static inline int host_connects(uint32_t *ret_port)
{
    char line[32];
    struct vsock_packet packet;
    int fd = host_open();
    host_writes(fd, "CONNECT 52\n");
    (void)turn();
    assert_true(take_packet(&packet, NULL));
    assert_int_equal(packet.op, VSOCK_OP_REQUEST);
    guest_says(VSOCK_OP_RESPONSE, packet.src_port, GUEST_PORT);
    (void)snprintf(line, sizeof(line), "OK %u\n", packet.src_port);
    expect_host_reads(fd, line);
    *ret_port = packet.src_port;
    return fd;
}

/* A host program that waits for the guest at `port`. */
static inline int host_listens(uint32_t port, int backlog)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd >= 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", fix.path, port);
    assert_int_equal(bind(fd, (const struct sockaddr *)&addr, sizeof(addr)), 0);
    assert_int_equal(listen(fd, backlog), 0);
    return fd;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
