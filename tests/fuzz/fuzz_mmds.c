/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: the metadata service from frame to frame. A guest that mostly keeps to TCP: segments
 * that continue, overlap, leave gaps or lie; options and headers that cannot be; requests whole and
 * cut. What comes out are frames of a right size and sum, not without end, and it comes to rest.
 * Input: operations. Single thread.
 */
#include <errno.h>
#include <string.h>

#include "base/be.h"
#include "devices/mmds/mmds.h"
#include "tests/fuzz/fuzz_bytes.h"
#include "tests/fuzz/fuzz_check.h"

#define OPERATIONS_MAX 400u
#define PORTS_COUNT 40u /* more than there are connections */
#define PULLS_MAX 200000u
#define DATA_MAX 1000u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The guest's idea of one connection. */
struct peer {
    uint32_t seq;
    uint32_t ack;
};

struct world {
    struct fuzz_bytes in;
    struct mmds *mmds;
    struct mmds_nic *nic;
    struct frame_filter *filter;
    struct peer peers[PORTS_COUNT];
    uint64_t now_ns;
};

static const uint8_t our_ip[4] = {169, 254, 169, 254};

static uint64_t now(void *ctx)
{
    return ((struct world *)ctx)->now_ns;
}

static int no_random(void *ctx, void *buf, size_t len)
{
    const struct world *world = ctx;
    memset(buf, 0xff - (int)(world->in.left & 3), len); /* numbers that go round soon */
    return world->in.left % 16 == 15 ? -EIO : 0;
}

static void offer(struct world *world, const uint8_t *frame, size_t len)
{
    struct frame_filter *filter = world->filter;
    uint8_t copy[FRAME_FILTER_TAKE_MAX_SIZE];
    size_t here = len < sizeof(copy) ? len : sizeof(copy);
    if (len < 14 || !filter->ops->wants(filter, frame, here < 128 ? here : 128))
        return;
    memcpy(copy, frame, here);
    filter->ops->take(filter, copy, here, len);
}

/* Changes one byte now and then. */
static void mutate(struct world *world, uint8_t *frame, size_t len)
{
    if (fuzz_pick(&world->in, 8) == 0)
        frame[fuzz_u16(&world->in) % len] = fuzz_u8(&world->in);
}

static size_t put_ip(uint8_t *frame, size_t tcp_len)
{
    memset(frame, 2, 12);
    be16_store(frame + 12, 0x0800);
    memset(frame + 14, 0, 20);
    frame[14] = 0x45;
    be16_store(frame + 16, (uint16_t)(20 + tcp_len));
    frame[23] = 6;
    memcpy(frame + 26, "\x0a\0\0\2", 4);
    memcpy(frame + 30, our_ip, 4);
    return 34;
}

static size_t pick_payload(struct world *world, uint8_t *payload)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n\r\n",
        "GET /a//b/ HTTP/1.0\r\nAccept: application/json\r\n\r\n",
        "PUT /latest/api/token HTTP/1.1\r\nX-metadata-token-ttl-seconds: 60\r\n\r\n",
        "GET /l/0 HTTP/1.1\r\nX-metadata-token: AAAA\r\n\r\n",
        "PATCH / HTTP/1.1\r\nContent-Length: 3\r\n\r\n",
        "\n\n",
        "\r\n",
        "X-Forwarded-For: a\r\n",
    };
    uint32_t choice = fuzz_pick(&world->in, 12);
    size_t len;
    if (choice < 8) {
        len = strlen(texts[choice]);
        memcpy(payload, texts[choice], len);
        return fuzz_pick(&world->in, 4) == 0 ? fuzz_u8(&world->in) % (len + 1) : len;
    }
    if (choice == 8) { /* bytes as they are */
        len = fuzz_u8(&world->in);
        for (size_t i = 0; i < len; i++)
            payload[i] = fuzz_u8(&world->in);
        return len;
    }
    len = choice == 9 ? fuzz_u16(&world->in) % 3000 : 0;
    memset(payload, 'x', len);
    return len;
}

