/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames to the guest (virtio 1.2, 5.1.6.3; devices.md 4): the TAP writes straight into the buffers
 * that were popped ahead; only the header goes through our hands, and what a filter answers. Every
 * popped head leaves by one exit: the used ring, back into the avail ring, or the driver's reset.
 * Under the device's lock, on the vmm thread.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/log.h"
#include "base/metrics.h"
#include "devices/net/net_int.h"

/* A frame without segmentation, with its header: what a buffer has to hold at least (devices.md
 * 4). */
#define SMALL_FRAME_SIZE 1526u
static_assert(TAP_HEADER_SIZE + FRAME_FILTER_PULL_MAX_SIZE <= SMALL_FRAME_SIZE,
              "what is enough for the filter");

#define HAS(net, bit) virtio_has(&(net)->dev, bit)

/* virtio_net_hdr_v1; what the TAP fills of it is passed on as it is. */
struct wire_header {
    uint8_t from_tap[10];
    le16_t num_buffers;
};
static_assert(sizeof(struct wire_header) == TAP_HEADER_SIZE, "virtio 1.2, 5.1.6");

static struct vq *rx_queue(struct net *net)
{
    return &net->dev.queues[NET_RX];
}

static bool takes_segments(struct net *net)
{
    return HAS(net, VIRTIO_NET_F_GUEST_TSO4) || HAS(net, VIRTIO_NET_F_GUEST_TSO6) ||
           HAS(net, VIRTIO_NET_F_GUEST_UFO) || HAS(net, NET_F_GUEST_USO4) ||
           HAS(net, NET_F_GUEST_USO6);
}

/* Bytes of buffer that there have to be before the TAP is read: of all, or of one. The filter's
 * frames are small. */
static uint32_t needed_len(struct net *net)
{
    if (HAS(net, VIRTIO_NET_F_MRG_RXBUF) || takes_segments(net))
        return TAP_FRAME_MAX_SIZE;
    return SMALL_FRAME_SIZE;
}

static struct net_rx_chain *chain_at(struct net_rx *rx, uint32_t idx)
{
    return &rx->chains[(rx->first + idx) % VQ_SIZE_MAX];
}

/* Moves the entries to the front of their array, behind the header's. */
static void iovs_compact(struct net_rx *rx)
{
    memmove(&rx->iovs[1], &rx->iovs[rx->iov_first], rx->iov_count * sizeof(rx->iovs[0]));
    rx->iov_first = 1;
}

/* Keeps the popped chain as a buffer. Returns 1, 0 when there is no room for its pieces, or
 * -EINVAL when no frame can be put into it. */
static int keep(struct net *net)
{
    const struct vq_chain *chain = &net->chain;
    struct net_rx *rx = &net->rx;
    uint32_t alone = HAS(net, VIRTIO_NET_F_MRG_RXBUF) ? TAP_HEADER_SIZE : needed_len(net);

    /* The header lies in the first piece: every driver does so, and we need its address. */
    if (chain->readable_count > 0 || chain->bufs_count == 0 || chain->writable_len < alone ||
        chain->writable_len > UINT32_MAX || chain->bufs[0].len < TAP_HEADER_SIZE)
        return -EINVAL;
    if (rx->iov_count + chain->bufs_count > NET_RX_IOVS_MAX)
        return 0;
    if (rx->iov_first == 0 ||
        rx->iov_first + rx->iov_count + chain->bufs_count > 1 + NET_RX_IOVS_MAX)
        iovs_compact(rx);
    int count = vq_chain_iov(net->dev.gmem, chain, true, 0, chain->writable_len,
                             &rx->iovs[rx->iov_first + rx->iov_count], chain->bufs_count);
    if (count <= 0)
        return -EINVAL;
    *chain_at(rx, rx->count) = (struct net_rx_chain){.addr = chain->bufs[0].addr,
                                                     .len = (uint32_t)chain->writable_len,
                                                     .iov_count = (uint16_t)count,
                                                     .head = chain->head};
    rx->count++;
    rx->iov_count += (uint32_t)count;
    rx->len += chain->writable_len;
    return 1;
}

/* Takes the first chain out of those at hand. */
static struct net_rx_chain drop_first(struct net_rx *rx)
{
    struct net_rx_chain chain = *chain_at(rx, 0);
    rx->first = (rx->first + 1) % VQ_SIZE_MAX;
    rx->count--;
    rx->iov_first += chain.iov_count;
    rx->iov_count -= chain.iov_count;
    rx->len -= chain.len;
    return chain;
}

/* Pops until the largest frame has room. Returns 1, 0 when the driver has no more buffers now or
 * the budget is spent, or negative with the device broken. *budget: what is returned empty costs
 * a turn as well. */
