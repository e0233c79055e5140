/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A NIC whose TAP is one end of a socket that keeps frames apart, and a driver for each of its
 * queues. Single thread.
 */
#pragma once

#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/le.h"
#include "devices/net/net.h"
#include "tests/lib/vq_driver.h"
#include "tests/unit/unit.h"

#define MEMORY_SIZE (16u * 1024 * 1024)
#define TX_BASE 0x100000ull /* of the transmit queue's rings */
#define RX_BUFFERS 0x400000ull
#define TX_BUFFERS 0x300000ull
#define QUEUE_SIZE 128u
#define FRAME_MAX 70000u

static const uint8_t our_mac[6] = {0x06, 0, 0xac, 0x10, 0, 2};

static struct {
    struct gmem *gmem;
    struct loop *loop;
    struct net *net;
    struct vq_driver rx;
    struct vq_driver tx;
    uint64_t now_ns;
    int host; /* the other end of the TAP */
    int open_result;
    int offload_result;
    unsigned offload; /* as last asked for */
    bool has_uso;
} fix;

static uint64_t fake_now(void *ctx)
{
    (void)ctx;
    return fix.now_ns;
}

static const struct clock fake_clock = {.now_ns = fake_now};

static int fake_open(const char *name, struct tap *ret_tap, struct err *err)
{
    int ends[2];
    int size = 8 * 1024 * 1024;
    if (fix.open_result)
        return err_set(err, fix.open_result, "no %s", name);
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) < 0)
        return err_set(err, -errno, "socketpair");
    for (int i = 0; i < 2; i++)
        (void)setsockopt(ends[i], SOL_SOCKET, SO_SNDBUFFORCE, &size, sizeof(size));
    fix.host = ends[1];
    *ret_tap = (struct tap){.fd = ends[0], .has_uso = fix.has_uso, .name = "tap0"};
    return 0;
}

static int fake_set_offload(const struct tap *tap, unsigned offload)
{
    (void)tap;
    fix.offload = offload;
    return fix.offload_result;
}

static int nic_create(const struct cfg_nic *nic, struct err *err)
{
    const struct net_env env = {fix.loop, &fake_clock, fake_open, fake_set_offload};
    return net_create(nic, &env, &fix.net, err);
}

/* The driver is ready with these features; both queues are empty. */
static int activate(uint64_t features)
{
    struct virtio_dev *dev = net_virtio(fix.net);
    dev->acked = dev->offered & features;
    vqd_init(&fix.rx, fix.gmem, QUEUE_SIZE);
    vqd_init_at(&fix.tx, fix.gmem, QUEUE_SIZE, TX_BASE);
    dev->queues[0].setup = vqd_setup(&fix.rx);
    dev->queues[1].setup = vqd_setup(&fix.tx);
    return virtio_dev_activate(dev, fix.gmem);
}

static char iface_id[] = "eth0";
static char host_name[] = "tap0";

static struct cfg_nic plain_nic(void)
{
    struct cfg_nic nic = {.iface_id = iface_id, .host_dev_name = host_name, .has_guest_mac = true};
    memcpy(nic.guest_mac, our_mac, sizeof(our_mac));
    return nic;
}

#define MERGEABLE (1ull << VIRTIO_NET_F_MRG_RXBUF)

static int setup_base(void **state)
{
    (void)state;
    const struct gmem_range range = {gpa(0), MEMORY_SIZE};
    struct err err = ERR_INIT;
    memset(&fix, 0, sizeof(fix));
    fix.now_ns = NS_PER_S;
    fix.host = FD_NONE;
    if (gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &fix.gmem, &err) < 0)
        return -1;
    return loop_create(&fake_clock, &fix.loop, &err);
}

static int setup(void **state)
{
    const struct cfg_nic nic = plain_nic();
    struct err err = ERR_INIT;
    return setup_base(state) < 0 || nic_create(&nic, &err) < 0 ? -1 : activate(MERGEABLE);
}

static void reset_device(void)
{
    struct virtio_dev *dev = net_virtio(fix.net);
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
}

static int teardown(void **state)
{
    (void)state;
    if (fix.net)
        reset_device();
    net_free(fix.net);
    loop_free(fix.loop);
    gmem_free(fix.gmem);
    fd_close(&fix.host);
    return 0;
}

/* What the driver notifies; the loop does it in the product. */
static inline void kick(uint32_t queue)
{
    struct virtio_dev *dev = net_virtio(fix.net);
    (void)pthread_mutex_lock(&dev->lock);
    if (virtio_serves(dev))
        dev->ops->on_queue(dev, queue);
    (void)pthread_mutex_unlock(&dev->lock);
}

static inline struct metrics_net *counters(void)
{
    struct metrics_net *group = NULL;
    assert_int_equal(metrics_net_of(iface_id, &group), 0);
    assert_non_null(group);
    return group;
}

/* Bytes of guest memory. */
static inline const uint8_t *memory(uint64_t addr, size_t len)
{
    struct iovec iov;
    assert_int_equal(gmem_iov(fix.gmem, gpa(addr), len, false, &iov), 0);
    return iov.iov_base;
}

/* A frame of `len` bytes with its header, which can be told from others by `seed`. */
static inline uint8_t *frame_of(size_t len, uint8_t seed)
{
    static uint8_t frame[FRAME_MAX];
    assert_in_range(len, TAP_HEADER_SIZE + 14, FRAME_MAX);
    for (size_t i = 0; i < len; i++)
        frame[i] = (uint8_t)(seed + i * 7 + i / 251);
    memset(frame, 0, TAP_HEADER_SIZE);
    memcpy(frame + TAP_HEADER_SIZE + 6, our_mac, sizeof(our_mac));
    return frame;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
#define BARE(test) cmocka_unit_test_setup_teardown(test, setup_base, teardown)
