/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Judges each frame between a TAP and the host, both ways (docs/network-policy.md): whose it is,
 * whether it may go there, how many may. Runs in the kernel, at the TAP's clsact hooks; what comes
 * from the guest is the TAP's ingress.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "jailer/policy/frame.bpf.h"
#include "jailer/policy/limits.bpf.h"
#include "jailer/policy/wire.h"

/* By sizes, not types: one with types is no template for one without before Linux 6.2. */
struct trie {
    __uint(type, BPF_MAP_TYPE_LPM_TRIE);
    __uint(max_entries, POL_PREFIXES_MAX);
    __uint(map_flags, BPF_F_NO_PREALLOC);
    __uint(key_size, sizeof(struct pol_key));
    __uint(value_size, sizeof(struct pol_prefix));
};

/* Two of each: one in force, one to be filled. */
struct {
    __uint(type, BPF_MAP_TYPE_ARRAY_OF_MAPS);
    __uint(max_entries, 2 * POL_TRIES_OF_SLOT);
    __type(key, __u32);
    __array(values, struct trie);
} tries SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct pol_live);
} live SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, POL_FLOWS_MAX);
    __type(key, struct pol_flow_key);
    __type(value, struct pol_flow);
} flows SEC(".maps");

/* When what was asked for; apart, so that a neighbour's noise pushes no exchange out. */
struct {
    __uint(type, BPF_MAP_TYPE_LRU_HASH);
    __uint(max_entries, POL_NOTES_MAX);
    __type(key, struct pol_flow_key);
    __type(value, __u32); /* a tick */
} notes SEC(".maps");

struct {
    __uint(type, BPF_MAP_TYPE_ARRAY);
    __uint(max_entries, POL_COUNTERS_SIZE / sizeof(__u64));
    __uint(map_flags, BPF_F_MMAPABLE);
    __type(key, __u32);
    __type(value, __u64);
} counters SEC(".maps");

/* Of the kernel's own, wherever it has these: libbpf finds out when it loads the program. */
struct sk_buff {
    __u8 ip_summed : 2;
    __u16 csum_start; /* from head on */
    __u16 csum_offset;
    unsigned char *head;
    unsigned char *data;
} __attribute__((preserve_access_index));
#define CHECKSUM_PARTIAL 3

/* In a map: of what stands on the stack the kernel would follow every combination when it proves
 * the program, which took half a second. Bottom halves are off: it is one frame's at a time. */
struct {
    __uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
    __uint(max_entries, 1);
    __type(key, __u32);
    __type(value, struct frame);
} scratch SEC(".maps");

static __always_inline void count(__u32 counter, __u64 n)
{
    __u64 *value = bpf_map_lookup_elem(&counters, &counter);
    if (value)
        __sync_fetch_and_add(value, n);
}

static __always_inline int drop(__u32 reason)
{
    count(reason, 1);
    return TC_ACT_SHOT;
}

static __always_inline bool is_same_mac(const __u8 a[6], const __u8 b[6])
{
    __u8 differs = 0;
    for (int i = 0; i < 6; i++)
        differs |= a[i] ^ b[i];
    return differs == 0;
}

static __always_inline __u32 sources_of(__u32 generation)
{
    return POL_SLOT(generation) * POL_TRIES_OF_SLOT + POL_TRIE_SOURCES;
}

static __always_inline void *lookup(__u32 trie_idx, __u8 family, const __u8 address[16])
{
    struct pol_key key = {.prefix_len = POL_FAMILY_BITS + 128, .family = family};
    void *trie = bpf_map_lookup_elem(&tries, &trie_idx);
    __builtin_memcpy(key.address, address, 16);
    return trie ? bpf_map_lookup_elem(trie, &key) : NULL;
}

/* ------------------------------------------------------------------ whose it is */

/* The sender leaves a checksum to whoever sends the frame on, and says where it belongs: that is
 * written behind our back, and must not be where we have looked. */
