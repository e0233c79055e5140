/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One stream's rules: what a packet of the guest does in which state, what the host's socket does,
 * credit, half-close (vsock.md 1.3, 2, 3). Under the device's lock, on the vmm thread.
 */
#include <errno.h>
#include <linux/virtio_vsock.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/vsock/vsock_int.h"

static void forget_kept(struct vsock_conn *conn)
{
    conn->vsock->kept_size -= conn->buf_len;
    free(conn->buf);
    conn->buf = NULL;
    conn->buf_len = 0;
}

void vsock_conn_close_host(struct vsock_conn *conn)
{
    loop_remove(conn->vsock->env.loop, &conn->src);
    fd_close(&conn->src.fd);
    forget_kept(conn);
}

void vsock_conn_end(struct vsock_conn *conn)
{
    vsock_conn_close_host(conn);
    vsock_conn_clear_deadline(conn);
    if (conn->state == VSOCK_CONNECTING)
        conn->vsock->connecting_count--;
    conn->state = VSOCK_KILLED;
    conn->pending = 0;
    vsock_conn_enqueue(conn, VSOCK_HAS_RST);
}

void vsock_conn_kill(struct vsock_conn *conn)
{
    if (conn->state == VSOCK_KILLED)
        return;
    metric_inc(&metrics.vsock.conns_killed);
    vsock_conn_end(conn);
}

/* Bytes of the host program are worth reading: somebody will take them. */
static bool reads(const struct vsock_conn *conn)
{
    return !conn->host_ended && !conn->peer_no_recv;
}

void vsock_conn_watch(struct vsock_conn *conn)
{
    uint32_t events = 0;

    if (conn->state == VSOCK_LINE) {
        events = EPOLLIN;
    } else if (conn->state == VSOCK_ESTABLISHED) {
        events = conn->buf_len > 0 ? EPOLLOUT : 0;
        /* What hangs up while nothing is read of it would be reported for ever: either it is read,
         * or there is nothing to read and the end is what is waited for, or it is silent. */
        if (!reads(conn))
            events |= EPOLLERR;
        else if (!conn->starved)
            events |= EPOLLIN;
    }
    if (loop_modify(conn->vsock->env.loop, &conn->src, events) < 0 && conn->src.fd != FD_NONE)
        vsock_watch_failed(conn->vsock);
}

uint32_t vsock_conn_credit(const struct vsock_conn *conn)
{
    uint32_t in_flight = conn->sent_cnt - conn->peer_fwd_cnt; /* modulo 2^32 */
    return in_flight < conn->peer_buf_alloc ? conn->peer_buf_alloc - in_flight : 0;
}

/* Bytes went to the host program: the guest is told when it believes in too little room. */
static void forwarded(struct vsock_conn *conn, size_t len)
{
    conn->fwd_cnt += (uint32_t)len;
    metric_add(&metrics.vsock.tx_bytes_count, len);
    if (conn->fwd_cnt - conn->fwd_told > VSOCK_BUF_SIZE - VSOCK_CREDIT_LOW)
        vsock_conn_enqueue(conn, VSOCK_HAS_CREDIT_UPDATE);
}

/* After a change of what the guest's side still wants: ends what is to be ended. */
static void settle(struct vsock_conn *conn)
{
    bool both = conn->peer_no_send && conn->peer_no_recv;
    if (conn->peer_no_recv)
        conn->pending &= ~VSOCK_HAS_DATA;
    if (both && conn->buf_len == 0) {
        vsock_conn_end(conn);
        return;
    }
    if (conn->peer_no_send && conn->buf_len == 0 && !conn->writing_ended) {
        conn->writing_ended = true;
        uds_end_writing(conn->src.fd);
    }
    if (both && conn->deadline_ns == 0)
        vsock_conn_set_deadline(conn); /* for the host program to read the rest */
    vsock_conn_watch(conn);
}

/* The buffer's bytes as pieces. Returns how many: 1 or 2. */
static uint32_t buffered_pieces(const struct vsock_conn *conn, struct iovec ret_iov[2])
{
    uint32_t to_end = VSOCK_BUF_SIZE - conn->buf_off;
    uint32_t first = conn->buf_len < to_end ? conn->buf_len : to_end;
    ret_iov[0] = (struct iovec){conn->buf + conn->buf_off, first};
    ret_iov[1] = (struct iovec){conn->buf, conn->buf_len - first};
    return ret_iov[1].iov_len > 0 ? 2 : 1;
}