static size_t pick_options(struct world *world, uint8_t *options)
{
    static const uint8_t sets[][8] = {
        {2, 4, 5, 0xb4, 1, 1, 1, 0},
        {2, 4, 0, 1},
        {2, 4, 0, 0},
        {2, 3, 1, 0},
        {8, 0, 2, 4},
        {1, 1, 1, 9},
    };
    uint32_t choice = fuzz_pick(&world->in, 16);
    if (choice < 6) {
        memcpy(options, sets[choice], 8);
        return 8;
    }
    if (choice > 7)
        return 0;
    for (size_t i = 0; i < 40; i++)
        options[i] = fuzz_u8(&world->in);
    return 40;
}

static void segment(struct world *world)
{
    static const uint8_t flag_sets[] = {0x10, 0x18, 0x10, 0x18, 0x11, 0x02, 0x04, 0x12};
    static const int32_t shifts[] = {0, 0, 0, 0, 0, 0, -1, 1, -10, 10, -3000, 3000};
    static uint8_t frame[4096];
    uint8_t options[40];
    uint8_t payload[3000];
    uint32_t port = fuzz_pick(&world->in, PORTS_COUNT);
    struct peer *peer = &world->peers[port];
    uint8_t flags = flag_sets[fuzz_pick(&world->in, 8)];
    uint32_t shift = (uint32_t)shifts[fuzz_pick(&world->in, 12)];
    size_t options_len = pick_options(world, options);
    size_t payload_len = flags & 2 ? 0 : pick_payload(world, payload);
    uint8_t *tcp = frame + put_ip(frame, 20 + options_len + payload_len);
    memset(tcp, 0, 20);
    be16_store(tcp, (uint16_t)(1000 + port));
    be16_store(tcp + 2, 80);
    be32_store(tcp + 4, peer->seq + shift);
    be32_store(tcp + 8, peer->ack);
    tcp[12] = (uint8_t)((20 + options_len) / 4 << 4);
    tcp[13] = fuzz_pick(&world->in, 16) == 0 ? fuzz_u8(&world->in) : flags;
    be16_store(tcp + 14, fuzz_pick(&world->in, 2) ? 0xffff : fuzz_u8(&world->in));
    memcpy(tcp + 20, options, options_len);
    memcpy(tcp + 20 + options_len, payload, payload_len);
    size_t len = 54 + options_len + payload_len;
    mutate(world, frame, len);
    offer(world, frame, len);
    if (shift == 0)
        peer->seq += (uint32_t)payload_len + (flags & 2 ? 1 : flags & 1);
}

static void arp(struct world *world)
{
    static const uint8_t kind[8] = {0, 1, 8, 0, 6, 4, 0, 1};
    uint8_t frame[60] = {0};
    frame[12] = 8;
    frame[13] = 6;
    memcpy(frame + 14, kind, sizeof(kind));
    memcpy(frame + 38, our_ip, 4);
    mutate(world, frame, sizeof(frame));
    offer(world, frame, sizeof(frame));
}

/* Bytes of the input as a frame, its address ours. */
static void raw(struct world *world)
{
    uint8_t frame[128] = {0};
    size_t len = fuzz_u8(&world->in) % sizeof(frame);
    for (size_t i = 0; i < len; i++)
        frame[i] = fuzz_u8(&world->in);
    be16_store(frame + 12, fuzz_pick(&world->in, 2) ? 0x0800 : 0x0806);
    memcpy(frame + (frame[13] ? 38 : 30), our_ip, 4);
    offer(world, frame, len);
}

static uint32_t folded(uint32_t sum, const uint8_t *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum += (uint32_t)bytes[i] << (i % 2 ? 0 : 8);
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return sum;
}

