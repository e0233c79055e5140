/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A frame's bytes into what is judged: ends, protocol, ports, and what ICMP says. Reads, and judges
 * nothing but form. Included by the BPF program alone.
 */
#pragma once

#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/in6.h>
#include <stdbool.h>
#include <stddef.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "jailer/policy/wire.h"

#define EXTENSIONS_MAX 6
#define IPV4_OPTIONS_MAX 40 /* bytes, and so options */
#define PORTS_SIZE 4u
#define TCP_FLAGS_OFF 13u
#define TCP_SYN 0x02
#define TCP_ACK 0x10
#define FRAGMENT_MASK 0x3fff /* more to come, or not the first */

struct ipv4 {
    __u8 version_len, tos;
    __be16 len, id, fragment;
    __u8 ttl, protocol;
    __be16 sum;
    __be32 source, target;
};

/* A frame's first bytes, read at once: each reading is a call. */
struct start {
    __u8 pad[2];
    struct ethhdr eth;
    struct ipv4 ip;
    __be16 ports[2];
};

/* One frame, taken apart. */
struct frame {
    __u8 source[16];
    __u8 target[16];
    __u16 source_port; /* network order */
    __u16 target_port;
    __u8 protocol;
    __u8 family;
    bool has_ports;    /* a whole datagram of TCP or UDP */
    bool is_fragment;  /* its ports are not seen, or are not the whole truth */
    bool is_answer;    /* to an echo */
    bool is_message;   /* an ICMP error: about an exchange, part of none */
    __u32 ports_off;   /* where TCP's or UDP's head begins */
    __u32 read_end;    /* behind the last byte that is looked at */
    __u32 quote_off;   /* where the packet begins that it is about */
    bool is_neighbour; /* IPv6's ARP, and who listens to which group of the link */
    bool is_claim;     /* to the address `claimed` */
    bool is_router;    /* what only routers say: advertisements, redirects, queries of groups */
    __u8 claimed[16];
};

static __always_inline void from_ipv4(__u8 to[16], __be32 address)
{
    __builtin_memset(to, 0, 10);
    to[10] = to[11] = 0xff;
    __builtin_memcpy(to + 12, &address, 4);
}

static __always_inline bool is_nowhere(const __u8 address[16])
{
    __u64 halves[2];
    __builtin_memcpy(halves, address, 16);
    return (halves[0] | halves[1]) == 0;
}

static __always_inline bool is_same(const __u8 a[16], const __u8 b[16])
{
    __u64 one[2], other[2];
    __builtin_memcpy(one, a, 16);
    __builtin_memcpy(other, b, 16);
    return one[0] == other[0] && one[1] == other[1];
}

