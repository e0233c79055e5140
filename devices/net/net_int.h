/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/net: the NIC. net.c its life, net_rx.c frames to the guest, net_tx.c frames from
 * it. All of it under the virtio device's lock, on the vmm thread, but for activate and reset,
 * which come from a vCPU's.
 */
#pragma once

#include "devices/backend/rl.h"
#include "devices/net/net.h"

/* virtio 1.3, 5.1.3; Debian 12's headers are older. */
#define NET_F_GUEST_USO4 54u
#define NET_F_GUEST_USO6 55u
#define NET_F_HOST_USO 56u

#define NET_RX 0u
#define NET_TX 1u

/* Frames of one pass before other devices get their turn. */
#define NET_PASS_BUDGET 64u

/* What is copied of a frame from the guest before anything is decided by it: the virtio header, and
 * Ethernet, ARP, IP and TCP headers. */
#define NET_PEEK_MAX_SIZE (TAP_HEADER_SIZE + 128u)

/* Pieces of guest memory that the RX buffers at hand have, all together; far below what one readv
 * takes. */
#define NET_RX_IOVS_MAX 512u

/* One RX buffer: a chain that was popped and not pushed. */
struct net_rx_chain {
    gpa_t addr;         /* of its first piece, where the header goes */
    uint32_t len;       /* bytes */
    uint16_t iov_count; /* pieces */
    uint16_t head;
};

/* RX buffers, popped ahead, since a frame may need several: as many as the largest frame needs. */
struct net_rx {
    struct net_rx_chain chains[VQ_SIZE_MAX]; /* first .. first + count, round and round */
    uint32_t first;
    uint32_t count;
    /* Of all chains in order, from iov_first on; the entry before them is the header's. */
    struct iovec iovs[1 + NET_RX_IOVS_MAX];
    uint32_t iov_first;
    uint32_t iov_count;
    uint64_t len;      /* bytes of all chains */
    uint32_t held_len; /* a frame that the limiter denied, in the first chains: bytes; 0: none */
};

struct net {
    struct virtio_dev dev;
    struct tap tap;
    struct net_env env;
    struct loop_src src; /* the TAP; watched while a frame could be taken */
    bool gone;           /* the interface was removed: said once, never looked at again */
    bool has_mac;
    uint8_t mac[6];
    struct metrics_net *metrics;
    struct rl rx_rl;
    struct rl tx_rl;
    struct vq_chain chain; /* the one being looked at */
    struct net_rx rx;
    struct frame_filter *filter;    /* borrowed; NULL: none */
    struct loop_timer filter_timer; /* when to ask it for a frame of its own accord */
    bool filter_took;               /* a frame since the last receive pass */
};

static inline struct net *net_of(struct virtio_dev *dev)
{
    return CONTAINER_OF(dev, struct net, dev);
}

/* net_rx.c: takes frames from the filter and from the TAP for as long as there are buffers and the
 * budget lasts. */
void net_rx_serve(struct net *net);
/* Delivers a frame that is held, and gives the buffers at hand back to the driver's ring. */
void net_rx_return(struct net *net);
/* Forgets the buffers at hand: the driver has taken its memory back. */
void net_rx_forget(struct net *net);

/* net_tx.c: sends what the queue holds, for as long as the budget lasts. What the filter took of it
 * is answered by a receive pass. */
void net_tx_serve(struct net *net);
