/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One connection: reads once a turn, finds one request at a time, writes each reply in one piece
 * and keeps what the socket does not take. Descriptors that a peer sends along are never received:
 * a read without room for them has the kernel close them. Thread: api. Spec: api.md 1.1, 1.2.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/server_int.h"
#include "base/fd.h"

/* Reads of API_READ_SIZE before a connection is closed: more than a socket holds. */
#define END_READS_MAX 64

int api_conn_open(int *fd, size_t body_max_size, struct api_conn **ret_conn)
{
    struct api_conn *conn = malloc(sizeof(*conn));

    if (!conn)
        return -ENOMEM;
    /* `in` stays untouched until something is read into it. */
    memset(conn, 0, offsetof(struct api_conn, in));
    if (http_reader_create(body_max_size, &conn->reader) < 0) {
        free(conn);
        return -ENOMEM;
    }
    conn->src.fd = fd_steal(fd);
    *ret_conn = conn;
    return 0;
}

void api_conn_close(struct api_conn *conn)
{
    if (!conn)
        return;
    fd_close(&conn->src.fd);
    http_reader_free(conn->reader);
    free(conn->out);
    free(conn);
}

uint32_t api_conn_events(const struct api_conn *conn)
{
    return (conn->out ? EPOLLOUT : EPOLLIN) | EPOLLRDHUP;
}

bool api_conn_has_turn(const struct api_conn *conn)
{
    return conn->found != 0 && !conn->out;
}

/* Sends as much as the socket takes. Returns the bytes or -errno. */
static ssize_t send_some(struct api_conn *conn, const char *text, size_t len)
{
    ssize_t sent;

    do {
        sent = send(conn->src.fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
    } while (sent < 0 && errno == EINTR);
    if (sent < 0)
        return errno == EAGAIN ? 0 : -errno;
    return sent;
}

/* Sends or keeps heap text, which is the connection's from now on. */
static int send_text(struct api_conn *conn, char *text, size_t len)
{
    ssize_t sent = send_some(conn, text, len);

    if (sent < 0 || (size_t)sent == len) {
        free(text);
        return sent < 0 ? (int)sent : 0;
    }
    conn->out = text;
    conn->out_len = len;
    conn->out_off = (size_t)sent;
    return 0;
}

/* "100 Continue", where the request that is being read waits for it. */
static int send_continue(struct api_conn *conn)
{
    uint32_t minor = 0;

    if (!http_reader_take_continue(conn->reader, &minor))
        return 0;
    char *text = malloc(HTTP_CONTINUE_MAX_SIZE);
    if (!text)
        return -ENOMEM;
    size_t len = http_continue_render(minor, text);
    return send_text(conn, text, len);
}

/* Gives the reader what is left of the last read. Returns 0 or negative. */
static int feed(struct api_conn *conn)
{
    ssize_t taken =
        http_reader_feed(conn->reader, conn->in + conn->in_off, conn->in_len - conn->in_off);

    if (taken <= 0)
        return taken < 0 ? (int)taken : -ENOBUFS; /* not after a look that found nothing */
    conn->in_off += (size_t)taken;
    return 0;
}

/* Looks for the next request in what was read. Returns 0 or negative. */
static int look(struct api_conn *conn)
{
    for (;;) {
        conn->found = http_reader_next(conn->reader, &conn->request, &conn->err);
        if (conn->found != 0 || conn->in_off == conn->in_len)
            break;
        int rc = feed(conn);
        if (rc < 0)
            return rc;
    }
    if (conn->found < 0 && http_reader_rest(conn->reader) != HTTP_REST_SKIP)
        conn->in_off = conn->in_len; /* what followed the breach is dropped with it */
    conn->ends = conn->found < 0 && http_reader_rest(conn->reader) == HTTP_REST_CLOSE;
    return conn->found == 0 ? send_continue(conn) : 0;
}

/* Behind a reply. What a peer has sent that is not to be looked at is read all the same: closing
 * with bytes unread would reset the connection, and some peers would see that instead of the
 * reply. */
static int go_on(struct api_conn *conn)
{
    if (!conn->ends)
        return look(conn);
    for (int i = 0; i < END_READS_MAX; i++) {
        if (recv(conn->src.fd, conn->in, sizeof(conn->in), MSG_DONTWAIT) <= 0)
            break; /* as good as it gets */
    }
    return -ECONNABORTED;
}

int api_conn_read(struct api_conn *conn)
{
    ssize_t len = recv(conn->src.fd, conn->in, sizeof(conn->in), MSG_DONTWAIT);

    if (len < 0)
        return errno == EAGAIN || errno == EINTR ? 0 : -errno;
    if (len == 0)
        return -ECONNRESET;
    conn->in_off = 0;
    conn->in_len = (size_t)len;
    return look(conn);
}

int api_conn_serve(struct api_conn *conn, const struct api_server_options *options,
                   struct ctl_mailbox *mailbox)
{
    char *text = NULL;
    size_t len = 0;
    int rc;

    if (conn->found < 0 && options->scrapes)
        rc = api_serve_scrape_breach(&conn->err, conn->ends, &text, &len);
    else if (conn->found < 0)
        rc = api_serve_breach(&conn->err, conn->ends, &text, &len);
    else if (options->scrapes)
        rc = api_serve_scrape(&conn->request, &text, &len);
    else
        rc = api_serve_request(options, mailbox, &conn->request, &text, &len);
    conn->found = 0;
    if (rc == 0)
        rc = send_text(conn, text, len);
    if (rc < 0 || conn->out)
        return rc;
    return go_on(conn);
}

int api_conn_flush(struct api_conn *conn)
{
    if (!conn->out)
        return 0;
    ssize_t sent = send_some(conn, conn->out + conn->out_off, conn->out_len - conn->out_off);
    if (sent < 0)
        return (int)sent;
    conn->out_off += (size_t)sent;
    if (conn->out_off < conn->out_len)
        return 0;
    free(conn->out);
    conn->out = NULL;
    return go_on(conn);
}
