/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: virtio-vsock over guest memory with a driver that keeps to the rules or does not,
 * host programs that say CONNECT or anything else, and one that the guest reaches. The loop comes
 * to rest, no chain is kept, nothing outlives a reset, a broken device is silent. Input:
 * operations. Single thread.
 */
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
#include "base/log.h"
#include "devices/vsock/vsock.h"
#include "devices/vsock/vsock_packet.h"
#include "tests/fuzz/fuzz_guest.h"
#include "tests/lib/vq_driver.h"

#define QUEUE_SIZE 16u
#define RINGS_STEP 0x25000ull
#define OPERATIONS_MAX 200u
#define HOSTS_COUNT 6u
#define LISTEN_PORT 99u
#define TURNS_MAX 400u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct fuzz_bytes in;
    struct gmem *gmem;
    struct loop *loop;
    struct vsock *vsock;
    struct vq_driver drivers[3];
    int hosts[HOSTS_COUNT];
    int listener;
    uint64_t now_ns;
    char path[64];
};

static uint64_t now(void *ctx)
{
    const struct world *world = ctx;
    return world->now_ns;
}

static struct virtio_dev *dev_of(struct world *world)
{
    return vsock_virtio(world->vsock);
}

static void activate(struct world *world)
{
    struct virtio_dev *dev = dev_of(world);
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    dev->acked = dev->offered & ((uint64_t)fuzz_u8(&world->in) << 28 | 1ull << 32);
    for (uint32_t i = 0; i < 3; i++) {
        vqd_init_at(&world->drivers[i], world->gmem, QUEUE_SIZE, i * RINGS_STEP);
        dev->queues[i].setup = vqd_setup(&world->drivers[i]);
    }
    FUZZ_CHECK(virtio_dev_activate(dev, world->gmem) == 0);
    (void)pthread_mutex_unlock(&dev->lock);
}

static uint32_t pick_len(struct world *world)
{
    static const uint32_t lens[] = {0,   1,    43,    44,    45,    88,   100,
                                    300, 4096, 65535, 65536, 65537, 70000};
    return lens[fuzz_pick(&world->in, sizeof(lens) / sizeof(lens[0]))];
}

static void kick(struct world *world, uint32_t queue)
{
    fuzz_guest_kick(dev_of(world), queue);
}

/* A chain of up to three, mostly for the direction of the queue. */
static uint16_t offer(struct world *world, uint32_t queue)
{
    struct vq_driver *driver = &world->drivers[queue];
    uint16_t head = fuzz_u8(&world->in) % QUEUE_SIZE;
    uint32_t count = 1 + fuzz_pick(&world->in, 3);
    for (uint32_t i = 0; i < count; i++) {
        uint16_t idx = (uint16_t)((head + i) % QUEUE_SIZE);
        uint16_t flags = queue == 0 ? VRING_DESC_F_WRITE : 0;
        if (fuzz_pick(&world->in, 16) == 0)
            flags ^= (uint16_t)(1u << fuzz_pick(&world->in, 3));
        if (i + 1 < count)
            flags |= VRING_DESC_F_NEXT;
        vqd_desc(driver, driver->base + VQD_DESC, idx, fuzz_guest_addr(&world->in), pick_len(world),
                 flags, (uint16_t)((idx + 1) % QUEUE_SIZE));
    }
    vqd_offer(driver, head);
    return head;
}

static void offer_rx(struct world *world)
{
    (void)offer(world, 0);
}

static void offer_tx(struct world *world)
{
    (void)offer(world, 1);
}

/* Buffers as Linux has them. */
static void give(struct world *world)
{
    struct vq_driver *driver = &world->drivers[0];
    for (uint16_t i = 0; i < QUEUE_SIZE; i++) {
        vqd_desc(driver, driver->base + VQD_DESC, i, FUZZ_BUFFERS + i * 8192ull, 4096,
                 VRING_DESC_F_WRITE, 0);
        vqd_offer(driver, i);
    }
    kick(world, 0);
}

static uint32_t pick_port(struct world *world)
{
    static const uint32_t ports[] = {
        1u << 30, (1u << 30) + 1, (1u << 30) + 2, LISTEN_PORT, 0, UINT32_MAX, 52, 53};
    return ports[fuzz_pick(&world->in, sizeof(ports) / sizeof(ports[0]))];
}