static __always_inline bool is_summed_inside(struct __sk_buff *ctx, __u32 read_end)
{
    const struct sk_buff *skb = (const void *)ctx;
    if (BPF_CORE_READ_BITFIELD_PROBED(skb, ip_summed) != CHECKSUM_PARTIAL)
        return false;
    __u32 at = BPF_CORE_READ(skb, csum_start) + BPF_CORE_READ(skb, csum_offset);
    __u32 begin = (__u32)(BPF_CORE_READ(skb, data) - BPF_CORE_READ(skb, head));
    return at < begin + read_end;
}

static __always_inline int judge_arp(struct __sk_buff *skb, const struct pol_config *config,
                                     __u32 sources)
{
    struct {
        __be16 hardware, protocol;
        __u8 hardware_len, protocol_len;
        __be16 operation;
        __u8 sender_mac[6], sender[4], target_mac[6], target[4];
    } arp;
    __be32 address;
    __u8 whole[16];
    if (bpf_skb_load_bytes(skb, ETH_HLEN, &arp, sizeof(arp)) < 0 || arp.hardware != bpf_htons(1) ||
        arp.protocol != bpf_htons(ETH_P_IP) || arp.hardware_len != 6 || arp.protocol_len != 4 ||
        is_summed_inside(skb, ETH_HLEN + sizeof(arp)))
        return drop(POL_DROP_ARP);
    __builtin_memcpy(&address, arp.sender, 4);
    if (address == 0) /* it asks whether the other one is taken, which keeps others from it */
        __builtin_memcpy(&address, arp.target, 4);
    from_ipv4(whole, address);
    if (!is_same_mac(arp.sender_mac, config->mac) || !lookup(sources, POL_IPV4, whole))
        return drop(POL_DROP_ARP);
    return TC_ACT_OK;
}

static __always_inline bool is_own(const struct frame *frame, const struct pol_config *config,
                                   __u32 sources)
{
    if (frame->is_neighbour && is_nowhere(frame->source))
        return true;
    if (config->allow_dhcp && is_dhcp_request(frame))
        return true;
    const struct pol_prefix *own = lookup(sources, frame->family, frame->source);
    return own && (own->rules_count != POL_OF_LINK || frame->is_neighbour);
}

/* ------------------------------------------------------------------ where it may go */

static __always_inline bool matches(const struct pol_rule *rule, const struct frame *frame,
                                    __u16 port)
{
    bool any_port = rule->port_min == 0 && rule->port_max == 65535;
    if (rule->protocol != 0 && rule->protocol != frame->protocol)
        return false;
    /* A fragment may be of a denied port. */
    if (!any_port && !frame->has_ports)
        return rule->verdict == POL_DENY;
    return any_port || (frame->has_ports && port >= rule->port_min && port <= rule->port_max);
}

/* By the rules of the peer's longest prefix; the port is the one that is connected to. is_answer:
 * to what went in that direction, and is judged. */
static __always_inline bool may_pass(__u32 slot, __u32 direction, bool is_answer,
                                     const struct pol_config *config, const struct frame *frame)
{
    const __u8 *peer = (direction == POL_OUT) != is_answer ? frame->target : frame->source;
    struct pol_prefix *prefix = lookup(slot * POL_TRIES_OF_SLOT + direction, frame->family, peer);
    __u16 port = bpf_ntohs(is_answer ? frame->source_port : frame->target_port);
    for (__u32 i = 0; prefix && i < POL_PREFIX_RULES_MAX && i < prefix->rules_count; i++)
        if (matches(&prefix->rules[i], frame, port))
            return prefix->rules[i].verdict == POL_ALLOW;
    return config->default_verdict[direction & 1] == POL_ALLOW;
}

static __always_inline __u32 now_ticks(void)
{
    return (__u32)(bpf_ktime_get_coarse_ns() >> POL_TICK_SHIFT);
}

