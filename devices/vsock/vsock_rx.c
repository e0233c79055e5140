/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets to the guest (virtio 1.2, 5.10.6; vsock.md 2): refusals first, then every stream that has
 * something, in turn. A stream's bytes are read by one call into as many of the guest's buffers as
 * they are likely to fill. Every popped head leaves by one exit: the used ring, or back into the
 * avail ring. Under the device's lock, on the vmm thread.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>

#include "base/err.h"
#include "base/log.h"
#include "devices/vsock/vsock_int.h"

/* The guest's buffers of one pass before other devices get their turn. */
#define RX_BUDGET 256u

enum outcome {
    OUTCOME_DONE,    /* what was at hand is served */
    OUTCOME_STARVED, /* the guest has no buffer */
    OUTCOME_BROKEN,
    OUTCOME_BUDGET,
};

static struct vq *rx_queue(struct vsock *vsock)
{
    return &vsock->dev.queues[VSOCK_RX];
}

/* The popped chain as a buffer whose payload part is at most `want` bytes. Returns 1, 0 when there
 * is no room for its pieces now, or -EINVAL when it is none. */
static int slot_add(struct vsock *vsock, struct vsock_batch *batch, uint32_t want)
{
    const struct vq_chain *chain = &vsock->chain;
    const struct vq_buf *first = &chain->bufs[chain->readable_count];

    /* The header lies in the first piece: every driver does so, and we need its address. */
    if (chain->writable_len < VSOCK_HEADER_SIZE || first->len < VSOCK_HEADER_SIZE ||
        !gmem_contains(vsock->dev.gmem, first->addr, VSOCK_HEADER_SIZE))
        return -EINVAL;
    uint64_t size = chain->writable_len - VSOCK_HEADER_SIZE;
    if (size > VSOCK_PAYLOAD_MAX_SIZE)
        size = VSOCK_PAYLOAD_MAX_SIZE;
    if (size > want)
        size = want;
    int count =
        vq_chain_iov(vsock->dev.gmem, chain, true, VSOCK_HEADER_SIZE, size,
                     &batch->iov[batch->iov_count], ARRAY_LEN(batch->iov) - batch->iov_count);
    if (count == -E2BIG && batch->slots_count > 0)
        return 0;
    if (count < 0)
        return -EINVAL;
    batch->slots[batch->slots_count++] =
        (struct vsock_slot){first->addr, chain->head, (uint32_t)size};
    batch->iov_count += (uint32_t)count;
    batch->size += (uint32_t)size;
    return 1;
}

/* Pops one more buffer, of at most `want` bytes of payload. Returns OUTCOME_DONE when it is in the
 * batch; OUTCOME_STARVED also when the batch is full. */
static enum outcome slot_pop(struct vsock *vsock, struct vsock_batch *batch, uint32_t want,
                             uint32_t *budget)
{
    while (batch->slots_count < VSOCK_READ_CHAINS_MAX) {
        if (*budget == 0)
            return OUTCOME_BUDGET;
        int rc = vq_pop(rx_queue(vsock), &vsock->chain);
        if (rc == 0)
            return OUTCOME_STARVED;
        if (rc < 0) {
            metric_inc(&metrics.vsock.rx_queue_event_fails);
            virtio_mark_broken(&vsock->dev, "vsock receive queue: bad index, descriptor or chain",
                               rc);
            return OUTCOME_BROKEN;
        }
        --*budget;
        rc = slot_add(vsock, batch, want);
        if (rc > 0)
            return OUTCOME_DONE;
        /* One that is none leaves by itself, in order: behind those that are popped now. */
        if (rc == 0 || batch->slots_count > 0) {
            vq_unpop(rx_queue(vsock), vsock->chain.head);
            break;
        }
        metric_inc(&metrics.vsock.rx_queue_event_fails);
        vq_push_used(rx_queue(vsock), vsock->chain.head, 0);
    }
    return OUTCOME_STARVED;
}

/* Gives buffers back that were not needed, from `from` on. */
static void slots_return(struct vsock *vsock, struct vsock_batch *batch, uint32_t from)
{
    while (batch->slots_count > from)
        vq_unpop(rx_queue(vsock), batch->slots[--batch->slots_count].head);
}

static void push(struct vsock *vsock, const struct vsock_slot *slot, struct vsock_packet *packet)
{
    struct vsock_wire_header wire;
    packet->src_cid = VSOCK_CID_HOST;
    packet->dst_cid = vsock->guest_cid;
    packet->type = VIRTIO_VSOCK_TYPE_STREAM;
    vsock_packet_encode(packet, &wire);
    /* slot_add looked at the range. */
    IGNORE_RESULT(gmem_write(vsock->dev.gmem, slot->addr, &wire, sizeof(wire)) < 0);
    vq_push_used(rx_queue(vsock), slot->head, (uint32_t)sizeof(wire) + packet->len);
}

