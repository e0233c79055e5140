/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Packets from the guest (virtio 1.2, 5.10.6; vsock.md 2): the header is copied once and judged,
 * the payload goes from the guest's memory to the host's socket. Under the device's lock, on the
 * vmm thread.
 */
#include <linux/virtio_vsock.h>

#include "base/err.h"
#include "base/log.h"
#include "devices/vsock/vsock_int.h"

/* Packets of one pass before other devices get their turn. */
#define TX_BUDGET 128u

static struct vq *tx_queue(struct vsock *vsock)
{
    return &vsock->dev.queues[VSOCK_TX];
}

/* The popped chain's header. False: it is no packet. */
static bool packet_read(struct vsock *vsock, struct vsock_packet *ret_packet)
{
    struct vsock_wire_header wire;
    uint64_t len = vsock->chain.readable_len;
    if (vq_chain_read(vsock->dev.gmem, &vsock->chain, 0, &wire, sizeof(wire)) < 0)
        return false;
    vsock_packet_decode(&wire, ret_packet);
    return ret_packet->len <= VSOCK_PAYLOAD_MAX_SIZE && ret_packet->len <= len - sizeof(wire);
}

static void packet_serve(struct vsock *vsock)
{
    struct vsock_packet packet;
    if (!packet_read(vsock, &packet)) {
        metric_inc(&metrics.vsock.tx_queue_event_fails);
        log_guest_warn("vsock: a packet without a whole header, or longer than its buffers or %u "
                       "bytes, is dropped",
                       VSOCK_PAYLOAD_MAX_SIZE);
        return;
    }
    if (packet.type != VIRTIO_VSOCK_TYPE_STREAM) {
        log_guest_info("vsock: port %u of the guest was refused: socket type %u, and only stream "
                       "(%u) is built",
                       packet.src_port, packet.type, (unsigned)VIRTIO_VSOCK_TYPE_STREAM);
        vsock_refuse(vsock, packet.dst_port, packet.src_port);
        return;
    }
    if (packet.dst_cid != VSOCK_CID_HOST) {
        log_guest_info("vsock: a packet to CID %llu is dropped: only the host, %u, is reached",
                       (unsigned long long)packet.dst_cid, VSOCK_CID_HOST);
        return;
    }
    struct vsock_conn *conn = vsock_conn_find(vsock, packet.dst_port, packet.src_port);
    if (conn)
        vsock_conn_on_packet(conn, &packet);
    else if (packet.op == VSOCK_OP_REQUEST)
        vsock_host_connect(vsock, &packet);
    else
        vsock_refuse(vsock, packet.dst_port, packet.src_port);
}

/* Pops and serves until the ring is empty (true), or the budget is spent or the device broken. */
static bool pass(struct vsock *vsock, uint32_t *budget)
{
    for (; *budget > 0; --*budget) {
        int rc = vq_pop(tx_queue(vsock), &vsock->chain);
        if (rc == 0)
            return true;
        if (rc < 0) {
            metric_inc(&metrics.vsock.tx_queue_event_fails);
            virtio_mark_broken(&vsock->dev, "vsock transmit queue: bad index, descriptor or chain",
                               rc);
            return false;
        }
        packet_serve(vsock);
        vq_push_used(tx_queue(vsock), vsock->chain.head, 0);
    }
    return false;
}

void vsock_tx_serve(struct vsock *vsock)
{
    uint32_t budget = TX_BUDGET;

    do {
        vq_notify_off(tx_queue(vsock));
        bool drained = pass(vsock, &budget);
        if (vsock->dev.broken)
            return;
        if (!drained)
            break;
        if (!vq_notify_on(tx_queue(vsock)))
            return;
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (--budget > 0);
    virtio_kick_self(&vsock->dev, VSOCK_TX);
}
