/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One TCP connection of the guest: opened by it, closed by it, one request at a time. What does not
 * come in order is dropped and acknowledged anew; what is not acknowledged is sent again from there
 * on. Numbers are compared modulo 2^32. Thread: vmm, under the interface's lock. Spec: mmds.md 3;
 * RFC 9293, 3.10.7.
 */
#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/metrics.h"
#include "devices/mmds/mmds_net.h"

int mmds_conn_open(struct mmds_conn *conn, struct mmds *mmds, const struct mmds_segment *syn,
                   uint32_t first_seq, uint64_t now_ns)
{
    uint16_t mss;

    if (syn->payload_len > 0)
        return -EPROTO;
    int rc = mmds_segment_mss(syn, &mss);
    if (rc < 0)
        return rc;
    *conn = (struct mmds_conn){
        .used = true,
        .mmds = mmds,
        .peer = syn->peer,
        .mss = mss,
        .received_ns = now_ns,
        .first_seq = first_seq,
        .una = first_seq,
        .next = first_seq,
        .max = first_seq,
        .limit = first_seq + 1 + syn->window,
        .their_first_seq = syn->seq,
        .wanted = syn->seq + 1,
        .edge = syn->seq + 1,
    };
    return 0;
}

static void drop_response(struct mmds_conn *conn)
{
    if (!conn->response)
        return;
    conn->mmds->responses_size -= conn->response_len;
    free(conn->response);
    conn->response = NULL;
}

void mmds_conn_close(struct mmds_conn *conn)
{
    drop_response(conn);
    conn->used = false;
}

/* Everything from the oldest byte that is not acknowledged is sent again. */
static void go_back(struct mmds_conn *conn, uint64_t now_ns)
{
    conn->next = conn->una;
    conn->sent_ns = now_ns;
}

/* ------------------------------------------------------------------ from the guest */

/* Takes the acknowledgement and the window. False: it acknowledges what was never sent. */
static bool take_ack(struct mmds_conn *conn, const struct mmds_segment *segment, uint64_t now_ns)
{
    uint32_t limit = segment->ack + segment->window;

    if (mmds_seq_before(conn->max, segment->ack))
        return false;
    if (mmds_seq_before(segment->ack, conn->una))
        return true; /* an old one, overtaken */
    if (segment->ack != conn->una) {
        conn->una = segment->ack;
        if (mmds_seq_before(conn->next, conn->una))
            conn->next = conn->una;
        conn->sent_ns = now_ns;
        conn->retries = 0;
    } else if (conn->una != conn->max && segment->payload_len == 0 &&
               !(segment->flags & MMDS_FIN) && limit == conn->limit) {
        go_back(conn, now_ns); /* it misses something */
    }
    conn->limit = limit;
    return true;
}

/* Takes payload and FIN, if they are what comes next and in the window that was promised. */
static void take_payload(struct mmds_conn *conn, const struct mmds_segment *segment)
{
    size_t len = segment->payload_len;

    if (len == 0 && !(segment->flags & MMDS_FIN) && segment->seq == conn->wanted)
        return;
    conn->owes_ack = true;
    /* Behind a FIN there is nothing, and what is not here was sent beyond the window. */
    if (segment->seq != conn->wanted || conn->their_fin || len > conn->edge - conn->wanted ||
        len > segment->payload_here)
        return;
    assert(conn->request_len + len <= sizeof(conn->request)); /* the window was that small */
    if (len > 0)
        memcpy(conn->request + conn->request_len, segment->payload, len);
    conn->request_len += (uint32_t)len;
    conn->wanted += (uint32_t)len;
    if (segment->flags & MMDS_FIN) {
        conn->their_fin = true;
        conn->wanted++;
        conn->edge = conn->wanted;
    }
}

/* Bytes of the first whole request, or 0: up to an empty line, whose CR may be missing. */
static uint32_t request_end(const struct mmds_conn *conn)
{
    const uint8_t *at = conn->request;

    for (uint32_t i = 1; i < conn->request_len; i++) {
        if (at[i] != '\n')
            continue;
        if (at[i - 1] == '\n' || (i >= 2 && at[i - 1] == '\r' && at[i - 2] == '\n'))
            return i + 1;
    }
    return 0;
}

static uint32_t response_end(const struct mmds_conn *conn)
{
    return conn->response_seq + (uint32_t)conn->response_len;
}

/* Makes the response to the first `len` bytes. Returns 0 or negative. */
static int answer(struct mmds_conn *conn, uint32_t len)
{
    char *response;
    size_t response_len;
    if (conn->mmds->responses_size > MMDS_RESPONSES_MAX_SIZE)
        return -ENOBUFS;
    int rc =
        mmds_http_answer(conn->mmds, (const char *)conn->request, len, &response, &response_len);

    if (rc < 0)
        return rc;
    if (response_len > MMDS_RESPONSE_MAX_SIZE) {
        free(response);
        return -EFBIG;
    }
    conn->response = response;
    conn->response_len = response_len;
    conn->mmds->responses_size += response_len;
    conn->response_seq = conn->max;
    return 0;
}