/* The host program reads again. */
static void flush(struct vsock_conn *conn)
{
    struct iovec iov[2];
    ssize_t len = uds_write(conn->src.fd, iov, buffered_pieces(conn, iov));
    if (len == -EAGAIN)
        return;
    if (len < 0) {
        metric_inc(&metrics.vsock.tx_flush_fails);
        vsock_conn_kill(conn);
        return;
    }
    conn->buf_off = (conn->buf_off + (uint32_t)len) % VSOCK_BUF_SIZE;
    conn->buf_len -= (uint32_t)len;
    conn->vsock->kept_size -= (uint32_t)len;
    if (conn->buf_len == 0)
        forget_kept(conn);
    forwarded(conn, (size_t)len);
    settle(conn);
}

/* The host program will not read it any more; what it wrote may still be read. */
static void drop_kept(struct vsock_conn *conn)
{
    metric_inc(&metrics.vsock.tx_flush_fails);
    forget_kept(conn);
    settle(conn);
    /* A guest that waits for room and reads nothing would wait for ever. */
    if (conn->state == VSOCK_ESTABLISHED && conn->deadline_ns == 0)
        vsock_conn_set_deadline(conn);
}

/* Keeps what the host program does not read now. Returns 0, -ENOBUFS (more than the guest was told
 * there is room for, or too much of all streams), -ENOMEM or -EFAULT. */
static int keep(struct vsock_conn *conn, uint64_t off, uint32_t len)
{
    struct vsock *vsock = conn->vsock;
    if (len > VSOCK_BUF_SIZE - conn->buf_len || len > VSOCK_KEPT_MAX_SIZE - vsock->kept_size)
        return -ENOBUFS;
    if (!conn->buf) {
        conn->buf = malloc(VSOCK_BUF_SIZE);
        conn->buf_off = 0;
    }
    if (!conn->buf)
        return -ENOMEM;
    uint32_t at = (conn->buf_off + conn->buf_len) % VSOCK_BUF_SIZE;
    uint32_t first = len < VSOCK_BUF_SIZE - at ? len : VSOCK_BUF_SIZE - at;
    int rc = vq_chain_read(vsock->dev.gmem, &vsock->chain, off, conn->buf + at, first);
    if (rc == 0)
        rc = vq_chain_read(vsock->dev.gmem, &vsock->chain, off + first, conn->buf, len - first);
    if (rc == 0) {
        conn->buf_len += len;
        vsock->kept_size += len;
    }
    return rc;
}

/* Writes the packet's payload, as much as the host program takes. Returns bytes or -errno. */
static ssize_t write_through(struct vsock_conn *conn, uint32_t len)
{
    struct vsock *vsock = conn->vsock;
    struct iovec *iov = vsock->batch.iov; /* no read is at hand */
    if (conn->buf_len > 0)
        return 0; /* in order */
    int count = vq_chain_iov(vsock->dev.gmem, &vsock->chain, false, VSOCK_HEADER_SIZE, len, iov,
                             VQ_SIZE_MAX);
    if (count < 0)
        return count;
    ssize_t written = uds_write(conn->src.fd, iov, (uint32_t)count);
    if (written == -EFAULT)
        gmem_iov_touch(iov, (uint32_t)count);
    return written == -EAGAIN ? 0 : written;
}

/* Payload of the guest. */
static void take(struct vsock_conn *conn, uint32_t len)
{
    if (len == 0) {
        log_guest_info("vsock: port %u sent an empty packet, which is dropped", conn->peer_port);
        return;
    }
    ssize_t written = write_through(conn, len);
    if (written < 0) {
        metric_inc(&metrics.vsock.tx_write_fails);
        log_guest_info("vsock: writing to the host program of port %u failed: %s", conn->peer_port,
                       ERR_OS((int)written));
        vsock_conn_kill(conn);
        return;
    }
    if (written > 0)
        forwarded(conn, (size_t)written);
    if ((uint32_t)written == len)
        return;
    int rc = keep(conn, VSOCK_HEADER_SIZE + (uint64_t)written, len - (uint32_t)written);
    if (rc < 0) {
        log_guest_warn("vsock: port %u: %u bytes cannot be kept (%s), beside %u that are: the "
                       "stream is killed",
                       conn->peer_port, len, err_name(rc), conn->buf_len);
        vsock_conn_kill(conn);
        return;
    }
    vsock_conn_watch(conn);
}

