/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The streams as a set: by their ports, in turn, by deadline (vsock.md 1, 4). Under the device's
 * lock, on the vmm thread.
 */
#include <assert.h>
#include <stdlib.h>

#include "base/fd.h"
#include "base/log.h"
#include "devices/vsock/vsock_int.h"

void vsock_table_init(struct vsock *vsock)
{
    for (uint32_t i = 0; i < VSOCK_BUCKETS_COUNT; i++)
        LIST_INIT(&vsock->buckets[i]);
    TAILQ_INIT(&vsock->all);
    TAILQ_INIT(&vsock->ready);
    TAILQ_INIT(&vsock->expiring);
    vsock->last_local_port = VSOCK_LOCAL_PORT_FIRST - 1;
}

/* Who has connected and named no port for longest, or NULL. */
static struct vsock_conn *find_silent(struct vsock *vsock)
{
    struct vsock_conn *conn;
    TAILQ_FOREACH(conn, &vsock->all, in_all)
    {
        if (conn->state == VSOCK_LINE)
            break;
    }
    return conn;
}

/* That one goes. False: there is none. */
static bool make_room(struct vsock *vsock)
{
    struct vsock_conn *conn = find_silent(vsock);
    if (!conn)
        return false;
    log_guest_info("vsock: a host program's stream was closed: it has named no port, and there are "
                   "%u, of at most %u",
                   vsock->conns_count, VSOCK_CONNS_MAX);
    vsock_conn_remove(conn);
    return true;
}

struct vsock_conn *vsock_conn_create(struct vsock *vsock, int fd)
{
    if (vsock->conns_count == VSOCK_CONNS_MAX && !make_room(vsock))
        return NULL;
    struct vsock_conn *conn = calloc(1, sizeof(*conn));
    if (!conn)
        return NULL;
    conn->vsock = vsock;
    conn->state = VSOCK_LINE;
    conn->chains_hint = 1;
    conn->src = (struct loop_src){.fd = fd, .fn = vsock_on_socket, .ctx = conn};
    TAILQ_INSERT_TAIL(&vsock->all, conn, in_all);
    vsock->conns_count++;
    return conn;
}

static struct vsock_bucket *bucket_of(struct vsock *vsock, uint32_t local_port, uint32_t peer_port)
{
    /* The guest may choose ports that all share one: a walk of VSOCK_CONNS_MAX at most. */
    uint32_t hash = local_port ^ peer_port * 2654435761u;
    return &vsock->buckets[(hash ^ hash >> 16) % VSOCK_BUCKETS_COUNT];
}

void vsock_conn_register(struct vsock_conn *conn, uint32_t local_port, uint32_t peer_port)
{
    assert(conn->state == VSOCK_LINE);
    conn->local_port = local_port;
    conn->peer_port = peer_port;
    LIST_INSERT_HEAD(bucket_of(conn->vsock, local_port, peer_port), conn, in_bucket);
}

struct vsock_conn *vsock_conn_find(struct vsock *vsock, uint32_t local_port, uint32_t peer_port)
{
    struct vsock_conn *conn;
    LIST_FOREACH(conn, bucket_of(vsock, local_port, peer_port), in_bucket)
    {
        if (conn->local_port == local_port && conn->peer_port == peer_port)
            break;
    }
    return conn;
}

void vsock_conn_remove(struct vsock_conn *conn)
{
    struct vsock *vsock = conn->vsock;

    vsock_conn_close_host(conn);
    vsock_conn_clear_deadline(conn);
    vsock_conn_dequeue(conn);
    if (conn->state == VSOCK_CONNECTING)
        vsock->connecting_count--;
    if (conn->state != VSOCK_LINE)
        LIST_REMOVE(conn, in_bucket);
    if (conn->counted)
        metric_inc(&metrics.vsock.conns_removed);
    TAILQ_REMOVE(&vsock->all, conn, in_all);
    vsock->conns_count--;
    free(conn);
}

void vsock_conn_remove_all(struct vsock *vsock)
{
    struct vsock_conn *next;
    for (struct vsock_conn *conn = TAILQ_FIRST(&vsock->all); conn; conn = next) {
        next = TAILQ_NEXT(conn, in_all);
        vsock_conn_remove(conn);
    }
    vsock->rsts_count = 0;
    vsock->last_local_port = VSOCK_LOCAL_PORT_FIRST - 1;
    vsock->stale = false;
}

static bool local_port_used(struct vsock *vsock, uint32_t port)
{
    struct vsock_conn *conn;
    TAILQ_FOREACH(conn, &vsock->all, in_all)
    {
        if (conn->state != VSOCK_LINE && conn->local_port == port)
            return true;
    }
    return false;
}

uint32_t vsock_local_port_next(struct vsock *vsock)
{
    uint32_t port = vsock->last_local_port;
    do { /* ends: there are far more ports than streams */
        port++;
        if (port >= VSOCK_LOCAL_PORT_END)
            port = VSOCK_LOCAL_PORT_FIRST;
    } while (local_port_used(vsock, port));
    vsock->last_local_port = port;
    return port;
}

void vsock_conn_enqueue(struct vsock_conn *conn, uint32_t pending)
{
    conn->pending |= pending;
    if (conn->queued)
        return;
    conn->queued = true;
    TAILQ_INSERT_TAIL(&conn->vsock->ready, conn, in_ready);
}

void vsock_conn_dequeue(struct vsock_conn *conn)
{
    if (!conn->queued)
        return;
    conn->queued = false;
    TAILQ_REMOVE(&conn->vsock->ready, conn, in_ready);
}

void vsock_conn_set_deadline(struct vsock_conn *conn)
{
    struct vsock *vsock = conn->vsock;
    vsock_conn_clear_deadline(conn);
    conn->deadline_ns = clock_now_ns(vsock->env.clock) + VSOCK_ANSWER_MAX_NS;
    TAILQ_INSERT_TAIL(&vsock->expiring, conn, in_expiring); /* all have the same time */
    vsock_arm_timer(vsock);
}

void vsock_conn_clear_deadline(struct vsock_conn *conn)
{
    if (conn->deadline_ns == 0)
        return;
    conn->deadline_ns = 0;
    TAILQ_REMOVE(&conn->vsock->expiring, conn, in_expiring);
}

void vsock_refuse(struct vsock *vsock, uint32_t local_port, uint32_t peer_port)
{
    if (vsock->rsts_count == VSOCK_RSTS_MAX) {
        log_guest_warn("vsock: %u refusals wait for the guest's buffers; one more is dropped",
                       VSOCK_RSTS_MAX);
        return;
    }
    vsock->rsts[(vsock->rsts_first + vsock->rsts_count++) % VSOCK_RSTS_MAX] =
        (struct vsock_rst){local_port, peer_port};
}