/* A packet of the stream. flags: of a SHUTDOWN. */
static void push_of(struct vsock_conn *conn, const struct vsock_slot *slot, enum vsock_op op,
                    uint32_t len, uint32_t flags)
{
    struct vsock_packet packet = {.src_port = conn->local_port,
                                  .dst_port = conn->peer_port,
                                  .len = len,
                                  .op = op,
                                  .flags = flags,
                                  .buf_alloc = VSOCK_BUF_SIZE,
                                  .fwd_cnt = conn->fwd_cnt};
    metric_inc(&metrics.vsock.rx_packets_count);
    conn->fwd_told = conn->fwd_cnt;
    conn->pending &= ~VSOCK_HAS_CREDIT_UPDATE; /* this says it */
    push(conn->vsock, slot, &packet);
}

/* Bytes that were read, in the order of the buffers; the rest of the buffers goes back. */
static void push_data(struct vsock_conn *conn, struct vsock_batch *batch, uint32_t len)
{
    struct vsock *vsock = conn->vsock;
    uint32_t used = 0;

    conn->sent_cnt += len;
    metric_add(&metrics.vsock.rx_bytes_count, len);
    for (uint32_t left = len; left > 0; used++) {
        uint32_t here = left < batch->slots[used].size ? left : batch->slots[used].size;
        push_of(conn, &batch->slots[used], VSOCK_OP_RW, here, 0);
        left -= here;
    }
    /* As many again, and a few to see that there is more; twice as many where there was. */
    uint32_t hint = used < batch->slots_count ? used + 1 : 2 * used;
    conn->chains_hint = hint < VSOCK_READ_CHAINS_MAX ? hint : VSOCK_READ_CHAINS_MAX;
    slots_return(vsock, batch, used);
}

/* The socket's bytes are over: for good, or in this direction. */
static void end_of_data(struct vsock_conn *conn)
{
    if (uds_is_hung_up(conn->src.fd))
        vsock_conn_host_gone(conn);
    else
        vsock_conn_host_ended(conn);
}

/* What a read of the socket gave, in `batch`; all of its buffers leave. */
static void on_read(struct vsock_conn *conn, struct vsock_batch *batch, ssize_t len)
{
    struct vsock *vsock = conn->vsock;
    if (len > 0) {
        if ((uint32_t)len < batch->size)
            conn->pending &= ~VSOCK_HAS_DATA; /* that was all */
        push_data(conn, batch, (uint32_t)len);
        return;
    }
    slots_return(vsock, batch, 0);
    conn->pending &= ~VSOCK_HAS_DATA;
    if (len == 0) {
        end_of_data(conn);
    } else if (len != -EAGAIN) {
        metric_inc(&metrics.vsock.rx_read_fails);
        vsock_conn_kill(conn);
    }
}

/* Reads the stream's socket into the guest's buffers, the first of which is in `batch`. */
static enum outcome serve_data(struct vsock_conn *conn, struct vsock_batch *batch, uint32_t credit,
                               uint32_t *budget)
{
    enum outcome end = OUTCOME_DONE;
    while (batch->slots_count < conn->chains_hint && batch->size < credit && end == OUTCOME_DONE)
        end = slot_pop(conn->vsock, batch, credit - batch->size, budget);
    if (end == OUTCOME_BROKEN)
        return end;
    if (batch->size == 0) { /* a header's room only */
        metric_inc(&metrics.vsock.rx_queue_event_fails);
        vq_push_used(rx_queue(conn->vsock), batch->slots[0].head, 0);
        slots_return(conn->vsock, batch, 1);
        return OUTCOME_DONE;
    }
    ssize_t len = uds_read(conn->src.fd, batch->iov, batch->iov_count);
    if (len == -EFAULT)
        gmem_iov_touch(batch->iov, batch->iov_count);
    on_read(conn, batch, len);
    if (conn->state == VSOCK_ESTABLISHED && conn->starved) {
        conn->starved = false;
        vsock_conn_watch(conn);
    }
    return OUTCOME_DONE;
}

/* The guest has no room for the stream's bytes: it is asked, once, and the bytes wait. */
static void ask_credit(struct vsock_conn *conn, struct vsock_batch *batch)
{
    conn->pending &= ~VSOCK_HAS_DATA;
    conn->starved = true;
    vsock_conn_watch(conn);
    push_of(conn, &batch->slots[0], VSOCK_OP_CREDIT_REQUEST, 0, 0);
}

