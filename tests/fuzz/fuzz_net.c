/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtio-net over guest memory with a driver that keeps to the rules or does not, and
 * a TAP that is a socket, and a frame filter that takes what begins with an odd byte. Frames that
 * leave have a frame's size and are none of the filter's; nothing is in flight after a pause or a
 * reset; a broken device is silent. Input: operations. Single thread.
 */
#include <errno.h>
#include <linux/virtio_net.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/net/net.h"
#include "tests/fuzz/fuzz_guest.h"
#include "tests/lib/vq_driver.h"

#define QUEUE_SIZE 16u
#define TX_RINGS 0x40000ull
#define OPERATIONS_MAX 200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fuzz_bytes in;
    struct gmem *gmem;
    struct loop *loop;
    struct net *net;
    struct vq_driver drivers[2];
    struct frame_filter filter;
    uint32_t owed_count; /* frames of the filter's: one for each that it has taken */
    int host;
    uint64_t now_ns;
};

/* The one world of this process: net_env's functions have no context. */
static struct world *the_world(void)
{
    static struct world world;
    return &world;
}

static uint64_t now(void *ctx)
{
    (void)ctx;
    return the_world()->now_ns;
}

static const struct clock fuzz_clock = {.now_ns = now};

static int open_tap(const char *name, struct tap *ret_tap, struct err *err)
{
    int ends[2];
    (void)name;
    (void)err; /* cannot fail */
    FUZZ_CHECK(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, ends) == 0);
    the_world()->host = ends[1];
    *ret_tap = (struct tap){.fd = ends[0], .has_uso = true, .name = "fuzz"};
    return 0;
}

static int set_offload(const struct tap *tap, unsigned offload)
{
    (void)tap;
    return offload & ~0x7fu ? -EINVAL : 0;
}

static bool wants(const struct frame_filter *filter, const uint8_t *head, size_t head_len)
{
    (void)filter;
    FUZZ_CHECK(head_len >= 14 && head_len <= 128);
    return head[0] & 1;
}

static void take(struct frame_filter *filter, const uint8_t *bytes, size_t len, size_t frame_len)
{
    (void)filter;
    FUZZ_CHECK(bytes[0] & 1);
    FUZZ_CHECK(len >= 14 && len <= FRAME_FILTER_TAKE_MAX_SIZE && len <= frame_len);
    the_world()->owed_count++;
}

static size_t pull(struct frame_filter *filter, uint8_t *frame)
{
    (void)filter;
    if (the_world()->owed_count == 0)
        return 0;
    the_world()->owed_count--;
    memset(frame, 0, FRAME_FILTER_PULL_MAX_SIZE);
    return FRAME_FILTER_PULL_MAX_SIZE;
}

static uint64_t due_ns(const struct frame_filter *filter)
{
    (void)filter;
    return the_world()->now_ns + 1;
}

static void forget(struct frame_filter *filter)
{
    (void)filter;
    the_world()->owed_count = 0;
}

static const struct frame_filter_ops filter_ops = {wants, take, pull, due_ns, forget};

static struct virtio_dev *dev_of(struct world *world)
{
    return net_virtio(world->net);
}

static void activate(struct world *world)
{
    struct virtio_dev *dev = dev_of(world);
    uint64_t features = fuzz_u32(&world->in) | (uint64_t)fuzz_u32(&world->in) << 32;
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    dev->acked = dev->offered & features;
    for (uint32_t i = 0; i < 2; i++) {
        vqd_init_at(&world->drivers[i], world->gmem, QUEUE_SIZE, i * TX_RINGS);
        dev->queues[i].setup = vqd_setup(&world->drivers[i]);
    }
    FUZZ_CHECK(virtio_dev_activate(dev, world->gmem) == 0);
    (void)pthread_mutex_unlock(&dev->lock);
}

static uint32_t pick_len(struct world *world)
{
    static const uint32_t lens[] = {0,   1,   11,   12,   13,    14,    26,    100,   139,
                                    140, 141, 1526, 4096, 65561, 65562, 65563, 70000, UINT32_MAX};
    return lens[fuzz_pick(&world->in, sizeof(lens) / sizeof(lens[0]))];
}

/* Says whose a frame is: the filter's when it is odd. The address may be none. */
static void mark_frame(struct world *world, uint64_t addr, uint8_t value)
{
    IGNORE_RESULT(gmem_write(world->gmem, gpa(addr + TAP_HEADER_SIZE), &value, 1));
}

/* A chain of up to four, or a table of them, mostly for the direction of the queue. */
static void offer(struct world *world, uint32_t queue)
{
    struct vq_driver *driver = &world->drivers[queue];
    uint16_t head = fuzz_u8(&world->in) % QUEUE_SIZE;
    uint32_t count = 1 + fuzz_pick(&world->in, 4);
    bool indirect = fuzz_pick(&world->in, 4) == 0;
    uint64_t table = driver->base + (indirect ? VQD_INDIRECT : VQD_DESC);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t idx = indirect ? (uint16_t)i : (uint16_t)((head + i) % QUEUE_SIZE);
        uint16_t next = indirect ? (uint16_t)(i + 1) : (uint16_t)((head + i + 1) % QUEUE_SIZE);
        uint16_t flags = queue == 0 ? VRING_DESC_F_WRITE : 0;
        if (fuzz_pick(&world->in, 16) == 0)
            flags ^= (uint16_t)(1u << fuzz_pick(&world->in, 3));
        if (i + 1 < count)
            flags |= VRING_DESC_F_NEXT;
        uint64_t addr = fuzz_guest_addr(&world->in);
        if (queue == 1 && i == 0)
            mark_frame(world, addr, (uint8_t)head);
        vqd_desc(driver, table, idx, addr, pick_len(world), flags, next);
    }
    if (indirect)
        vqd_desc(driver, driver->base + VQD_DESC, head, table, count * 16, VRING_DESC_F_INDIRECT,
                 0);
    vqd_offer(driver, head);
}

