/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Frames from the guest (virtio 1.2, 5.1.6.2; devices.md 4): headers are copied once, looked at and
 * sent from the copy, so that the guest cannot change them in between; payload goes from its memory
 * to the TAP. A frame that the filter wants is copied and goes nowhere else. Under the device's
 * lock, on the vmm thread.
 */
#include <errno.h>
#include <linux/if_ether.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "devices/net/net_int.h"

/* Frames of a pass that one costs beside itself which the filter takes: it may have a whole
 * document to answer with. */
#define FILTERED_COST 7u

static struct vq *tx_queue(struct net *net)
{
    return &net->dev.queues[NET_TX];
}

/* A frame ready to be sent. */
struct frame {
    uint8_t peek[NET_PEEK_MAX_SIZE]; /* its first bytes, header included */
    uint32_t peek_len;
    uint32_t iov_count;
    struct iovec iov[1 + VQ_SIZE_MAX];
};

/* Copies what is looked at and maps the rest. Returns 0, or -EINVAL when the chain is no frame. */
static int frame_make(struct net *net, struct frame *ret_frame)
{
    const struct vq_chain *chain = &net->chain;
    uint64_t len = chain->readable_len;

    if (chain->bufs_count != chain->readable_count || len < TAP_HEADER_SIZE + ETH_HLEN ||
        len > TAP_FRAME_MAX_SIZE)
        return -EINVAL;
    ret_frame->peek_len = len < NET_PEEK_MAX_SIZE ? (uint32_t)len : NET_PEEK_MAX_SIZE;
    if (vq_chain_read(net->dev.gmem, chain, 0, ret_frame->peek, ret_frame->peek_len) < 0)
        return -EINVAL;
    int count = vq_chain_iov(net->dev.gmem, chain, false, ret_frame->peek_len,
                             len - ret_frame->peek_len, &ret_frame->iov[1], VQ_SIZE_MAX);
    if (count < 0)
        return -EINVAL;
    ret_frame->iov[0] = (struct iovec){ret_frame->peek, ret_frame->peek_len};
    ret_frame->iov_count = 1 + (uint32_t)count;
    return 0;
}

static void count_source(struct net *net, const struct frame *frame)
{
    const uint8_t *source = frame->peek + TAP_HEADER_SIZE + ETH_ALEN;
    if (net->has_mac && memcmp(source, net->mac, ETH_ALEN) != 0)
        metric_inc(&net->metrics->tx_spoofed_mac_count);
}

static void frame_send(struct net *net, const struct frame *frame)
{
    uint64_t start_ns = clock_now_ns(net->env.clock);
    ssize_t len = tap_write(&net->tap, frame->iov, frame->iov_count);
    if (len == -EFAULT)
        gmem_iov_touch(frame->iov, frame->iov_count);
    if (len < 0) {
        metric_inc(&net->metrics->tap_write_fails);
        metric_inc(&net->metrics->tx_fails);
        if (!net->gone) /* else it was said */
            log_guest_error("writing a frame to %s failed: %s", net->tap.name, ERR_OS((int)len));
        return;
    }
    metric_inc(&net->metrics->tx_count);
    metric_inc(&net->metrics->tx_packets_count);
    metric_add(&net->metrics->tx_bytes_count, (uint64_t)len);
    metric_agg_record(&net->metrics->tap_write_agg,
                      (clock_now_ns(net->env.clock) - start_ns) / NS_PER_US);
}

/* Is it the filter's? Decided by the copy, of which the same bytes are taken or sent. */
static bool is_filtered(const struct net *net, const struct frame *frame)
{
    const struct frame_filter *filter = net->filter;
    return filter && filter->ops->wants(filter, frame->peek + TAP_HEADER_SIZE,
                                        frame->peek_len - TAP_HEADER_SIZE);
}

/* Gives it to the filter: the copy that it was asked about, and now a copy of what follows. Out of
 * line for its large frame. */
static NO_INLINE void filter_take(struct net *net, const struct frame *frame)
{
    const struct vq_chain *chain = &net->chain;
    UNINITIALIZED uint8_t bytes[FRAME_FILTER_TAKE_MAX_SIZE];
    size_t frame_len = chain->readable_len - TAP_HEADER_SIZE;
    size_t here = frame->peek_len - TAP_HEADER_SIZE;
    size_t len = frame_len < sizeof(bytes) ? frame_len : sizeof(bytes);

    memcpy(bytes, frame->peek + TAP_HEADER_SIZE, here);
    if (len > here &&
        vq_chain_read(net->dev.gmem, chain, frame->peek_len, bytes + here, len - here) < 0) {
        metric_inc(&net->metrics->tx_malformed_frames);
        return;
    }
    net->filter->ops->take(net->filter, bytes, len, frame_len);
    net->filter_took = true;
}

/* The popped chain: sent, given to the filter, or dropped and counted. Returns whether it was the
 * filter's. */
static bool send_chain(struct net *net)
{
    bool filtered = false;
    UNINITIALIZED struct frame frame; /* frame_make fills what is looked at */
    if (frame_make(net, &frame) < 0) {
        metric_inc(&net->metrics->tx_malformed_frames);
    } else if (is_filtered(net, &frame)) {
        filtered = true;
        filter_take(net, &frame);
    } else {
        count_source(net, &frame);
        frame_send(net, &frame);
    }
    vq_push_used(tx_queue(net), net->chain.head, 0);
    return filtered;
}

/* Pops and sends until the ring is empty (1), the limiter denies (0), or the budget is spent (0,
 * with a kick to oneself). */
static int pass(struct net *net, uint32_t *budget)
{
    UNINITIALIZED struct rl_undo undo;
    while (!net->dev.broken && !rl_blocked(&net->tx_rl)) {
        if (*budget == 0) {
            virtio_kick_self(&net->dev, NET_TX);
            return 0;
        }
        int rc = vq_pop(tx_queue(net), &net->chain);
        if (rc == 0)
            return 1;
        if (rc < 0) {
            metric_inc(&net->metrics->event_fails);
            virtio_mark_broken(&net->dev, "net transmit queue: bad index, descriptor or chain", rc);
            return 0;
        }
        --*budget;
        if (!rl_take_both(&net->tx_rl, net->chain.readable_len, &undo)) {
            vq_unpop(tx_queue(net), net->chain.head);
            metric_inc(&net->metrics->tx_rate_limiter_throttled);
            return 0;
        }
        if (send_chain(net)) { /* costs the guest nothing, but us more */
            rl_undo(&net->tx_rl, &undo);
            *budget -= *budget < FILTERED_COST ? *budget : FILTERED_COST;
        }
    }
    return 0;
}

static void serve(struct net *net)
{
    uint32_t budget = NET_PASS_BUDGET;
    bool drained;

    do {
        vq_notify_off(tx_queue(net));
        drained = pass(net, &budget) == 1;
        if (net->dev.broken)
            return;
        virtio_queue_flush(&net->dev, NET_TX);
        if (!drained || !vq_notify_on(tx_queue(net)))
            return;
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (budget && --budget);
    virtio_kick_self(&net->dev, NET_TX);
}

void net_tx_serve(struct net *net)
{
    serve(net);
    if (net->filter_took && !net->dev.broken)
        net_rx_serve(net);
}