static __always_inline bool is_link_local(const __u8 address[16])
{
    return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static __always_inline bool is_dhcp(const struct frame *frame, bool from_guest)
{
    __be16 client = bpf_htons(68), server = bpf_htons(67);
    return frame->protocol == IPPROTO_UDP && frame->has_ports &&
           frame->source_port == (from_guest ? client : server) &&
           frame->target_port == (from_guest ? server : client);
}

/* From who has no address yet to whoever has some. */
static __always_inline bool is_dhcp_request(const struct frame *frame)
{
    __u8 nowhere4[16], everybody4[16];
    from_ipv4(nowhere4, 0);
    from_ipv4(everybody4, 0xffffffff);
    return frame->family == POL_IPV4 && is_dhcp(frame, true) && is_same(frame->source, nowhere4) &&
           is_same(frame->target, everybody4);
}

static __always_inline bool is_metadata(const __u8 address[16])
{
    __u8 service4[16];
    static const __u8 service6[16] = {0xfd, 0, 0x0e, 0xc2, [14] = 0x02, [15] = 0x54};
    from_ipv4(service4, bpf_htonl(0xa9fea9fe));
    return is_same(address, service4) || is_same(address, service6);
}

/* off: where the head of TCP or UDP begins, which these are the first bytes of. */
static __always_inline void take_ports(__u32 off, const __u16 ports[2], struct frame *frame)
{
    frame->source_port = ports[0];
    frame->target_port = ports[1];
    frame->has_ports = true;
    frame->ports_off = off;
    frame->read_end = off + (frame->protocol == IPPROTO_TCP ? TCP_FLAGS_OFF + 1 : PORTS_SIZE);
}

/* Does it ask for a connection of TCP? What is too short to say may. */
static __always_inline bool is_opening(struct __sk_buff *skb, const struct frame *frame)
{
    __u8 flags;
    if (frame->protocol != IPPROTO_TCP)
        return false;
    return bpf_skb_load_bytes(skb, frame->ports_off + TCP_FLAGS_OFF, &flags, sizeof(flags)) < 0 ||
           (flags & (TCP_SYN | TCP_ACK)) == TCP_SYN;
}

/* off: of the head. What exchanges of ICMP are told apart by (wire.h). */
static __always_inline bool read_number(struct __sk_buff *skb, __u32 off, __u8 type, bool is_echo,
                                        struct frame *frame)
{
    __u16 number = type;
    if (is_echo && bpf_skb_load_bytes(skb, off + 4, &number, sizeof(number)) < 0)
        return false;
    frame->source_port = frame->target_port = number;
    return true;
}

static __always_inline bool read_ports(struct __sk_buff *skb, __u32 off, struct frame *frame)
{
    __u16 ports[2];
    if (frame->protocol != IPPROTO_TCP && frame->protocol != IPPROTO_UDP)
        return true;
    if (bpf_skb_load_bytes(skb, off, ports, sizeof(ports)) < 0)
        return false;
    take_ports(off, ports, frame);
    return true;
}

/* Does the sender choose the way? Then the target is not where the packet ends. Not static: proved
 * once, for whatever it is called with. */
__noinline int has_source_route(struct __sk_buff *skb, __u32 off, __u32 head_len)
{
    __u32 at = 20;
    for (int i = 0; i < IPV4_OPTIONS_MAX && at < head_len; i++) {
        __u8 option[2] = {0};
        if (bpf_skb_load_bytes(skb, off + at, option, 1) < 0 || option[0] == 131 ||
            option[0] == 137)
            return true;
        if (option[0] == 0)
            return false;
        if (option[0] != 1 &&
            (bpf_skb_load_bytes(skb, off + at + 1, &option[1], 1) < 0 || option[1] < 2))
            return true; /* malformed */
        at += option[0] == 1 ? 1 : option[1];
    }
    return false;
}

static __always_inline bool read_icmp4(struct __sk_buff *skb, __u32 off, struct frame *frame)
{
    __u8 type;
    if (bpf_skb_load_bytes(skb, off, &type, 1) < 0)
        return false;
    frame->is_message = type == 3 || type == 11 || type == 12;
    frame->quote_off = frame->read_end = off + 8;
    frame->is_answer = type == 0;
    frame->is_router = type == 5 || type == 9;
    return read_number(skb, off, type, type == 0 || type == 8, frame);
}

/* off: of the head. Queries and advertisements are a router's. */
static __always_inline bool read_igmp(struct __sk_buff *skb, __u32 off, struct frame *frame)
{
    __u8 type;
    if (bpf_skb_load_bytes(skb, off, &type, 1) < 0)
        return false;
    frame->read_end = off + 1;
    frame->is_router = type == 0x11 || type == 0x30 || type == 0x32;
    return true;
}

static __always_inline void take_addresses(const struct ipv4 *ip, struct frame *frame)
{
    frame->family = POL_IPV4;
    from_ipv4(frame->source, ip->source);
    from_ipv4(frame->target, ip->target);
    frame->protocol = ip->protocol;
}

/* Most frames: what has no options, is no fragment, and has ports. Those are read already. */
static __always_inline bool read_usual(const struct start *start, struct frame *frame)
{
    const struct ipv4 *ip = &start->ip;
    if (start->eth.h_proto != bpf_htons(ETH_P_IP) || ip->version_len != 0x45 ||
        (ip->fragment & bpf_htons(FRAGMENT_MASK)) ||
        (ip->protocol != IPPROTO_TCP && ip->protocol != IPPROTO_UDP))
        return false;
    take_addresses(ip, frame);
    take_ports(offsetof(struct start, ports) - offsetof(struct start, eth), start->ports, frame);
    return true;
}

/* off: where the packet begins. */
static __always_inline bool read_ipv4(struct __sk_buff *skb, __u32 off, struct frame *frame)
{
    struct ipv4 ip;
    if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) < 0)
        return false;
    __u32 len = (ip.version_len & 0xf) * 4;
    if (ip.version_len >> 4 != 4 || len < sizeof(ip) || has_source_route(skb, off, len))
        return false;
    take_addresses(&ip, frame);
    frame->read_end = off + len;
    frame->is_fragment = (ip.fragment & bpf_htons(FRAGMENT_MASK)) != 0;
    if (frame->is_fragment)
        return true;
    if (ip.protocol == IPPROTO_IGMP)
        return read_igmp(skb, off + len, frame);
    return ip.protocol == IPPROTO_ICMP ? read_icmp4(skb, off + len, frame)
                                       : read_ports(skb, off + len, frame);
}