static int refill(struct net *net, uint32_t *budget)
{
    struct net_rx *rx = &net->rx;
    while (rx->len < needed_len(net)) {
        if (rx->count == VQ_SIZE_MAX || *budget == 0)
            return 0;
        int rc = vq_pop(rx_queue(net), &net->chain);
        if (rc == 0)
            return 0;
        if (rc < 0) {
            metric_inc(&net->metrics->event_fails);
            virtio_mark_broken(&net->dev, "net receive queue: bad index, descriptor or chain", rc);
            return rc;
        }
        rc = keep(net);
        if (rc == 0) { /* all pieces that one read takes do not hold a frame */
            virtio_mark_broken(&net->dev, "net receive queue: buffers cut into too many pieces",
                               -E2BIG);
            return -E2BIG;
        }
        if (rc < 0) {
            --*budget;
            metric_inc(&net->metrics->rx_fails);
            vq_push_used(rx_queue(net), net->chain.head, 0);
        }
    }
    return 1;
}

/* How many of the chains at hand `len` bytes fill. */
static uint16_t chains_filled(struct net_rx *rx, uint64_t len)
{
    uint16_t count = 0;
    for (uint64_t held = 0; held < len; count++)
        held += chain_at(rx, count)->len;
    return count;
}

/* The interface was taken away: said once; frames from the guest are dropped from now on. */
static void tap_is_gone(struct net *net)
{
    net->gone = true;
    loop_remove(net->env.loop, &net->src);
    log_error("The interface %s is gone: nothing is received any more.", net->tap.name);
}

/* Reads the next frame into the buffers at hand, its header too. Returns 1 with held_len set, or
 * 0 when there is none. */
static int read_frame(struct net *net)
{
    struct net_rx *rx = &net->rx;
    struct wire_header header = {0};
    struct iovec *iov = &rx->iovs[rx->iov_first];

    /* The header comes to us, and the payload behind its place. */
    iov[-1] = (struct iovec){&header, sizeof(header)};
    iov[0].iov_base = (char *)iov[0].iov_base + sizeof(header);
    iov[0].iov_len -= sizeof(header);
    ssize_t len = tap_read(&net->tap, &iov[-1], 1 + rx->iov_count);
    iov[0].iov_base = (char *)iov[0].iov_base - sizeof(header);
    iov[0].iov_len += sizeof(header);

    if (len == -EAGAIN)
        return 0;
    if (len == -EFAULT)
        gmem_iov_touch(iov, rx->iov_count);
    if (len < (ssize_t)sizeof(header)) {
        metric_inc(&net->metrics->tap_read_fails);
        metric_inc(&net->metrics->rx_fails);
        if (len == -EBADFD || len == -ENODEV)
            tap_is_gone(net);
        else
            log_guest_error("reading a frame from %s failed: %s", net->tap.name,
                            ERR_OS(len < 0 ? (int)len : -EIO));
        return 0;
    }
    header.num_buffers = le16_put(chains_filled(rx, (uint64_t)len));
    /* The address was checked when its iovec was made. */
    if (gmem_write(net->dev.gmem, chain_at(rx, 0)->addr, &header, sizeof(header)) < 0)
        return 0;
    rx->held_len = (uint32_t)len;
    return 1;
}

/* The filter's next frame into the buffers at hand, behind a header of zeros. Returns 1 with
 * held_len set, or 0 when there is none, or no room. */
static int pull_frame(struct net *net)
{
    struct net_rx *rx = &net->rx;
    UNINITIALIZED uint8_t frame[FRAME_FILTER_PULL_MAX_SIZE];
    struct wire_header header = {0};

    if (!net->filter || rx->len < SMALL_FRAME_SIZE)
        return 0;
    size_t len = net->filter->ops->pull(net->filter, frame);
    if (len == 0)
        return 0;
    assert(len <= sizeof(frame));
    const struct iovec *iov = &rx->iovs[rx->iov_first];
    header.num_buffers = le16_put(chains_filled(rx, sizeof(header) + len));
    /* There is room: it was looked at. */
    if (gmem_iov_write(iov, rx->iov_count, 0, &header, sizeof(header)) < 0 ||
        gmem_iov_write(iov, rx->iov_count, sizeof(header), frame, len) < 0)
        return 0;
    rx->held_len = (uint32_t)(sizeof(header) + len);
    return 1;
}