static void answered(struct vsock_conn *conn)
{
    conn->pending &= ~VSOCK_HAS_RESPONSE;
    conn->state = VSOCK_ESTABLISHED;
    vsock_conn_watch(conn);
}

/* The most urgent thing that the stream has (vsock.md 2). */
static enum outcome serve_urgent(struct vsock_conn *conn, struct vsock_batch *batch,
                                 uint32_t *budget)
{
    const struct vsock_slot *slot = &batch->slots[0];
    uint32_t pending = conn->pending;

    if (pending & VSOCK_HAS_RESPONSE) {
        push_of(conn, slot, VSOCK_OP_RESPONSE, 0, 0);
        answered(conn);
    } else if (pending & VSOCK_HAS_REQUEST) {
        conn->pending &= ~VSOCK_HAS_REQUEST;
        push_of(conn, slot, VSOCK_OP_REQUEST, 0, 0);
    } else if (pending & VSOCK_HAS_DATA) {
        uint32_t credit = vsock_conn_credit(conn);
        if (credit > 0)
            return serve_data(conn, batch, credit, budget);
        ask_credit(conn, batch);
    } else if (pending & VSOCK_HAS_SHUTDOWN) {
        uint32_t flags = VIRTIO_VSOCK_SHUTDOWN_SEND;
        if (conn->state == VSOCK_LOCAL_CLOSED)
            flags |= VIRTIO_VSOCK_SHUTDOWN_RCV;
        conn->pending &= ~VSOCK_HAS_SHUTDOWN;
        push_of(conn, slot, VSOCK_OP_SHUTDOWN, 0, flags);
    } else if (pending & VSOCK_HAS_CREDIT_UPDATE) {
        push_of(conn, slot, VSOCK_OP_CREDIT_UPDATE, 0, 0);
    } else {
        slots_return(conn->vsock, batch, 0);
    }
    return OUTCOME_DONE;
}

/* The stream's turn. May free it. */
static enum outcome serve_conn(struct vsock_conn *conn, struct vsock_batch *batch, uint32_t *budget)
{
    if (conn->pending & VSOCK_HAS_RST) {
        push_of(conn, &batch->slots[0], VSOCK_OP_RST, 0, 0);
        vsock_conn_remove(conn);
        return OUTCOME_DONE;
    }
    enum outcome end = serve_urgent(conn, batch, budget);
    if (conn->pending)
        vsock_conn_enqueue(conn, 0);
    return end;
}

static void serve_refusal(struct vsock *vsock, const struct vsock_slot *slot)
{
    const struct vsock_rst *rst = &vsock->rsts[vsock->rsts_first];
    struct vsock_packet packet = {
        .src_port = rst->local_port, .dst_port = rst->peer_port, .op = VSOCK_OP_RST};
    vsock->rsts_first = (vsock->rsts_first + 1) % VSOCK_RSTS_MAX;
    vsock->rsts_count--;
    push(vsock, slot, &packet);
}

static enum outcome pass(struct vsock *vsock, uint32_t *budget)
{
    while (vsock->rsts_count > 0 || !TAILQ_EMPTY(&vsock->ready)) {
        struct vsock_conn *conn = TAILQ_FIRST(&vsock->ready);
        uint32_t credit = conn && conn->pending & VSOCK_HAS_DATA ? vsock_conn_credit(conn) : 0;
        struct vsock_batch *batch = &vsock->batch;
        batch->slots_count = batch->iov_count = batch->size = 0;
        /* A stream's bytes may not be more than its credit; other packets have none. */
        enum outcome end = slot_pop(vsock, batch, credit, budget);
        if (end != OUTCOME_DONE)
            return end;
        if (vsock->rsts_count > 0) {
            serve_refusal(vsock, &batch->slots[0]);
            continue;
        }
        vsock_conn_dequeue(conn);
        end = serve_conn(conn, batch, budget);
        if (end != OUTCOME_DONE)
            return end;
    }
    return OUTCOME_DONE;
}

void vsock_rx_serve(struct vsock *vsock)
{
    uint32_t budget = RX_BUDGET;
    enum outcome end;

    if (vsock->dev.broken || vsock->reset_pending ||
        (vsock->rsts_count == 0 && TAILQ_EMPTY(&vsock->ready)))
        return;
    vq_notify_off(rx_queue(vsock));
    do {
        end = pass(vsock, &budget);
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (end == OUTCOME_STARVED && vq_notify_on(rx_queue(vsock)) && --budget > 0);
    if (end == OUTCOME_BUDGET || (end == OUTCOME_STARVED && budget == 0))
        virtio_kick_self(&vsock->dev, VSOCK_RX);
}
