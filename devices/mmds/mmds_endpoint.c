/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The connections of one interface: finding, opening, making room, refusing; whose turn it is to
 * send. Thread: vmm, under the interface's lock. Spec: mmds.md 3.
 */
#include <string.h>

#include "base/metrics.h"
#include "devices/mmds/mmds_net.h"

static void queue_reset(struct mmds_endpoint *endpoint, const struct mmds_segment *reset)
{
    if (endpoint->resets_count == MMDS_RESETS_MAX)
        return; /* the guest asks again */
    uint32_t idx = (endpoint->resets_first + endpoint->resets_count++) % MMDS_RESETS_MAX;
    endpoint->resets[idx] = *reset;
}

static void end(struct mmds_endpoint *endpoint, struct mmds_conn *conn, enum mmds_fate fate)
{
    if (fate == MMDS_FATE_STAYS)
        return;
    if (fate == MMDS_FATE_RESET) {
        const struct mmds_segment reset = mmds_conn_reset_of(conn);
        queue_reset(endpoint, &reset);
    }
    mmds_conn_close(conn);
    endpoint->conns_count--;
    metric_inc(&metrics.mmds.connections_destroyed);
}

/* Refuses a segment that belongs to no connection (RFC 9293, 3.10.7.1). */
static void refuse(struct mmds_endpoint *endpoint, const struct mmds_segment *segment)
{
    struct mmds_segment reset = {.peer = segment->peer, .port = MMDS_PORT, .flags = MMDS_RST};

    if (segment->flags & MMDS_RST)
        return;
    if (segment->flags & MMDS_ACK) {
        reset.seq = segment->ack;
    } else {
        reset.flags |= MMDS_ACK;
        reset.ack = segment->seq + (uint32_t)segment->payload_len + !!(segment->flags & MMDS_SYN) +
                    !!(segment->flags & MMDS_FIN);
    }
    queue_reset(endpoint, &reset);
}

static struct mmds_conn *find(struct mmds_endpoint *endpoint, const struct mmds_peer *peer)
{
    for (uint32_t i = 0; i < MMDS_CONNS_MAX; i++) {
        struct mmds_conn *conn = &endpoint->conns[i];
        if (conn->used && conn->peer.port == peer->port &&
            memcmp(conn->peer.ip, peer->ip, sizeof(peer->ip)) == 0)
            return conn;
    }
    return NULL;
}

/* A place for one more: free, or of the one that has been idle for longest and for long; or
 * NULL. */
static struct mmds_conn *make_room(struct mmds_endpoint *endpoint, uint64_t now_ns)
{
    struct mmds_conn *idle = &endpoint->conns[0];

    for (uint32_t i = 0; i < MMDS_CONNS_MAX; i++) {
        struct mmds_conn *conn = &endpoint->conns[i];
        if (!conn->used)
            return conn;
        if (conn->received_ns < idle->received_ns)
            idle = conn;
    }
    if (now_ns - idle->received_ns <= MMDS_EVICT_NS)
        return NULL;
    end(endpoint, idle, MMDS_FATE_RESET);
    return idle;
}

/* Nobody makes room for a SYN that comes to nothing. */
static void open_conn(struct mmds_endpoint *endpoint, struct mmds *mmds,
                      const struct mmds_segment *syn, uint64_t now_ns)
{
    struct mmds_conn made;
    uint32_t first_seq;

    if (mmds->env.random(mmds->env.ctx, &first_seq, sizeof(first_seq)) < 0)
        return; /* as if the SYN was lost */
    if (mmds_conn_open(&made, mmds, syn, first_seq, now_ns) < 0)
        return;
    struct mmds_conn *conn = make_room(endpoint, now_ns);
    if (!conn) {
        refuse(endpoint, syn);
        return;
    }
    *conn = made;
    endpoint->conns_count++;
    metric_inc(&metrics.mmds.connections_created);
}

void mmds_endpoint_receive(struct mmds_endpoint *endpoint, struct mmds *mmds,
                           const struct mmds_segment *segment)
{
    uint64_t now_ns = clock_now_ns(mmds->env.clock);
    struct mmds_conn *conn = find(endpoint, &segment->peer);

    if (conn)
        end(endpoint, conn, mmds_conn_receive(conn, segment, now_ns));
    else if (segment->flags == MMDS_SYN)
        open_conn(endpoint, mmds, segment, now_ns);
    else
        refuse(endpoint, segment);
}

static bool send_reset(struct mmds_endpoint *endpoint, struct mmds_segment *ret_segment)
{
    if (endpoint->resets_count == 0)
        return false;
    *ret_segment = endpoint->resets[endpoint->resets_first];
    endpoint->resets_first = (endpoint->resets_first + 1) % MMDS_RESETS_MAX;
    endpoint->resets_count--;
    return true;
}

bool mmds_endpoint_send(struct mmds_endpoint *endpoint, uint64_t now_ns,
                        struct mmds_segment *ret_segment)
{
    if (send_reset(endpoint, ret_segment))
        return true;
    for (uint32_t i = 0; i < MMDS_CONNS_MAX && endpoint->conns_count > 0; i++) {
        uint32_t idx = (endpoint->turn + i) % MMDS_CONNS_MAX;
        struct mmds_conn *conn = &endpoint->conns[idx];
        if (!conn->used)
            continue;
        end(endpoint, conn, mmds_conn_tick(conn, now_ns));
        if (!conn->used)
            return send_reset(endpoint, ret_segment);
        if (mmds_conn_send(conn, now_ns, ret_segment)) {
            endpoint->turn = (idx + 1) % MMDS_CONNS_MAX;
            return true;
        }
    }
    return false;
}

uint64_t mmds_endpoint_due_ns(const struct mmds_endpoint *endpoint)
{
    uint64_t first_ns = 0;

    for (uint32_t i = 0; i < MMDS_CONNS_MAX && endpoint->conns_count > 0; i++) {
        const struct mmds_conn *conn = &endpoint->conns[i];
        uint64_t due_ns = conn->used ? mmds_conn_due_ns(conn) : 0;
        if (due_ns > 0 && (first_ns == 0 || due_ns < first_ns))
            first_ns = due_ns;
    }
    return first_ns;
}

void mmds_endpoint_reset(struct mmds_endpoint *endpoint)
{
    for (uint32_t i = 0; i < MMDS_CONNS_MAX; i++) {
        if (!endpoint->conns[i].used)
            continue;
        mmds_conn_close(&endpoint->conns[i]);
        metric_inc(&metrics.mmds.connections_destroyed);
    }
    endpoint->conns_count = 0;
    endpoint->turn = 0;
    endpoint->resets_first = endpoint->resets_count = 0;
}