static __always_inline void make_key(struct pol_flow_key *key, __u32 direction,
                                     const struct frame *frame)
{
    *key = (struct pol_flow_key){.protocol = frame->protocol, .family = frame->family};
    __builtin_memcpy(key->guest, direction == POL_OUT ? frame->source : frame->target, 16);
    __builtin_memcpy(key->peer, direction == POL_OUT ? frame->target : frame->source, 16);
    bool is_icmp = frame->protocol == IPPROTO_ICMP || frame->protocol == IPPROTO_ICMPV6;
    bool guest_asks = (direction == POL_OUT) != frame->is_answer;
    if (is_icmp)
        key->role = guest_asks ? POL_GUEST_ASKS : POL_PEER_ASKS;
    key->guest_port = direction == POL_OUT ? frame->source_port : frame->target_port;
    key->peer_port = direction == POL_OUT ? frame->target_port : frame->source_port;
}

/* NULL: none is known, or it was idle for too long. */
static __always_inline struct pol_flow *find_flow(const struct pol_flow_key *key, __u32 now)
{
    struct pol_flow *flow = bpf_map_lookup_elem(&flows, key);
    __u32 idle_max = key->protocol == IPPROTO_TCP ? POL_IDLE_TCP_TICKS : POL_IDLE_TICKS;
    /* Another CPU may have seen one a tick later than ours. */
    return flow && (__s32)(now - flow->seen_ticks) <= (__s32)idle_max ? flow : NULL;
}

/* The exchange that the frame belongs to. A connection that the guest asks for is none that a peer
 * began: who can forge that peer would open the way to it. */
static __always_inline struct pol_flow *find_known(struct __sk_buff *skb, __u32 direction,
                                                   const struct frame *frame,
                                                   const struct pol_flow_key *key, __u32 now)
{
    struct pol_flow *known = frame->is_fragment ? NULL : find_flow(key, now);
    if (known && direction == POL_OUT && known->direction == POL_IN && is_opening(skb, frame))
        return NULL;
    return known;
}

/* ------------------------------------------------------------------ what was asked for */

static __always_inline bool is_noted(const struct pol_flow_key *key, __u32 now)
{
    __u32 *seen_ticks = bpf_map_lookup_elem(&notes, key);
    return seen_ticks && (__s32)(now - *seen_ticks) <= POL_IDLE_TICKS;
}

static __always_inline void note(const struct pol_flow_key *key, __u32 now)
{
    bpf_map_update_elem(&notes, key, &now, BPF_ANY);
}

static __always_inline bool may_ask_for_address(const struct frame *frame, __u32 direction,
                                                __u32 now)
{
    struct pol_flow_key key = {.protocol = IPPROTO_UDP, .family = POL_IPV4, .role = POL_ASKED};
    if (direction == POL_IN)
        return frame->family == POL_IPV4 && is_dhcp(frame, false) && is_noted(&key, now);
    if (!is_dhcp_request(frame))
        return false;
    note(&key, now);
    return true;
}

/* Neighbours are spoken to by the link's own addresses, or when they have spoken: others are beyond
 * a router, and nobody's neighbours. */
static __always_inline bool may_be_neighbours(const struct frame *frame, __u32 direction, __u32 now)
{
    struct pol_flow_key key = {.protocol = IPPROTO_ICMPV6, .family = POL_IPV6, .role = POL_ASKED};
    if (!frame->is_neighbour)
        return false;
    __builtin_memcpy(key.peer, direction == POL_OUT ? frame->target : frame->source, 16);
    bool is_of_link = is_link_local(key.peer) || is_nowhere(key.peer) ||
                      (key.peer[0] == 0xff && key.peer[1] == 2);
    if (direction == POL_OUT)
        return is_of_link || is_noted(&key, now);
    if (!is_of_link)
        note(&key, now);
    return true;
}

/* May the guest be this end of an exchange with that peer? */
static __always_inline bool is_sound(__u32 generation, const struct pol_config *config,
                                     const struct pol_flow_key *key)
{
    const struct pol_prefix *own = lookup(sources_of(generation), key->family, key->guest);
    return (config->allow_metadata || !is_metadata(key->peer)) && own &&
           own->rules_count != POL_OF_LINK;
}