/* The guest has taken the host program's stream. */
static void established(struct vsock_conn *conn)
{
    char line[sizeof("OK 4294967295\n")];
    int len = snprintf(line, sizeof(line), "OK %u\n", conn->local_port);
    const struct iovec iov = {line, (size_t)len};
    if (uds_write(conn->src.fd, &iov, 1) != len) {
        metric_inc(&metrics.vsock.tx_write_fails);
        vsock_conn_kill(conn);
        return;
    }
    vsock_conn_clear_deadline(conn);
    conn->state = VSOCK_ESTABLISHED;
    vsock_conn_watch(conn);
}

static void on_established_packet(struct vsock_conn *conn, const struct vsock_packet *packet)
{
    switch (packet->op) {
    case VSOCK_OP_RW:
        if (!conn->peer_no_send)
            take(conn, packet->len);
        break;
    case VSOCK_OP_SHUTDOWN:
        conn->peer_no_recv |= (packet->flags & VIRTIO_VSOCK_SHUTDOWN_RCV) != 0;
        conn->peer_no_send |= (packet->flags & VIRTIO_VSOCK_SHUTDOWN_SEND) != 0;
        settle(conn);
        break;
    case VSOCK_OP_CREDIT_REQUEST:
        if (!conn->peer_no_send)
            vsock_conn_enqueue(conn, VSOCK_HAS_CREDIT_UPDATE);
        break;
    case VSOCK_OP_CREDIT_UPDATE: /* taken already */
    case VSOCK_OP_REQUEST:
    case VSOCK_OP_RESPONSE:
    case VSOCK_OP_RST:
    case VSOCK_OP_UNSUPPORTED:
        break;
    }
}

void vsock_conn_on_packet(struct vsock_conn *conn, const struct vsock_packet *packet)
{
    if (packet->op == VSOCK_OP_RST) {
        vsock_conn_remove(conn);
        return;
    }
    metric_inc(&metrics.vsock.tx_packets_count);
    conn->peer_buf_alloc = packet->buf_alloc;
    conn->peer_fwd_cnt = packet->fwd_cnt;
    switch (conn->state) {
    case VSOCK_LOCAL_INIT:
        if (packet->op == VSOCK_OP_RESPONSE)
            established(conn);
        break;
    case VSOCK_PEER_INIT:
        if (packet->op == VSOCK_OP_CREDIT_REQUEST)
            vsock_conn_enqueue(conn, VSOCK_HAS_CREDIT_UPDATE);
        break;
    case VSOCK_ESTABLISHED:
        on_established_packet(conn, packet);
        break;
    case VSOCK_LINE:
    case VSOCK_CONNECTING:
    case VSOCK_LOCAL_CLOSED:
    case VSOCK_KILLED:
        break;
    }
    /* It may have waited for credit, and here is some. */
    if (conn->state == VSOCK_ESTABLISHED && conn->starved && reads(conn) &&
        vsock_conn_credit(conn) > 0)
        vsock_conn_enqueue(conn, VSOCK_HAS_DATA);
}

void vsock_conn_host_gone(struct vsock_conn *conn)
{
    conn->state = VSOCK_LOCAL_CLOSED;
    vsock_conn_close_host(conn);
    conn->pending = 0;
    vsock_conn_enqueue(conn, VSOCK_HAS_SHUTDOWN);
    vsock_conn_set_deadline(conn);
}

void vsock_conn_host_ended(struct vsock_conn *conn)
{
    conn->host_ended = true;
    vsock_conn_enqueue(conn, VSOCK_HAS_SHUTDOWN);
    vsock_conn_watch(conn);
}

void vsock_conn_on_host(struct vsock_conn *conn, uint32_t revents)
{
    if (conn->state == VSOCK_LINE) {
        vsock_host_on_line(conn, false);
        return;
    }
    if (conn->state != VSOCK_ESTABLISHED) {
        metric_inc(&metrics.vsock.conn_event_fails);
        vsock_conn_watch(conn);
        return;
    }
    if (revents & EPOLLHUP && conn->buf_len > 0)
        drop_kept(conn);
    else if (revents & (EPOLLOUT | EPOLLERR) && conn->buf_len > 0)
        flush(conn);
    if (conn->state != VSOCK_ESTABLISHED)
        return;
    if (!reads(conn)) {
        if (revents & (EPOLLHUP | EPOLLERR))
            vsock_conn_host_gone(conn);
    } else if (conn->starved || conn->pending & VSOCK_HAS_DATA) {
        conn->starved = true; /* its turn comes; until then the socket would say the same again */
        vsock_conn_watch(conn);
    } else if (revents & ~(uint32_t)EPOLLOUT) {
        vsock_conn_enqueue(conn, VSOCK_HAS_DATA);
    }
}