static void kick(struct world *world, uint32_t queue)
{
    fuzz_guest_kick(dev_of(world), queue);
}

static void host_sends(struct world *world)
{
    static uint8_t frame[70000];
    size_t len = pick_len(world);
    frame[0] = fuzz_u8(&world->in);
    if (len > sizeof(frame))
        len = sizeof(frame);
    IGNORE_RESULT(send(world->host, frame, len ? len : 1, MSG_NOSIGNAL) < 0); /* full: it is lost */
}

static void host_reads(struct world *world)
{
    static uint8_t frame[TAP_FRAME_MAX_SIZE + 1];
    ssize_t len;
    while ((len = recv(world->host, frame, sizeof(frame), 0)) > 0)
        FUZZ_CHECK(len >= 26 && len <= (ssize_t)TAP_FRAME_MAX_SIZE && !(frame[12] & 1));
}

static void limit(struct world *world)
{
    struct cfg_rate_limiter limiters[2] = {0};
    for (uint32_t i = 0; i < 2; i++) {
        limiters[i].present = true;
        limiters[i].ops = (struct cfg_bucket){.present = fuzz_pick(&world->in, 2),
                                              .size = fuzz_u8(&world->in),
                                              .refill_time_ms = fuzz_u8(&world->in)};
        limiters[i].bandwidth = (struct cfg_bucket){.present = fuzz_pick(&world->in, 2),
                                                    .size = fuzz_u16(&world->in),
                                                    .refill_time_ms = fuzz_u8(&world->in)};
    }
    net_replace_limiters(world->net, &limiters[0], &limiters[1]);
}

static void pause_and_resume(struct world *world)
{
    struct virtio_dev *dev = dev_of(world);
    FUZZ_CHECK(virtio_dev_pause(dev, world->now_ns) == 0);
    for (uint32_t i = 0; i < 2 && dev->active && !dev->broken; i++)
        FUZZ_CHECK(vq_in_flight_count(&dev->queues[i]) == 0);
    virtio_dev_resume(dev);
}

static void turn(struct world *world)
{
    world->now_ns += fuzz_u8(&world->in) * NS_PER_MS;
    FUZZ_CHECK(loop_turn(world->loop, 0) >= 0);
}

/* Another vCPU writes into the rings. */
static void scribble(struct world *world)
{
    uint8_t byte = fuzz_u8(&world->in);
    IGNORE_RESULT(gmem_write(world->gmem, gpa(VQD_DESC + fuzz_u16(&world->in)), &byte, 1));
}

static void offer_rx(struct world *world)
{
    offer(world, 0);
}

static void offer_tx(struct world *world)
{
    offer(world, 1);
}

static void kick_rx(struct world *world)
{
    kick(world, 0);
}

static void kick_tx(struct world *world)
{
    kick(world, 1);
}

static void operate(struct world *world)
{
    static void (*const operations[16])(struct world * world) = {
        offer_rx,   offer_rx,   offer_rx,   offer_tx, offer_tx,         kick_rx,  kick_tx,  kick_tx,
        host_sends, host_sends, host_reads, limit,    pause_and_resume, activate, scribble, turn,
    };
    operations[fuzz_pick(&world->in, 16)](world);
}

static void world_make(struct world *world, const uint8_t *data, size_t size)
{
    const struct net_env env = {NULL, &fuzz_clock, open_tap, set_offload};
    char id[] = "fuzz";
    struct cfg_nic nic = {.iface_id = id, .host_dev_name = id, .has_guest_mac = true};
    struct net_env with_loop = env;
    struct err err = ERR_INIT;

    *world = (struct world){.in = {data, size}, .host = FD_NONE, .now_ns = NS_PER_S};
    world->gmem = fuzz_guest_create();
    FUZZ_CHECK(loop_create(&fuzz_clock, &world->loop, &err) == 0);
    with_loop.loop = world->loop;
    FUZZ_CHECK(net_create(&nic, &with_loop, &world->net, &err) == 0);
    world->filter.ops = &filter_ops;
    net_set_filter(world->net, &world->filter);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world *world = the_world();
    struct log_settings quiet = log_get();

    quiet.level = LOG_LEVEL_OFF;
    log_set(&quiet);
    world_make(world, data, size);
    activate(world);
    for (uint32_t i = 0; i < OPERATIONS_MAX && world->in.left > 0; i++)
        operate(world);
    struct virtio_dev *dev = dev_of(world);
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
    for (uint32_t i = 0; i < 2; i++)
        FUZZ_CHECK(vq_in_flight_count(&dev->queues[i]) == 0);
    net_free(world->net);
    loop_free(world->loop);
    gmem_free(world->gmem);
    fd_close(&world->host);
    return 0;
}