static void check_frame(struct world *world, const uint8_t *frame, size_t len)
{
    FUZZ_CHECK(len <= FRAME_FILTER_PULL_MAX_SIZE);
    if (be16_load(frame + 12) == 0x0806) {
        FUZZ_CHECK(len == 42);
        return;
    }
    FUZZ_CHECK(be16_load(frame + 12) == 0x0800 && len >= 54);
    FUZZ_CHECK(be16_load(frame + 16) == len - 14);
    FUZZ_CHECK(folded(0, frame + 14, 20) == 0xffff);
    uint32_t pseudo = folded(6 + (uint32_t)len - 34, frame + 26, 8);
    FUZZ_CHECK(folded(pseudo, frame + 34, len - 34) == 0xffff);
    FUZZ_CHECK(be16_load(frame + 34) == 80 && be16_load(frame + 48) <= 2500);
    uint32_t port = (uint32_t)be16_load(frame + 36) - 1000;
    uint8_t flags = frame[47];
    size_t payload_len = len - 34 - (size_t)(frame[46] >> 4) * 4;
    if (port < PORTS_COUNT && !(flags & 4)) /* what a guest acknowledges next */
        world->peers[port].ack =
            be32_load(frame + 38) + (uint32_t)payload_len + (flags & 3 ? 1 : 0);
}

/* Takes all that there is, or loses it. */
static void pull_all(struct world *world)
{
    const struct frame_filter *filter = world->filter;
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    uint32_t count = 0;
    size_t len;
    while ((len = filter->ops->pull(world->filter, frame)) > 0) {
        check_frame(world, frame, len);
        FUZZ_CHECK(++count < PULLS_MAX);
    }
    uint64_t due_ns = filter->ops->due_ns(filter);
    FUZZ_CHECK(due_ns == 0 || due_ns > world->now_ns);
}

static void pull_some(struct world *world)
{
    uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    for (uint32_t i = fuzz_pick(&world->in, 8); i > 0; i--) {
        size_t len = world->filter->ops->pull(world->filter, frame);
        if (len > 0)
            check_frame(world, frame, len);
    }
}

static void wait(struct world *world)
{
    world->now_ns += (uint64_t)fuzz_u8(&world->in) * 100 * NS_PER_MS;
}

static void change(struct world *world)
{
    static const char *const texts[] = {"{\"a\":{\"b\":\"c\"},\"l\":[1.5,null]}",
                                        "{\"a\":null}",
                                        "null",
                                        "[[]]",
                                        "{\"l\":{\"0\":\"x\"}}",
                                        "\"\""};
    const char *text = texts[fuzz_pick(&world->in, 6)];
    struct err err = ERR_INIT;
    IGNORE_RESULT(fuzz_pick(&world->in, 2) ? mmds_put(world->mmds, text, strlen(text), &err)
                                           : mmds_patch(world->mmds, text, strlen(text), &err));
    mmds_configure(world->mmds, fuzz_pick(&world->in, 2), fuzz_pick(&world->in, 2));
}

static void reset(struct world *world)
{
    if (fuzz_pick(&world->in, 8) == 0)
        world->filter->ops->reset(world->filter);
}

static void operate(struct world *world)
{
    static void (*const operations[16])(struct world * world) = {
        segment,   segment,  segment,  segment,  segment, segment, segment, segment,
        pull_some, pull_all, pull_all, pull_all, change,  wait,    arp,     raw,
    };
    operations[fuzz_pick(&world->in, 16)](world);
    if (world->in.left % 64 == 0)
        reset(world);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    const struct clock clock = {.now_ns = now, .ctx = &world};
    const struct mmds_env env = {.clock = &clock,
                                 .random = no_random,
                                 .ctx = &world,
                                 .vm_id = "fuzz",
                                 .data_size_max = DATA_MAX};

    world = (struct world){.in = {data, size}, .now_ns = NS_PER_S};
    FUZZ_CHECK(mmds_create(&env, &world.mmds) == 0);
    FUZZ_CHECK(mmds_nic_create(world.mmds, our_ip, &world.nic) == 0);
    world.filter = mmds_nic_filter(world.nic);
    for (uint32_t i = 0; i < OPERATIONS_MAX && world.in.left > 0; i++)
        operate(&world);
    /* A guest that says nothing more is left alone in the end. */
    for (uint32_t i = 0; i < 20; i++) {
        pull_all(&world);
        world.now_ns += 400 * NS_PER_MS;
    }
    FUZZ_CHECK(world.filter->ops->due_ns(world.filter) == 0);
    mmds_nic_free(world.nic);
    mmds_free(world.mmds);
    return 0;
}
