/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How much the guest may send, and how many exchanges may begin, in a second. Included by the BPF
 * program alone.
 */
#pragma once

#include <linux/bpf.h>
#include <stdbool.h>

#include <bpf/bpf_helpers.h>

#include "jailer/policy/wire.h"

#define NS_PER_S 1000000000ull
#define BURST_NS (NS_PER_S / 4) /* a limit may be used a quarter of a second ahead */
#define FRAME_MAX 65550ull      /* bytes, before the kernel cuts it into segments */
#define SEGMENTS_MAX 1024u      /* of one frame: a guest that means well asks for some fifty */
#define SEGMENT_HEAD 54u        /* bytes that each segment has of its own: the least */

struct buckets {
    struct bpf_spin_lock lock;
    struct pol_bucket_view free_at; /* when each is used up to now */
};
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct buckets);
} limits SEC(".maps");

/* How many frames the kernel makes of one that the guest leaves to it to cut. */
static __always_inline __u32 segments_of(const struct __sk_buff *skb)
{
    __u32 size = skb->gso_size;
    return size ? (skb->len + size - 1) / size : 1;
}

/* What one frame takes of a limit, as time. */
struct cost {
    __u64 needed_ns;     /* has to be there */
    __u64 needed_max_ns; /* of any frame */
    __u64 taken_ns;      /* the rest of it is owed */
    __u64 taken_max_ns;  /* of any frame: what is owed more is of a policy before this one */
};

static __always_inline bool has_room(__u64 *free_at, __u64 now, const struct cost *cost)
{
    /* Or the largest would never pass. */
    __u64 room = cost->needed_max_ns > BURST_NS ? cost->needed_max_ns : BURST_NS;
    __u64 earliest = now > room ? now - room : 0; /* a host that has just started */
    if (*free_at < earliest)
        *free_at = earliest;
    if (*free_at > now + cost->taken_max_ns)
        *free_at = now + cost->taken_max_ns;
    return *free_at + cost->needed_ns <= now;
}

/* A frame that is cut counts as all that becomes of it. */
static __always_inline bool take_of_guest(const struct pol_config *config,
                                          const struct __sk_buff *skb)
{
    __u32 zero = 0;
    if (!config->packets_per_s && !config->bytes_per_s)
        return true;
    struct buckets *buckets = bpf_map_lookup_elem(&limits, &zero);
    if (!buckets)
        return true;
    __u64 now = bpf_ktime_get_ns();
    __u64 segments = segments_of(skb);
    __u64 len = skb->len;
    __u64 bytes = len + (segments - 1) * SEGMENT_HEAD;
    __u64 packet_ns = config->packets_per_s ? NS_PER_S / config->packets_per_s : 0;
    __u64 per_s = config->bytes_per_s;
    const struct cost of_packets = {packet_ns, packet_ns, segments * packet_ns,
                                    SEGMENTS_MAX * packet_ns};
    const struct cost of_bytes = {
        per_s ? len * NS_PER_S / per_s : 0, per_s ? FRAME_MAX * NS_PER_S / per_s : 0,
        per_s ? bytes * NS_PER_S / per_s : 0,
        per_s ? (FRAME_MAX + SEGMENTS_MAX * SEGMENT_HEAD) * NS_PER_S / per_s : 0};
    bpf_spin_lock(&buckets->lock);
    bool good = has_room(&buckets->free_at.packets_ns, now, &of_packets) &&
                has_room(&buckets->free_at.bytes_ns, now, &of_bytes);
    if (good) {
        buckets->free_at.packets_ns += of_packets.taken_ns;
        buckets->free_at.bytes_ns += of_bytes.taken_ns;
    }
    bpf_spin_unlock(&buckets->lock);
    return good;
}

static __always_inline bool take_connection(const struct pol_config *config)
{
    __u32 zero = 0;
    if (!config->connections_per_s)
        return true;
    struct buckets *buckets = bpf_map_lookup_elem(&limits, &zero);
    if (!buckets)
        return true;
    __u64 now = bpf_ktime_get_ns();
    __u64 one_ns = NS_PER_S / config->connections_per_s;
    const struct cost cost = {one_ns, one_ns, one_ns, one_ns};
    bpf_spin_lock(&buckets->lock);
    bool good = has_room(&buckets->free_at.connections_ns, now, &cost);
    if (good)
        buckets->free_at.connections_ns += one_ns;
    bpf_spin_unlock(&buckets->lock);
    return good;
}
