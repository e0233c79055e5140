/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The API's thread: a loop over the listening socket and the connections. Each connection has one
 * request answered a turn; what it has already sent beyond that waits for the next turn, behind the
 * others. Thread: api ("fc_api"); open, start and free: vmm. Spec: api.md 1.1.
 */
#include "api/server.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include "api/server_int.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"

/* After an accept that failed for want of something, before the next. */
#define ACCEPT_PAUSE_NS (100 * NS_PER_MS)

/* What a peer that does not read its last reply may cost at the end, all of them together. */
#define STOP_WAIT_NS NS_PER_S

/* What one connection too many is told (api.md 1.1). No space behind 503, unlike in every other
 * status line. */
static const char too_many_connections[] =
    "HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
    "{ \"error\": \"Too many open connections\" }";

struct api_server {
    struct api_server_options options;
    struct ctl_mailbox *mailbox;
    struct loop *loop;
    struct loop_src listener;
    struct loop_timer accepts; /* behind the events of a batch, or after a pause */
    struct loop_timer turns;   /* a connection has more to be answered */
    struct api_conn *conns[API_CONNECTIONS_MAX]; /* NULL: free */
    uint32_t conns_count;
    uint32_t first_turn; /* index of the connection that has the next turn first */
    bool started;
    pthread_t thread;
};

static void conn_drop(struct api_server *server, struct api_conn *conn)
{
    loop_remove(server->loop, &conn->src);
    for (uint32_t i = 0; i < API_CONNECTIONS_MAX; i++) {
        if (server->conns[i] == conn)
            server->conns[i] = NULL;
    }
    server->conns_count--;
    api_conn_close(conn);
}

/* After each step of a connection; rc: what the step came to. */
static void conn_settle(struct api_server *server, struct api_conn *conn, int rc)
{
    if (rc == 0)
        rc = loop_modify(server->loop, &conn->src, api_conn_events(conn));
    if (rc < 0) {
        log_debug("API connection closed: %s", ERR_OS(rc));
        conn_drop(server, conn);
        return;
    }
    if (api_conn_has_turn(conn) && !loop_timer_armed(&server->turns))
        loop_timer_arm(server->loop, &server->turns, 0);
}

/* The peer's end, and whether a request of its was lost by it. Looks only when it is to be told. */
static void log_peer_gone(const struct api_conn *conn)
{
    char byte;

    if (!log_on(LOG_LEVEL_DEBUG))
        return;
    if (api_conn_has_turn(conn) || recv(conn->src.fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) > 0)
        log_debug("API connection closed by its peer before its last request was answered");
    else
        log_debug("API connection closed by its peer");
}

static void on_conn(struct loop_src *src, uint32_t revents)
{
    struct api_server *server = src->ctx;
    struct api_conn *conn = CONTAINER_OF(src, struct api_conn, src);
    int rc = 0;

    /* A peer that will not read or send any more: what it has sent is dropped. */
    if (revents & (EPOLLERR | EPOLLHUP | EPOLLRDHUP)) {
        log_peer_gone(conn);
        conn_drop(server, conn);
        return;
    }
    if (api_conn_has_turn(conn))
        return; /* its turn comes */
    if (revents & EPOLLOUT)
        rc = api_conn_flush(conn);
    else
        rc = api_conn_read(conn);
    if (rc == 0 && (revents & EPOLLIN) && api_conn_has_turn(conn))
        rc = api_conn_serve(conn, &server->options, server->mailbox);
    conn_settle(server, conn, rc);
}

static void on_turns(struct loop_timer *timer)
{
    struct api_server *server = timer->ctx;
    uint32_t first = server->first_turn;

    server->first_turn = (first + 1) % API_CONNECTIONS_MAX;
    for (uint32_t i = 0; i < API_CONNECTIONS_MAX; i++) {
        struct api_conn *conn = server->conns[(first + i) % API_CONNECTIONS_MAX];
        if (conn && api_conn_has_turn(conn))
            conn_settle(server, conn, api_conn_serve(conn, &server->options, server->mailbox));
    }
}

/* The eleventh is told so. What it has sent is read first: closing with bytes unread would reset
 * the connection, and some peers would see that instead. */
static void conn_refuse(const struct api_server *server, int fd)
{
    char scratch[API_READ_SIZE];

    IGNORE_RESULT(recv(fd, scratch, sizeof(scratch), MSG_DONTWAIT)); /* as good as it gets */
    IGNORE_RESULT(send(fd, too_many_connections, strlen(too_many_connections),
                       MSG_DONTWAIT | MSG_NOSIGNAL) < 0); /* a new socket has room */
    if (server->options.scrapes)
        log_debug("Metrics connection refused: %u are open", API_CONNECTIONS_MAX);
    else
        log_warn("API connection refused: %u are open", API_CONNECTIONS_MAX);
}

/* Has the peer ended its half already? What it has sent is dropped then, as when the loop tells. */
static bool peer_is_gone(const struct api_conn *conn)
{
    struct pollfd pollfd = {.fd = conn->src.fd, .events = POLLRDHUP};

    return poll(&pollfd, 1, 0) > 0;
}