/* A packet of the guest, mostly in order. */
static void guest_sends(struct world *world)
{
    struct vq_driver *driver = &world->drivers[1];
    uint64_t addr = FUZZ_BUFFERS + 0x40000;
    struct vsock_packet packet = {.src_cid = 42, .dst_cid = 2, .type = 1, .buf_alloc = 65536};
    struct vsock_wire_header wire;
    packet.op = (enum vsock_op)fuzz_pick(&world->in, VSOCK_OP_UNSUPPORTED);
    packet.dst_port = pick_port(world);
    packet.src_port = pick_port(world);
    packet.flags = fuzz_pick(&world->in, 4);
    uint32_t oddity = fuzz_u8(&world->in);
    packet.len = packet.op == VSOCK_OP_RW ? pick_len(world) : 0;
    if (oddity < 8)
        packet.type = (uint16_t)oddity;
    else if (oddity < 16)
        packet.dst_cid = oddity;
    else if (oddity < 32)
        packet.buf_alloc = oddity - 16;
    vsock_packet_encode(&packet, &wire);
    if (oddity == 255)
        wire.op = le16_put(fuzz_u16(&world->in));
    FUZZ_CHECK(gmem_write(world->gmem, gpa(addr), &wire, sizeof(wire)) == 0);
    vqd_desc(driver, driver->base + VQD_DESC, 0, addr, 44 + 65536, 0, 0);
    vqd_offer(driver, 0);
    kick(world, 1);
}

