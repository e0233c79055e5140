/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Between the policy's program in the kernel and who loads it: what the maps hold. All addresses
 * are of 16 bytes; an IPv4 address is ::ffff:a.b.c.d. Included by a BPF program: no other header of
 * ours.
 */
#pragma once

#include <linux/types.h>

/* Rules of one prefix, first match; none: the direction's default. */
#define POL_PREFIX_RULES_MAX 8
#define POL_PREFIXES_MAX 4096
#define POL_SOURCES_MAX 64
#define POL_FLOWS_MAX 8192
#define POL_NOTES_MAX 512

enum pol_verdict { POL_DENY, POL_ALLOW };
enum pol_direction { POL_OUT, POL_IN, POL_DIRECTIONS }; /* as the guest sees it */

struct pol_rule {
    __u8 verdict;
    __u8 protocol; /* IPPROTO_..., 0: any, also what has no ports */
    __u16 port_min;
    __u16 port_max; /* 0 and 65535: any port, and what has none */
};

struct pol_prefix {
    __u32 rules_count; /* of a source: 0, or POL_OF_LINK */
    struct pol_rule rules[POL_PREFIX_RULES_MAX];
};

/* Key of the tries. The family comes first, or ::/0 would have IPv4 in it. */
enum pol_family { POL_IPV4 = 4, POL_IPV6 = 6 };
#define POL_FAMILY_BITS 8
struct pol_key {
    __u32 prefix_len; /* bits of family and address: 104 and more of IPv4 */
    __u8 family;
    __u8 address[16];
    __u8 pad[3];
};

struct pol_config {
    __u8 mac[6];
    __u8 default_verdict[POL_DIRECTIONS];
    __u8 allow_metadata; /* 169.254.169.254, fd00:ec2::254 */
    __u8 allow_dhcp;     /* a client's requests without an address, and answers to them */
    __u8 pad[6];
    __u64 packets_per_s; /* of the guest; 0: any */
    __u64 bytes_per_s;
    __u64 connections_per_s; /* new ones, either way */
};

/* The tries of a slot, by slot * POL_TRIES_OF_SLOT: rules by direction, and the guest's
 * addresses. */
enum { POL_TRIE_SOURCES = POL_DIRECTIONS, POL_TRIES_OF_SLOT };

/* A source of neighbour discovery and reports of groups alone: the MAC's link-local address. */
#define POL_OF_LINK 1

/* What is in force. A policy is filled in beside the one before it, then one word is changed. */
struct pol_live {
    __u32 generation;            /* of the policy: flows of an earlier one are judged anew */
    __u32 ifindex;               /* of the TAP, in its namespace */
    struct pol_config config[2]; /* by slot, as the tries are */
};
#define POL_SLOT(generation) ((generation)&1)

/* One exchange between the guest and a peer. ICMP has no ports: an echo has its number as both, all
 * else its type; and it has who asks, so that an answer is of the exchange and the peer's own
 * question is not. POL_ASKED is no exchange, but a note that the guest has asked for an address (no
 * ends), or that this peer is a neighbour which speaks (no guest). */
enum pol_role { POL_ANY_ROLE, POL_GUEST_ASKS, POL_PEER_ASKS, POL_ASKED };
struct pol_flow_key {
    __u8 guest[16];
    __u8 peer[16];
    __u16 guest_port; /* network order; 0: none */
    __u16 peer_port;
    __u8 protocol;
    __u8 family;
    __u8 role; /* enum pol_role */
    __u8 pad;
};
struct pol_flow {
    __u32 generation;
    __u8 direction; /* who began */
    __u8 is_sound;  /* its guest's end is the guest's, its peer none that is closed */
    __u8 pad[2];
    __u32 seen_ticks; /* when a frame of it passed, on the monotonic clock; wraps */
};
/* One that was idle for longer is none: 5 days and 180 s, as Linux's connection tracking has it.
 * A tick is 2^30 ns: a shift is cheaper than a division. */
#define POL_TICK_SHIFT 30
#define POL_IDLE_TCP_TICKS 402331
#define POL_IDLE_TICKS 168

/* Counters, each a __u64; the monitor sees them read-only. X(its place, its name for people and
 * Prometheus). */
#define POL_COUNTER_LIST(X)                                                                        \
    X(POL_COUNT_OUT_PACKETS, "out_packets") /* that passed */                                      \
    X(POL_COUNT_OUT_BYTES, "out_bytes")                                                            \
    X(POL_COUNT_IN_PACKETS, "in_packets")                                                          \
    X(POL_COUNT_IN_BYTES, "in_bytes")                                                              \
    X(POL_COUNT_CONNECTIONS, "connections")                                                        \
    X(POL_DROP_MAC, "dropped_mac") /* and the reasons of what did not */                           \
    X(POL_DROP_SOURCE, "dropped_source")                                                           \
    X(POL_DROP_ARP, "dropped_arp")                                                                 \
    X(POL_DROP_KIND, "dropped_kind") /* neither IP nor ARP, a VLAN, a cut or malformed head */     \
    X(POL_DROP_METADATA, "dropped_metadata")                                                       \
    X(POL_DROP_OUT, "dropped_egress")                                                              \
    X(POL_DROP_IN, "dropped_ingress")                                                              \
    X(POL_DROP_RATE, "dropped_rate")                                                               \
    X(POL_DROP_CONNECTIONS, "dropped_connections")
#define POL_COUNTER_PLACE(place, name) place,
enum pol_counter { POL_COUNTER_LIST(POL_COUNTER_PLACE) POL_COUNTERS };
#define POL_COUNTERS_SIZE 4096 /* bytes of the map that is shown */

/* Tokens of the limits, in nanoseconds: what one packet, byte or connection takes is charged. */
struct pol_bucket_view {
    __u64 packets_ns;
    __u64 bytes_ns;
    __u64 connections_ns;
};