static __always_inline void remember(const struct pol_flow_key *key, __u32 generation, __u32 began,
                                     const struct pol_config *config, __u32 now)
{
    struct pol_flow flow = {.generation = generation,
                            .direction = began,
                            .is_sound = is_sound(generation, config, key),
                            .seen_ticks = now};
    bpf_map_update_elem(&flows, key, &flow, BPF_ANY);
}

/* An exchange that either side began with the policy's leave goes on both ways. known: NULL: none
 * is. */
static __always_inline int judge_flow(__u32 generation, __u32 direction,
                                      const struct pol_config *config, const struct frame *frame,
                                      const struct pol_flow_key *key, const struct pol_flow *known,
                                      __u32 now)
{
    __u32 slot = POL_SLOT(generation);
    if (known && known->generation == generation)
        return TC_ACT_OK;
    /* The policy has changed since: an answer is judged as what it answers would be. */
    bool is_answer = known && known->direction != direction;
    if (is_answer && may_pass(slot, known->direction & 1, true, config, frame)) {
        remember(key, generation, known->direction, config, now);
        return TC_ACT_OK;
    }
    /* Else it begins one of its own, or goes on with what began this way. */
    if (!may_pass(slot, direction, false, config, frame))
        return drop(direction == POL_OUT ? POL_DROP_OUT : POL_DROP_IN);
    bool is_new = !known || is_answer;
    if (is_new && !take_connection(config))
        return drop(POL_DROP_CONNECTIONS);
    remember(key, generation, direction, config, now);
    if (is_new)
        count(POL_COUNT_CONNECTIONS, 1);
    return TC_ACT_OK;
}

/* An error about a packet that the guest has sent in an exchange that the policy has allowed? Of
 * its own, not in line: rare, and the packet in it has to be taken apart as well. */
__noinline int is_asked_for(struct __sk_buff *skb, __u32 off, __u32 kind, __u32 generation)
{
    struct pol_flow_key key;
    struct frame quoted = {};
    bool is_read = kind == ETH_P_IP ? read_ipv4(skb, off, &quoted) : read_ipv6(skb, off, &quoted);
    if (!is_read || quoted.is_fragment)
        return false;
    make_key(&key, POL_OUT, &quoted);
    struct pol_flow *flow = find_flow(&key, now_ticks());
    return flow && flow->generation == generation;
}

/* Is all that is asked of a frame asked already, when its exchange began? */
static __always_inline bool goes_on(struct pol_flow *known, __u32 generation, __u32 direction,
                                    const struct frame *frame, __u32 now)
{
    if (!known || known->generation != generation ||
        (direction == POL_OUT && (!known->is_sound || frame->is_router || frame->is_claim)))
        return false;
    if (known->seen_ticks != now)
        known->seen_ticks = now;
    return true;
}

/* The same of most frames, by what is read of them already. */
static __always_inline bool usual_goes_on(struct __sk_buff *skb, __u32 generation, __u32 direction,
                                          const struct start *start)
{
    struct frame frame = {};
    struct pol_flow_key key;
    if (!read_usual(start, &frame) ||
        (direction == POL_OUT && is_summed_inside(skb, frame.read_end)))
        return false;
    __u32 now = now_ticks();
    make_key(&key, direction, &frame);
    return goes_on(find_known(skb, direction, &frame, &key, now), generation, direction, &frame,
                   now);
}