static int open_to(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    FUZZ_CHECK(fd >= 0);
    memcpy(addr.sun_path, path, strlen(path));
    FUZZ_CHECK(connect(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0);
    return fd;
}

static int *pick_host(struct world *world)
{
    return &world->hosts[fuzz_pick(&world->in, HOSTS_COUNT)];
}

static void host_connects(struct world *world)
{
    static const char *const lines[] = {"CONNECT 52\n", "CONNECT 53\nearly", "CONNECT 4294967295\n",
                                        "connect +52 \n"};
    int *fd = pick_host(world);
    char line[40];
    size_t len;
    fd_close(fd);
    *fd = open_to(world->path);
    if (fuzz_pick(&world->in, 8) > 0) {
        const char *text = lines[fuzz_pick(&world->in, 4)];
        len = strlen(text);
        memcpy(line, text, len);
    } else {
        len = fuzz_pick(&world->in, sizeof(line));
        for (size_t i = 0; i < len; i++)
            line[i] = (char)fuzz_u8(&world->in);
    }
    IGNORE_RESULT(send(*fd, line, len, MSG_NOSIGNAL) < 0); /* it was closed at once */
}

static void host_accepts(struct world *world)
{
    int *fd = pick_host(world);
    fd_close(fd);
    *fd = accept4(world->listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

static void host_writes(struct world *world)
{
    static const char bytes[70000];
    IGNORE_RESULT(send(*pick_host(world), bytes, pick_len(world), MSG_NOSIGNAL) <
                  0); /* full, or none */
}

static void host_reads(struct world *world)
{
    static char bytes[70000];
    IGNORE_RESULT(recv(*pick_host(world), bytes, pick_len(world), 0) < 0); /* nothing, or none */
}

static void host_ends(struct world *world)
{
    int *fd = pick_host(world);
    switch (fuzz_pick(&world->in, 4)) {
    case 0:
        fd_close(fd);
        break;
    case 1:
        (void)shutdown(*fd, SHUT_RD);
        break;
    case 2:
        (void)shutdown(*fd, SHUT_WR);
        break;
    default:
        (void)shutdown(*fd, SHUT_RDWR);
        break;
    }
}

/* Time passes; the loop has to come to rest. */
static void turn(struct world *world)
{
    uint32_t turns = 0;
    int ran;
    world->now_ns += fuzz_u8(&world->in) * 10 * NS_PER_MS;
    while ((ran = loop_turn(world->loop, 0)) > 0)
        FUZZ_CHECK(turns++ < TURNS_MAX);
    FUZZ_CHECK(ran == 0);
}

static void pause_and_resume(struct world *world)
{
    struct virtio_dev *dev = dev_of(world);
    FUZZ_CHECK(virtio_dev_pause(dev, world->now_ns) == 0);
    turn(world);
    virtio_dev_resume(dev);
    kick(world, 0);
}

/* Another vCPU writes into the rings. */
static void scribble(struct world *world)
{
    uint8_t byte = fuzz_u8(&world->in);
    uint64_t ring = RINGS_STEP * fuzz_pick(&world->in, 2);
    IGNORE_RESULT(gmem_write(world->gmem, gpa(ring + VQD_DESC + fuzz_u16(&world->in)), &byte, 1));
}

static void kick_any(struct world *world)
{
    kick(world, fuzz_pick(&world->in, 3));
}

static void operate(struct world *world)
{
    static void (*const operations[20])(struct world * world) = {
        offer_rx,    offer_tx,    give,          give,          guest_sends,  guest_sends,
        guest_sends, guest_sends, host_connects, host_connects, host_accepts, host_writes,
        host_writes, host_reads,  host_ends,     turn,          turn,         pause_and_resume,
        scribble,    kick_any,
    };
    uint32_t which = fuzz_pick(&world->in, 21);
    if (which == 20)
        activate(world);
    else
        operations[which](world);
    const struct virtio_dev *dev = dev_of(world);
    for (uint32_t i = 0; i < 3 && dev->active && !dev->broken; i++)
        FUZZ_CHECK(vq_in_flight_count(&dev->queues[i]) == 0);
}

static int listen_at(const char *path)
{
    struct sockaddr_un addr = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)snprintf(addr.sun_path, sizeof(addr.sun_path), "%s_%u", path, LISTEN_PORT);
    (void)unlink(addr.sun_path); /* of an earlier input */
    FUZZ_CHECK(fd >= 0 && bind(fd, (const struct sockaddr *)&addr, sizeof(addr)) == 0);
    FUZZ_CHECK(listen(fd, 1) == 0);
    return fd;
}

static void world_make(struct world *world, const struct clock *clock)
{
    struct cfg_vsock config = {.guest_cid = 42, .uds_path = world->path};
    struct err err = ERR_INIT;

    (void)snprintf(world->path, sizeof(world->path), "/tmp/mayfly-fuzz-vsock.%d", (int)getpid());
    (void)unlink(world->path); /* likewise */
    for (uint32_t i = 0; i < HOSTS_COUNT; i++)
        world->hosts[i] = FD_NONE;
    world->gmem = fuzz_guest_create();
    FUZZ_CHECK(loop_create(clock, &world->loop, &err) == 0);
    const struct vsock_env env = {world->loop, clock};
    FUZZ_CHECK(vsock_create(&config, &env, &world->vsock, &err) == 0);
    world->listener = listen_at(world->path);
}

static void world_end(struct world *world)
{
    char path[80];
    struct virtio_dev *dev = dev_of(world);
    struct err err = ERR_INIT;
    (void)pthread_mutex_lock(&dev->lock);
    virtio_dev_reset(dev);
    (void)pthread_mutex_unlock(&dev->lock);
    turn(world);
    FUZZ_CHECK(vsock_unlink(world->vsock, &err) == 0);
    vsock_free(world->vsock);
    loop_free(world->loop);
    gmem_free(world->gmem);
    for (uint32_t i = 0; i < HOSTS_COUNT; i++)
        fd_close(&world->hosts[i]);
    fd_close(&world->listener);
    (void)snprintf(path, sizeof(path), "%s_%u", world->path, LISTEN_PORT);
    (void)unlink(path); /* it was made */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct world world = {.in = {data, size}, .now_ns = NS_PER_S};
    const struct clock clock = {.now_ns = now, .ctx = &world};
    struct log_settings quiet = log_get();

    quiet.level = LOG_LEVEL_OFF;
    log_set(&quiet);
    (void)signal(SIGPIPE, SIG_IGN); /* counted in the product */
    world_make(&world, &clock);
    activate(&world);
    kick(&world, 0);
    for (uint32_t i = 0; i < OPERATIONS_MAX && world.in.left > 0; i++)
        operate(&world);
    world_end(&world);
    return 0;
}
