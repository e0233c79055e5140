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

/* Takes `cost_ns` of a limit. */
static __always_inline bool take(__u64 *free_at, __u64 now, __u64 cost_ns, __u64 cost_max_ns)
{
    __u64 room = cost_max_ns > BURST_NS ? cost_max_ns : BURST_NS; /* or that would never pass */
    __u64 earliest = now > room ? now - room : 0;                 /* a host that has just started */
    if (*free_at < earliest)
        *free_at = earliest;
    if (*free_at + cost_ns > now)
        return false;
    *free_at += cost_ns;
    return true;
}

static __always_inline bool take_of_guest(const struct pol_config *config, __u32 len)
{
    __u32 zero = 0;
    if (!config->packets_per_s && !config->bytes_per_s)
        return true;
    struct buckets *buckets = bpf_map_lookup_elem(&limits, &zero);
    if (!buckets)
        return true;
    __u64 now = bpf_ktime_get_ns();
    __u64 packet_ns = config->packets_per_s ? NS_PER_S / config->packets_per_s : 0;
    __u64 bytes_ns = config->bytes_per_s ? len * NS_PER_S / config->bytes_per_s : 0;
    __u64 bytes_max_ns = config->bytes_per_s ? FRAME_MAX * NS_PER_S / config->bytes_per_s : 0;
    bpf_spin_lock(&buckets->lock);
    bool good = take(&buckets->free_at.packets_ns, now, packet_ns, packet_ns) &&
                take(&buckets->free_at.bytes_ns, now, bytes_ns, bytes_max_ns);
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
    __u64 cost_ns = NS_PER_S / config->connections_per_s;
    bpf_spin_lock(&buckets->lock);
    bool good = take(&buckets->free_at.connections_ns, now, cost_ns, cost_ns);
    bpf_spin_unlock(&buckets->lock);
    return good;
}