static __always_inline int judge_ip(struct __sk_buff *skb, __u32 generation, __u32 direction,
                                    const struct pol_config *config, const struct start *start)
{
    __u32 zero = 0;
    struct frame *frame = bpf_map_lookup_elem(&scratch, &zero);
    if (!frame)
        return drop(POL_DROP_KIND);
    __builtin_memset(frame, 0, sizeof(*frame));
    __u16 kind = bpf_ntohs(start->eth.h_proto);
    __u32 sources = sources_of(generation);
    bool is_read = read_usual(start, frame);
    if (!is_read)
        is_read =
            kind == ETH_P_IP ? read_ipv4(skb, ETH_HLEN, frame) : read_ipv6(skb, ETH_HLEN, frame);
    if (!is_read)
        return drop(POL_DROP_KIND);
    if (direction == POL_OUT && is_summed_inside(skb, frame->read_end))
        return drop(POL_DROP_KIND);
    struct pol_flow_key key;
    __u32 now = now_ticks();
    make_key(&key, direction, frame);
    struct pol_flow *known = find_known(skb, direction, frame, &key, now);
    if (goes_on(known, generation, direction, frame, now))
        return TC_ACT_OK;
    if (direction == POL_OUT) {
        if (!is_own(frame, config, sources))
            return drop(POL_DROP_SOURCE);
        if (frame->is_router || (frame->is_claim && !lookup(sources, POL_IPV6, frame->claimed)))
            return drop(POL_DROP_SOURCE);
        if (!config->allow_metadata && is_metadata(frame->target))
            return drop(POL_DROP_METADATA);
    }
    if (may_be_neighbours(frame, direction, now))
        return TC_ACT_OK;
    if (config->allow_dhcp && may_ask_for_address(frame, direction, now))
        return TC_ACT_OK;
    if (frame->is_fragment) /* of no exchange: neither begins nor belongs to one */
        return may_pass(POL_SLOT(generation), direction, false, config, frame)
                   ? TC_ACT_OK
                   : drop(direction == POL_OUT ? POL_DROP_OUT : POL_DROP_IN);
    if (frame->is_message && direction == POL_IN &&
        is_asked_for(skb, frame->quote_off, kind, generation))
        return TC_ACT_OK;
    return judge_flow(generation, direction, config, frame, &key, known, now);
}

static __always_inline int judge(struct __sk_buff *skb, __u32 direction)
{
    struct start start = {};
    const __u32 start_len = sizeof(start) - offsetof(struct start, eth);
    __u32 zero = 0;
    struct pol_live *state = bpf_map_lookup_elem(&live, &zero);
    if (!state || (bpf_skb_load_bytes(skb, 0, &start.eth, start_len) < 0 &&
                   bpf_skb_load_bytes(skb, 0, &start.eth, sizeof(start.eth)) < 0))
        return drop(POL_DROP_KIND);
    __u32 generation = *(volatile __u32 *)&state->generation; /* once, for all of this frame */
    const struct pol_config *config = &state->config[POL_SLOT(generation)];
    __u16 kind = bpf_ntohs(start.eth.h_proto);
    int verdict;

    if (direction == POL_OUT && !is_same_mac(start.eth.h_source, config->mac))
        return drop(POL_DROP_MAC);
    if (skb->vlan_present || (kind != ETH_P_IP && kind != ETH_P_IPV6 && kind != ETH_P_ARP))
        return drop(POL_DROP_KIND);
    if (direction == POL_OUT && segments_of(skb) > SEGMENTS_MAX)
        return drop(POL_DROP_KIND);
    /* Also for what is dropped: judging it takes the host's time. */
    if (direction == POL_OUT && !take_of_guest(config, skb))
        return drop(POL_DROP_RATE);
    if (usual_goes_on(skb, generation, direction, &start))
        verdict = TC_ACT_OK;
    else if (kind != ETH_P_ARP)
        verdict = judge_ip(skb, generation, direction, config, &start);
    else if (direction == POL_OUT)
        verdict = judge_arp(skb, config, sources_of(generation));
    else
        verdict = TC_ACT_OK;
    if (verdict != TC_ACT_OK)
        return verdict;
    count(direction == POL_OUT ? POL_COUNT_OUT_PACKETS : POL_COUNT_IN_PACKETS, 1);
    count(direction == POL_OUT ? POL_COUNT_OUT_BYTES : POL_COUNT_IN_BYTES, skb->len);
    return TC_ACT_OK;
}

SEC("tc")
int from_guest(struct __sk_buff *skb)
{
    return judge(skb, POL_OUT);
}

SEC("tc")
int to_guest(struct __sk_buff *skb)
{
    return judge(skb, POL_IN);
}

char LICENSE[] SEC("license") = "GPL";