static int conn_add(struct api_server *server, int *fd)
{
    struct api_conn *conn = NULL;
    int rc = api_conn_open(fd, server->options.body_max_size, &conn);
    if (rc < 0)
        return rc;
    conn->src.fn = on_conn;
    conn->src.ctx = server;
    uint32_t idx = 0;
    while (server->conns[idx])
        idx++;
    server->conns[idx] = conn;
    server->conns_count++;

    /* Most clients have sent by now: read before the loop is asked to tell. */
    int step_rc = api_conn_read(conn);
    if (step_rc == 0 && api_conn_has_turn(conn) && !peer_is_gone(conn))
        step_rc = api_conn_serve(conn, &server->options, server->mailbox);
    conn->src.events = api_conn_events(conn);
    rc = loop_add(server->loop, &conn->src);
    conn_settle(server, conn, rc < 0 ? rc : step_rc);
    return rc;
}

/* Nothing to be had now: the sockets wait in the backlog, and the thread does not spin. */
static void accept_pause(struct api_server *server, int rc)
{
    log_error("Cannot accept an API connection: %s", ERR_OS(rc));
    IGNORE_RESULT(loop_modify(server->loop, &server->listener, 0)); /* added: cannot fail */
    loop_timer_arm(server->loop, &server->accepts, ACCEPT_PAUSE_NS);
}

static void on_accepts(struct loop_timer *timer)
{
    struct api_server *server = timer->ctx;

    int rc = loop_modify(server->loop, &server->listener, EPOLLIN);
    if (rc < 0) { /* from silence it is a new registration, which the kernel may refuse */
        accept_pause(server, rc);
        return;
    }
    FD_AUTO int fd = accept4(server->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0) {
        if (errno != EAGAIN && errno != EINTR && errno != ECONNABORTED)
            accept_pause(server, -errno);
        return;
    }
    if (server->conns_count == API_CONNECTIONS_MAX) {
        conn_refuse(server, fd);
        return;
    }
    rc = conn_add(server, &fd);
    if (rc < 0)
        log_error("Cannot serve an API connection: %s", ERR_OS(rc));
}

/* Accepts behind the batch's other events: a peer that closed one connection before it made the
 * next must not be one too many. */
static void on_listener(struct loop_src *src, uint32_t revents)
{
    struct api_server *server = src->ctx;

    (void)revents;
    if (!loop_timer_armed(&server->accepts))
        loop_timer_arm(server->loop, &server->accepts, 0);
}

/* Writes the replies that were due when the server was stopped. Nobody waits for a scraper. */
static void finish_replies(struct api_server *server)
{
    if (server->options.scrapes)
        return;
    uint64_t until_ns = clock_mono_ns() + STOP_WAIT_NS;

    for (uint32_t i = 0; i < API_CONNECTIONS_MAX; i++) {
        struct api_conn *conn = server->conns[i];
        int rc = 0;
        while (conn && conn->out && rc == 0) {
            uint64_t now_ns = clock_mono_ns();
            if (now_ns >= until_ns)
                return;
            struct pollfd pollfd = {.fd = conn->src.fd, .events = POLLOUT};
            /* A failure shows in the write that follows. */
            (void)poll(&pollfd, 1, (int)((until_ns - now_ns) / NS_PER_MS + 1));
            rc = api_conn_flush(conn);
        }
    }
}

static void *thread_main(void *arg)
{
    struct api_server *server = arg;
    struct err err = ERR_INIT;

    const char *name = server->options.scrapes ? "fc_metrics" : "fc_api";

    (void)pthread_setname_np(pthread_self(), name);
    log_name_thread(name);
    thread_enter(&server->options.entry);
    if (!server->options.scrapes)
        log_info("API server started.");
    if (loop_run(server->loop, &err) < 0)
        log_error("The API server has failed: %s", err.msg);
    finish_replies(server);
    return NULL;
}

int api_server_open(const struct api_server_options *options, struct api_server **ret_server,
                    struct err *err)
{
    struct api_server *server = calloc(1, sizeof(*server));
    if (!server)
        return err_set(err, -ENOMEM, "Cannot create the API server: %s", ERR_OS(ENOMEM));
    server->options = *options;
    server->listener =
        (struct loop_src){.fd = FD_NONE, .events = EPOLLIN, .fn = on_listener, .ctx = server};
    server->accepts = (struct loop_timer){.fn = on_accepts, .ctx = server};
    server->turns = (struct loop_timer){.fn = on_turns, .ctx = server};

    int rc = api_listen_open(options, err);
    if (rc < 0)
        goto err_free;
    server->listener.fd = rc;
    rc = loop_create(clock_real(), &server->loop, err);
    if (rc < 0)
        goto err_free;
    rc = loop_add(server->loop, &server->listener);
    if (rc < 0) {
        err_set(err, rc, "Cannot watch the API socket: %s", ERR_OS(rc));
        goto err_free;
    }
    *ret_server = server;
    return 0;

err_free:
    api_server_free(server);
    return rc;
}

int api_server_start(struct api_server *server, struct ctl_mailbox *mailbox, struct err *err)
{
    server->mailbox = mailbox;
    int rc = pthread_create(&server->thread, NULL, thread_main, server);
    if (rc != 0)
        return err_set(err, -rc, "Cannot start the API thread: %s", ERR_OS(rc));
    server->started = true;
    return 0;
}

void api_server_free(struct api_server *server)
{
    if (!server)
        return;
    if (server->started) {
        loop_stop(server->loop);
        (void)pthread_join(server->thread, NULL);
    }
    for (uint32_t i = 0; i < API_CONNECTIONS_MAX; i++)
        api_conn_close(server->conns[i]);
    fd_close(&server->listener.fd);
    loop_free(server->loop);
    free(server);
}
