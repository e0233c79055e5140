/* SPDX-License-Identifier: Apache-2.0 */
/*
 * HTTP/1 messages over a byte stream: framing with limits, and responses as the API has them. The
 * only user of http-parser. Knows no sockets and no routes. A reader belongs to one thread at a
 * time. Spec: api.md 1.2, 1.3, 3.2; deltas.md 7 (CRLF only, versions 1.0 and 1.1, 80 KiB of header,
 * chunked bodies refused, Upgrade and Connection ignored).
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

#define HTTP_LINE_MAX_SIZE 1024u         /* request line or one header line, with its CRLF */
#define HTTP_HEAD_MAX_SIZE (80u * 1024u) /* request line and all header lines */
#define HTTP_BODY_DEFAULT_MAX_SIZE 51200 /* bytes; also as text: a number and no more */

enum http_method { HTTP_METHOD_GET, HTTP_METHOD_PUT, HTTP_METHOD_PATCH, HTTP_METHOD_DELETE };
#define HTTP_METHODS_COUNT (HTTP_METHOD_DELETE + 1)

/* "GET", as in a request line. */
const char *http_method_name(enum http_method method);

/* One whole request. Borrowed from the reader, until its next call. */
struct http_request {
    enum http_method method;
    /* Path as routed: origin form as it stands, absolute form without scheme and host, "" for any
     * other form. NUL-terminated, no NUL inside, query not split off, nothing decoded. */
    const char *path;
    const char *body; /* not NUL-terminated; NULL: no body */
    size_t body_len;  /* bytes */
};

struct http_reader;

/* body_max_size: bytes that a Content-Length may ask for. Returns 0 with *ret_reader
 * (http_reader_free) or -ENOMEM. */
MUST_CHECK int http_reader_create(size_t body_max_size, struct http_reader **ret_reader);

/* NULL is fine. */
void http_reader_free(struct http_reader *reader);

/*
 * Takes bytes as they came. Memory is bounded: at most HTTP_HEAD_MAX_SIZE and a body are kept, what
 * cannot belong to a message within the limits is an error of the next http_reader_next. Returns
 * how many of `len` bytes were taken (the rest is to be offered again after http_reader_next, which
 * makes room unless it yields a request), or -ENOMEM: nothing was taken.
 */
MUST_CHECK ssize_t http_reader_feed(struct http_reader *reader, const void *bytes, size_t len);

/*
 * The next request. Returns 1 with *ret_request, 0 when more bytes are needed, or -EPROTO: err has
 * the protocol's sentence, and http_reader_rest tells what is to become of the bytes that follow.
 * What is found depends on the bytes, not on how they were cut. A request's memory is released by
 * the next call.
 */
MUST_CHECK int http_reader_next(struct http_reader *reader, struct http_request *ret_request,
                                struct err *err);

/* After -EPROTO, what follows: */
enum http_rest {
    HTTP_REST_FORGET, /* everything fed is forgotten; the caller drops what is left of the read */
    HTTP_REST_SKIP,   /* a body over the limit: the reader drops it as it is fed, then goes on */
    HTTP_REST_CLOSE,  /* nobody can tell where the next request begins: answer and close */
};
enum http_rest http_reader_rest(const struct http_reader *reader);

/* Is "100 Continue" due: the head at hand is complete, asks for it, and its body is within the
 * limit and not all there? True at most once a request. ret_minor: the request's HTTP version,
 * 1.x. */
MUST_CHECK bool http_reader_take_continue(struct http_reader *reader, uint32_t *ret_minor);

/* Bytes that the reader keeps: for bounds in tests. */
size_t http_reader_memory(const struct http_reader *reader);

/* What is wrong with a whole request. */
enum http_fault { HTTP_FAULT_OTHER, HTTP_FAULT_METHOD, HTTP_FAULT_URI, HTTP_FAULT_VERSION };

/* One header line: name as sent, value without the blanks around it. Borrowed; no NUL behind. */
struct http_field {
    const char *name;
    size_t name_len;
    const char *value;
    size_t value_len;
};

/* A request that has no body. Borrowed from the bytes it was parsed from. */
struct http_whole {
    enum http_method method;
    uint32_t minor;   /* HTTP version 1.x */
    const char *path; /* as http_request's, without a NUL behind */
    size_t path_len;
};

/*
 * A request that is all there: bytes up to its empty line, no body behind it (mmds.md 4). on_field
 * is told of each header line, in order, also of those before a bad one. Returns 0, or -EPROTO with
 * *ret_fault and the sentence: that of the reader, but of the first three faults the reason alone.
 */
MUST_CHECK int http_whole_parse(const char *bytes, size_t len,
                                void (*on_field)(void *ctx, const struct http_field *field),
                                void *ctx, struct http_whole *ret_whole, enum http_fault *ret_fault,
                                struct err *err);

/* One response; body NULL: neither Content-Type nor Content-Length. */
#define HTTP_CONTENT_TYPE_MAX_LEN 64u
#define HTTP_ECHO_MAX_LEN 64u /* of its name and of its value */
struct http_response {
    uint32_t status; /* 200, 204, 400, ... */
    bool deprecation;
    bool closes;              /* the connection ends behind it */
    bool is_1_0;              /* says HTTP/1.0 */
    const char *allow;        /* at most HTTP_ECHO_MAX_LEN bytes; NULL: no such line */
    const char *echo_name;    /* a line that gives a header of the request back; NULL: none */
    const char *echo_value;   /* with it */
    const char *content_type; /* at most HTTP_CONTENT_TYPE_MAX_LEN bytes; NULL: JSON */
    const char *body;
    size_t body_len;
};

/* Head and body in one piece of heap memory, byte for byte as api.md 1.3. ret_text: the caller
 * frees. Returns 0 or -ENOMEM. */
MUST_CHECK int http_response_render(const struct http_response *response, char **ret_text,
                                    size_t *ret_len);

/* "HTTP/1.x 100 " with its header lines. buf: at least HTTP_CONTINUE_MAX_SIZE bytes. Returns the
 * length. */
#define HTTP_CONTINUE_MAX_SIZE 96u
size_t http_continue_render(uint32_t minor, char *buf);
