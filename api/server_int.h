/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to api: the pieces of the server. server.c has the thread, the listening socket and the
 * turns; conn.c one connection; serve.c one request, scrape.c one for metrics; trace.c the log
 * lines; listen.c where the socket comes from. Thread: api, but for api_listen_open (vmm).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/server.h"
#include "base/http/http.h"
#include "vmm/loop/loop.h"

#define API_READ_SIZE 4096u /* bytes that one read takes */

/*
 * One connection. Its memory is bounded: the reader's limits, one read, one reply. While a reply
 * waits for room in the socket nothing is read.
 */
struct api_conn {
    struct loop_src src;
    struct http_reader *reader;
    int found; /* at the last look: 1 request, -EPROTO err, 0 neither */
    struct http_request request;
    struct err err;
    bool ends; /* behind the reply that is due */
    char *out; /* rest of a reply, NULL: none */
    size_t out_len;
    size_t out_off;
    size_t in_len; /* of `in`; what the reader has not taken begins at in_off */
    size_t in_off;
    char in[API_READ_SIZE];
};

/* Takes over *fd, a non-blocking socket, on success. Returns 0 with *ret_conn (api_conn_close) or
 * -ENOMEM. */
MUST_CHECK int api_conn_open(int *fd, size_t body_max_size, struct api_conn **ret_conn);

/* Closes and frees; the source has to be out of the loop. NULL is fine. */
void api_conn_close(struct api_conn *conn);

/* What the loop is to watch the connection for. */
uint32_t api_conn_events(const struct api_conn *conn);

/* Is there something to be answered, and room for the answer? */
bool api_conn_has_turn(const struct api_conn *conn);

/* Reads once and looks for a request. Not while it has a turn or a reply that waits. Returns 0, or
 * negative: to be closed. */
MUST_CHECK int api_conn_read(struct api_conn *conn);

/* Answers what was found, and looks for the next. Returns 0, or negative: to be closed. */
MUST_CHECK int api_conn_serve(struct api_conn *conn, const struct api_server_options *options,
                              struct ctl_mailbox *mailbox);

/* Goes on writing a reply; once it is out, looks for the next request. Returns 0, or negative:
 * to be closed. */
MUST_CHECK int api_conn_flush(struct api_conn *conn);

/*
 * Has a request carried out. Returns 0 with the response (ret_text: the caller frees), -ECANCELED
 * when nobody serves any more, or -ENOMEM.
 */
MUST_CHECK int api_serve_request(const struct api_server_options *options,
                                 struct ctl_mailbox *mailbox, const struct http_request *http,
                                 char **ret_text, size_t *ret_len);

/* Answers a request on a socket for metrics. Returns 0 with the response (ret_text: the caller
 * frees) or -ENOMEM. */
MUST_CHECK int api_serve_scrape(const struct http_request *http, char **ret_text, size_t *ret_len);

/* Answers what is no HTTP request. err: the protocol's sentence; closes: the connection ends
 * behind the answer. Returns 0 or -ENOMEM. */
MUST_CHECK int api_serve_breach(const struct err *err, bool closes, char **ret_text,
                                size_t *ret_len);
/* The same on a socket for metrics, whose clients write nothing into the VM's log. */
MUST_CHECK int api_serve_scrape_breach(const struct err *err, bool closes, char **ret_text,
                                       size_t *ret_len);

/* "The API server received a Put request on ...": api.md 10. */
void api_trace_request(const struct http_request *http);

/* "The request was executed successfully. ..." status: 200 or 204. */
void api_trace_success(uint32_t status);

/* "Received Error. ..." with the sentence, fit for one line, and without what it quotes of
 * metadata. status: 400 or 413; http: the request, or NULL. */
void api_trace_error(uint32_t status, const struct err *err, const struct http_request *http);

/* "Listening on API socket (...)." kind: "API" or "metrics"; path: as bound, no NUL at its end. */
void api_trace_listening(const char *kind, const char *path, size_t len);

/*
 * The inherited listening socket (LISTEN_PID, LISTEN_FDS: fd 3), or a new one bound to the path;
 * not blocking, CLOEXEC. A server that scrapes takes none that is inherited. Returns the fd or
 * -errno with the sentence of cli.md C.
 */
MUST_CHECK int api_listen_open(const struct api_server_options *options, struct err *err);