/* Pushes the frame that is held. */
static void deliver(struct net *net)
{
    struct net_rx *rx = &net->rx;
    metric_inc(&net->metrics->rx_count);
    metric_inc(&net->metrics->rx_packets_count);
    metric_add(&net->metrics->rx_bytes_count, rx->held_len);
    while (rx->held_len > 0) {
        struct net_rx_chain chain = drop_first(rx);
        uint32_t len = rx->held_len < chain.len ? rx->held_len : chain.len;
        vq_push_used(rx_queue(net), chain.head, len);
        rx->held_len -= len;
    }
}

/* Takes what the held frame costs. False: denied and nothing taken. */
static bool limiter_take(struct net *net)
{
    return rl_take_both(&net->rx_rl, net->rx.held_len, NULL);
}

enum pass_end {
    PASS_EMPTY,   /* neither filter nor TAP has a frame */
    PASS_STARVED, /* the driver has no buffers */
    PASS_DENIED,  /* the limiter */
    PASS_BUDGET,
    PASS_BROKEN,
};

/* Holds the next frame: the filter's come first, and need less room. Returns true, or false with
 * *ret_end. */
static bool hold_next(struct net *net, uint32_t *budget, enum pass_end *ret_end)
{
    int rc = refill(net, budget);
    if (rc < 0) {
        *ret_end = PASS_BROKEN;
        return false;
    }
    if (*budget == 0) { /* spent on buffers that take no frame */
        *ret_end = PASS_BUDGET;
        return false;
    }
    if (pull_frame(net) == 1)
        return true;
    if (rc == 0) {
        *ret_end = PASS_STARVED;
        return false;
    }
    *ret_end = PASS_EMPTY;
    return !net->gone && read_frame(net) == 1;
}

static enum pass_end pass(struct net *net, uint32_t *budget)
{
    enum pass_end end;

    if (net->gone && !net->filter)
        return PASS_EMPTY;
    while (*budget > 0) {
        if (net->rx.held_len == 0 && !hold_next(net, budget, &end))
            return end;
        if (!limiter_take(net)) {
            metric_inc(&net->metrics->rx_rate_limiter_throttled);
            return PASS_DENIED;
        }
        deliver(net);
        --*budget;
    }
    return PASS_BUDGET;
}

/* Has the filter asked again: when it has a frame of its own accord, or at once when the budget
 * may have left some. Without buffers the driver's notification does it. */
static void await_filter(struct net *net, enum pass_end end)
{
    if (!net->filter)
        return;
    uint64_t due_ns = net->filter->ops->due_ns(net->filter);
    uint64_t now_ns = clock_now_ns(net->env.clock);
    if (end == PASS_BUDGET)
        virtio_kick_self(&net->dev, NET_RX);
    /* What is too little for the TAP's largest frame may do for the filter's. */
    bool takes = end == PASS_EMPTY || (end == PASS_STARVED && net->rx.len >= SMALL_FRAME_SIZE);
    if (takes && due_ns > 0)
        loop_timer_arm(net->env.loop, &net->filter_timer, due_ns > now_ns ? due_ns - now_ns : 0);
    else
        loop_timer_disarm(net->env.loop, &net->filter_timer);
}

void net_rx_serve(struct net *net)
{
    uint32_t budget = NET_PASS_BUDGET;
    enum pass_end end;

    net->filter_took = false;
    vq_notify_off(rx_queue(net));
    do {
        end = pass(net, &budget);
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (end == PASS_STARVED && vq_notify_on(rx_queue(net)) && --budget > 0);
    if (end == PASS_BROKEN)
        return;
    if (end == PASS_STARVED)
        metric_inc(&net->metrics->no_rx_avail_buffer);
    virtio_queue_flush(&net->dev, NET_RX);
    await_filter(net, end);
    if (end == PASS_STARVED && budget == 0)
        virtio_kick_self(&net->dev, NET_RX);
    if (net->gone)
        return;
    bool watched = end == PASS_EMPTY || end == PASS_BUDGET;
    IGNORE_RESULT(
        loop_modify(net->env.loop, &net->src, watched ? EPOLLIN : 0)); /* added: cannot fail */
}

void net_rx_return(struct net *net)
{
    struct net_rx *rx = &net->rx;
    if (rx->held_len > 0)
        deliver(net);
    for (; rx->count > 0; rx->count--)
        vq_unpop(rx_queue(net), chain_at(rx, rx->count - 1)->head);
    net_rx_forget(net);
    if (!net->dev.broken)
        virtio_queue_flush(&net->dev, NET_RX);
}

void net_rx_forget(struct net *net)
{
    struct net_rx *rx = &net->rx;
    rx->first = rx->count = 0;
    rx->iov_first = rx->iov_count = 0;
    rx->len = 0;
    rx->held_len = 0;
}