/* The next request that is whole gets its response. */
static enum mmds_fate serve(struct mmds_conn *conn)
{
    if (conn->response && conn->una == response_end(conn))
        drop_response(conn);
    if (conn->response || conn->closing)
        return MMDS_FATE_STAYS;
    uint32_t end = request_end(conn);
    if (end > 0) {
        if (answer(conn, end) < 0) {
            metric_inc(&metrics.mmds.tx_errors);
            return MMDS_FATE_RESET;
        }
        conn->request_len -= end;
        memmove(conn->request, conn->request + end, conn->request_len);
        conn->owes_ack = true; /* the window has grown */
    } else if (conn->request_len == sizeof(conn->request)) {
        return MMDS_FATE_RESET;
    } else if (conn->their_fin) {
        conn->closing = true;
        conn->fin_seq = conn->max;
    }
    return MMDS_FATE_STAYS;
}

static enum mmds_fate receive_syn(struct mmds_conn *conn, const struct mmds_segment *segment,
                                  uint64_t now_ns)
{
    if (conn->established || segment->flags != MMDS_SYN || segment->seq != conn->their_first_seq)
        return MMDS_FATE_RESET;
    go_back(conn, now_ns); /* our answer was lost */
    return MMDS_FATE_STAYS;
}

enum mmds_fate mmds_conn_receive(struct mmds_conn *conn, const struct mmds_segment *segment,
                                 uint64_t now_ns)
{
    conn->received_ns = now_ns;
    if (segment->flags & MMDS_RST) {
        bool meant =
            segment->seq == conn->wanted || segment->seq - conn->wanted < conn->edge - conn->wanted;
        return meant ? MMDS_FATE_OVER : MMDS_FATE_STAYS;
    }
    if (segment->flags & MMDS_SYN)
        return receive_syn(conn, segment, now_ns);
    if (!(segment->flags & MMDS_ACK))
        return MMDS_FATE_STAYS; /* says nothing that can be relied on */
    if (!conn->established) {
        if (segment->ack != conn->first_seq + 1 || conn->max == conn->first_seq)
            return MMDS_FATE_RESET;
        conn->established = true;
    }
    if (!take_ack(conn, segment, now_ns)) {
        conn->owes_ack = true;
        return MMDS_FATE_STAYS;
    }
    take_payload(conn, segment);
    if (serve(conn) == MMDS_FATE_RESET)
        return MMDS_FATE_RESET;
    return conn->closing && conn->una == conn->fin_seq + 1 ? MMDS_FATE_OVER : MMDS_FATE_STAYS;
}

enum mmds_fate mmds_conn_tick(struct mmds_conn *conn, uint64_t now_ns)
{
    uint64_t due_ns = mmds_conn_due_ns(conn);

    if (due_ns == 0 || now_ns < due_ns)
        return MMDS_FATE_STAYS;
    if (conn->retries == MMDS_RETRIES_MAX)
        return MMDS_FATE_RESET;
    conn->retries++;
    go_back(conn, now_ns);
    return MMDS_FATE_STAYS;
}

uint64_t mmds_conn_due_ns(const struct mmds_conn *conn)
{
    return conn->una != conn->max ? conn->sent_ns + MMDS_RETRANSMIT_NS : 0;
}

/* ------------------------------------------------------------------ to the guest */

/* Bytes of the response that may be sent now. */
static uint32_t sendable_len(const struct mmds_conn *conn)
{
    uint32_t end = response_end(conn);

    if (!conn->response || !mmds_seq_before(conn->next, conn->limit) ||
        !mmds_seq_before(conn->next, end))
        return 0;
    uint32_t len = end - conn->next;
    if (len > conn->limit - conn->next)
        len = conn->limit - conn->next;
    if (len > conn->mss)
        len = conn->mss;
    return len < MMDS_PAYLOAD_MAX_SIZE ? len : MMDS_PAYLOAD_MAX_SIZE;
}

/* What all segments have; it is on its way: takes `len` numbers. */
static void fill(struct mmds_conn *conn, uint32_t len, uint64_t now_ns,
                 struct mmds_segment *segment)
{
    uint32_t edge = conn->wanted + (MMDS_REQUEST_MAX_SIZE - conn->request_len);

    if (mmds_seq_before(conn->edge, edge))
        conn->edge = edge;
    segment->peer = conn->peer;
    segment->port = MMDS_PORT;
    segment->seq = conn->next;
    segment->ack = conn->wanted;
    segment->window = (uint16_t)(conn->edge - conn->wanted);
    conn->owes_ack = false;
    if (conn->una == conn->max)
        conn->sent_ns = now_ns;
    conn->next += len;
    if (mmds_seq_before(conn->max, conn->next))
        conn->max = conn->next;
}

bool mmds_conn_send(struct mmds_conn *conn, uint64_t now_ns, struct mmds_segment *ret_segment)
{
    struct mmds_segment segment = {.flags = MMDS_ACK};
    uint32_t len = 0;

    if (!conn->established) {
        if (conn->next != conn->first_seq)
            return false;
        segment.flags |= MMDS_SYN;
        segment.mss = conn->mss;
        len = 1;
    } else if ((len = sendable_len(conn)) > 0) {
        segment.flags |= MMDS_PSH;
        segment.payload = (const uint8_t *)conn->response + (conn->next - conn->response_seq);
        segment.payload_len = len;
    } else if (conn->closing && conn->next == conn->fin_seq) {
        segment.flags |= MMDS_FIN;
        len = 1;
    } else if (!conn->owes_ack) {
        return false;
    }
    fill(conn, len, now_ns, &segment);
    *ret_segment = segment;
    return true;
}

struct mmds_segment mmds_conn_reset_of(const struct mmds_conn *conn)
{
    return (struct mmds_segment){
        .peer = conn->peer,
        .port = MMDS_PORT,
        .seq = conn->max,
        .ack = conn->wanted,
        .flags = MMDS_RST | MMDS_ACK,
    };
}
