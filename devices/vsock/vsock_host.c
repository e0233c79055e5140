/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a stream begins: a host program connects and names a port, or the guest asks for a host
 * program (vsock.md 1.1, 1.2). Under the device's lock, on the vmm thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/vsock/vsock_int.h"

/* Streams taken in one go before other devices get their turn. */
#define ACCEPT_BUDGET 16u
/* Full listeners asked again in one go. */
#define RETRY_BUDGET 32u

static void accepted(struct vsock *vsock, int fd)
{
    struct vsock_conn *conn = vsock_conn_create(vsock, fd);
    if (!conn) {
        log_guest_warn("vsock: a host program's stream was closed at once: there are %u, of at "
                       "most %u",
                       vsock->conns_count, VSOCK_CONNS_MAX);
        fd_close(&fd);
        return;
    }
    IGNORE_RESULT(loop_add(vsock->env.loop, &conn->src)); /* silent: nothing is asked yet */
    vsock_host_on_line(conn, true);                       /* mostly it is there already */
}

/* Is left alone for a while: it would be reported again at once. */
static void accept_failed(struct vsock *vsock, int rc)
{
    metric_inc(&metrics.vsock.muxer_event_fails);
    log_guest_warn("vsock: a host program's stream cannot be taken: %s", ERR_OS(rc));
    vsock->accept_failed = true;
    vsock_watch_listener(vsock);
    vsock_arm_timer(vsock);
}

void vsock_host_accept(struct vsock *vsock)
{
    for (uint32_t budget = ACCEPT_BUDGET; budget > 0; budget--) {
        int fd = uds_accept(vsock->listener.fd);
        if (fd == -EAGAIN)
            return;
        if (fd < 0) {
            accept_failed(vsock, fd);
            return;
        }
        accepted(vsock, fd);
    }
}

void vsock_host_on_line(struct vsock_conn *conn, bool is_new)
{
    uint8_t bytes[VSOCK_LINE_MAX_SIZE];
    uint32_t peer_port;
    ssize_t len = uds_peek(conn->src.fd, bytes, sizeof(bytes));
    if (len == -EAGAIN && is_new) {
        vsock_conn_watch(conn);
        return;
    }
    int line_len = vsock_line_parse(bytes, len > 0 ? (size_t)len : 0, &peer_port);
    if (line_len < 0) {
        char text[64];
        log_guest_info(
            "vsock: a host program's stream was closed: expected \"CONNECT <port>\\n\" "
            "in one piece, got \"%s\"",
            log_quote((const char *)bytes, len > 0 ? (size_t)len : 0, text, sizeof(text)));
        vsock_conn_remove(conn);
        return;
    }
    const struct iovec iov = {bytes, (size_t)line_len};
    if (uds_read(conn->src.fd, &iov, 1) != line_len) {
        vsock_conn_remove(conn); /* nobody else reads of it */
        return;
    }
    vsock_conn_register(conn, vsock_local_port_next(conn->vsock), peer_port);
    vsock_conn_count(conn);
    conn->state = VSOCK_LOCAL_INIT;
    vsock_conn_watch(conn);
    vsock_conn_set_deadline(conn);
    vsock_conn_enqueue(conn, VSOCK_HAS_REQUEST);
}

/* Returns 0, -EAGAIN when the listener's queue is full, or -errno. */
static int reach(struct vsock_conn *conn)
{
    struct vsock *vsock = conn->vsock;
    char path[sizeof(vsock->uds_path) + sizeof("_4294967295")];
    (void)snprintf(path, sizeof(path), "%s_%u", vsock->uds_path, conn->local_port); /* fits */
    int fd = uds_connect(path);
    if (fd < 0)
        return fd;
    conn->src.fd = fd;
    return loop_add(vsock->env.loop, &conn->src);
}

/* One try. What cannot be reached is refused; a full queue is asked again. */
static void try_reach(struct vsock_conn *conn)
{
    struct vsock *vsock = conn->vsock;
    int rc = reach(conn);
    if (rc == -EAGAIN)
        return;
    if (rc < 0) {
        char path[80];
        log_guest_info("vsock: nobody at \"%s\"_%u for port %u of the guest: %s",
                       log_quote(vsock->uds_path, strlen(vsock->uds_path), path, sizeof(path)),
                       conn->local_port, conn->peer_port, ERR_OS(rc));
        vsock_conn_end(conn);
        return;
    }
    vsock_conn_count(conn);
    vsock->connecting_count--;
    vsock_conn_clear_deadline(conn);
    conn->state = VSOCK_PEER_INIT;
    vsock_conn_enqueue(conn, VSOCK_HAS_RESPONSE);
}

void vsock_host_connect(struct vsock *vsock, const struct vsock_packet *packet)
{
    struct vsock_conn *conn = vsock_conn_create(vsock, FD_NONE);
    if (!conn) {
        log_guest_warn("vsock: port %u of the guest was refused: there are %u streams, of at most "
                       "%u",
                       packet->src_port, vsock->conns_count, VSOCK_CONNS_MAX);
        vsock_refuse(vsock, packet->dst_port, packet->src_port);
        return;
    }
    vsock_conn_register(conn, packet->dst_port, packet->src_port);
    conn->peer_buf_alloc = packet->buf_alloc;
    conn->peer_fwd_cnt = packet->fwd_cnt;
    conn->state = VSOCK_CONNECTING;
    vsock->connecting_count++;
    try_reach(conn);
    if (conn->state == VSOCK_CONNECTING)
        vsock_conn_set_deadline(conn);
}

void vsock_host_retry(struct vsock *vsock)
{
    struct vsock_conn *conn = TAILQ_FIRST(&vsock->expiring);
    struct vsock_conn *next;
    uint32_t from = vsock->retry_from < vsock->connecting_count ? vsock->retry_from : 0;
    uint32_t idx = 0; /* among those that are to be asked */
    for (; conn && idx < from + RETRY_BUDGET; conn = next) {
        next = TAILQ_NEXT(conn, in_expiring);
        if (conn->state != VSOCK_CONNECTING)
            continue;
        if (idx++ >= from)
            try_reach(conn);
    }
    vsock->retry_from = idx; /* the rest has its turn next */
}