/* In front of what a packet of IPv6 carries. */
static __always_inline bool is_extension(__u8 protocol)
{
    return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_DSTOPTS ||
           protocol == IPPROTO_ROUTING;
}

static __always_inline bool read_icmp6(struct __sk_buff *skb, __u32 off, __u8 hops,
                                       struct frame *frame)
{
    __u8 type;
    if (bpf_skb_load_bytes(skb, off, &type, 1) < 0)
        return false;
    frame->is_message = type >= 1 && type <= 4;
    frame->quote_off = off + 8;
    frame->read_end = off + 24; /* with the address that is claimed */
    if (type >= 133 && type <= 137 && hops != 255)
        return false; /* it came from beyond the link: nobody takes that */
    bool is_group = ((type >= 130 && type <= 132) || type == 143) && hops == 1 &&
                    frame->target[0] == 0xff && frame->target[1] == 2;
    frame->is_neighbour = (type >= 133 && type <= 137) || is_group;
    frame->is_router = type == 130 || type == 134 || type == 137 || type == 151 || type == 153;
    /* An advertisement; a question whether somebody else has it, which keeps others from it. */
    frame->is_claim = type == 136 || (type == 135 && is_nowhere(frame->source));
    frame->is_answer = type == 129;
    if (!read_number(skb, off, type, type == 128 || type == 129, frame))
        return false;
    return !frame->is_claim || bpf_skb_load_bytes(skb, off + 8, frame->claimed, 16) == 0;
}

/* off: where the packet begins. */
static __always_inline bool read_ipv6(struct __sk_buff *skb, __u32 off, struct frame *frame)
{
    struct {
        __be32 version;
        __be16 len;
        __u8 next, hops;
        __u8 source[16], target[16];
    } ip;
    if (bpf_skb_load_bytes(skb, off, &ip, sizeof(ip)) < 0 ||
        (ip.version & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
        return false;
    frame->family = POL_IPV6;
    __builtin_memcpy(frame->source, ip.source, 16);
    __builtin_memcpy(frame->target, ip.target, 16);
    off += sizeof(ip);
    frame->protocol = ip.next;
    for (int i = 0; i <= EXTENSIONS_MAX; i++) {
        __u8 head[2];
        frame->read_end = off;
        if (frame->protocol == IPPROTO_ICMPV6)
            return read_icmp6(skb, off, ip.hops, frame);
        frame->is_fragment = frame->protocol == IPPROTO_FRAGMENT;
        if (!frame->is_fragment && !is_extension(frame->protocol))
            return read_ports(skb, off, frame);
        if (frame->protocol == IPPROTO_ROUTING ||
            bpf_skb_load_bytes(skb, off, head, sizeof(head)) < 0)
            return false;
        frame->protocol = head[0];
        frame->read_end = off + 8;
        if (frame->is_fragment) /* as of IPv4; nobody honest has more in front of what it carries */
            return !is_extension(frame->protocol) && frame->protocol != IPPROTO_FRAGMENT;
        off += (head[1] + 1) * 8;
    }
    return false; /* nobody honest needs so many */
}
