/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader: bytes -> lines with their limits -> one request after the other. Header lines are
 * judged and forgotten one by one; what is kept of a request is its path and its body. Memory is
 * taken by http_reader_feed alone. One thread at a time. Spec: api.md 1.2; deltas.md 7.
 */
#include "base/http/http.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/http/http_int.h"

#define BUF_FIRST_SIZE 256u
#define BUF_IDLE_MAX_SIZE 1024u /* a larger buffer does not outlive its request */

enum stage {
    STAGE_REQUEST_LINE,
    STAGE_HEADERS,
    STAGE_BODY,
    STAGE_TAKEN, /* the caller looks at the request */
};

struct http_reader {
    char *buf;          /* path with its NUL, a gap, unread bytes; NULL when there are none */
    size_t size;        /* bytes of buf */
    size_t path_size;   /* bytes of the path with its NUL; 0 before the request line */
    size_t in_off;      /* unread bytes: first, and behind the last */
    size_t in_end;      /* */
    size_t scanned_len; /* bytes at in_off that were searched for the end of the line */
    uint32_t body_max_size;
    uint32_t body_len;   /* valid from STAGE_BODY */
    uint32_t skip_len;   /* bytes of a refused body that are still to come */
    enum http_rest rest; /* of the last breach */
    enum stage stage;
    bool continued; /* http_reader_take_continue has said yes */
    struct http_head head;
};

int http_reader_create(size_t body_max_size, struct http_reader **ret_reader)
{
    struct http_reader *reader = calloc(1, sizeof(*reader));

    if (!reader)
        return -ENOMEM;
    /* A Content-Length has 32 bits. */
    reader->body_max_size = body_max_size < UINT32_MAX ? (uint32_t)body_max_size : UINT32_MAX;
    *ret_reader = reader;
    return 0;
}

void http_reader_free(struct http_reader *reader)
{
    if (!reader)
        return;
    free(reader->buf);
    free(reader);
}

static size_t buf_max_size(const struct http_reader *reader)
{
    return (size_t)HTTP_HEAD_MAX_SIZE + reader->body_max_size;
}

static size_t unread_len(const struct http_reader *reader)
{
    return reader->in_end - reader->in_off;
}

static void buf_drop(struct http_reader *reader)
{
    free(reader->buf);
    reader->buf = NULL;
    reader->size = 0;
}

static void buf_close_gap(struct http_reader *reader)
{
    size_t len = unread_len(reader);

    if (len > 0 && reader->in_off != reader->path_size)
        memmove(reader->buf + reader->path_size, reader->buf + reader->in_off, len);
    reader->in_off = reader->path_size;
    reader->in_end = reader->path_size + len;
}

/* Room for `len` more bytes. Returns 0 or -ENOMEM. */
static int buf_reserve(struct http_reader *reader, size_t len)
{
    buf_close_gap(reader);
    size_t needed = reader->in_end + len;
    if (needed <= reader->size)
        return 0;
    size_t size = reader->size ? reader->size * 2 : BUF_FIRST_SIZE;
    if (size > buf_max_size(reader))
        size = buf_max_size(reader);
    if (size < needed)
        size = needed;
    char *buf = realloc(reader->buf, size);
    if (!buf)
        return -ENOMEM;
    reader->buf = buf;
    reader->size = size;
    return 0;
}

/* Gives back what the rest does not need. Only between two requests. */
static void buf_shrink(struct http_reader *reader)
{
    size_t len = unread_len(reader);

    if (len == 0) {
        buf_close_gap(reader);
        if (reader->size > BUF_IDLE_MAX_SIZE)
            buf_drop(reader);
        return;
    }
    if (reader->size <= BUF_IDLE_MAX_SIZE || len > reader->size / 4)
        return;
    buf_close_gap(reader);
    char *buf = realloc(reader->buf, len);
    if (buf) {
        reader->buf = buf;
        reader->size = len;
    }
}

/* Ready for the next request line. */
static void start_anew(struct http_reader *reader)
{
    reader->stage = STAGE_REQUEST_LINE;
    reader->path_size = 0;
    reader->scanned_len = 0;
    reader->body_len = 0;
    reader->continued = false;
    reader->head = (struct http_head){0};
}

/* Forgets the request that the caller was given. */
static void drop_taken(struct http_reader *reader)
{
    if (reader->stage != STAGE_TAKEN)
        return;
    reader->in_off += reader->body_len;
    start_anew(reader);
    buf_shrink(reader);
}

static void forget_all(struct http_reader *reader)
{
    start_anew(reader);
    reader->in_off = 0;
    reader->in_end = 0;
    buf_drop(reader);
}

/* Drops a body that is not wanted: what of it is here, and the rest when it comes. */
static void skip_body(struct http_reader *reader, uint32_t body_len)
{
    size_t here = unread_len(reader);

    if (here > body_len)
        here = body_len;
    reader->in_off += here;
    reader->skip_len = body_len - (uint32_t)here;
    start_anew(reader);
    buf_close_gap(reader);
    buf_shrink(reader);
}

ssize_t http_reader_feed(struct http_reader *reader, const void *bytes, size_t len)
{
    drop_taken(reader);
    if (reader->skip_len > 0) {
        size_t skipped = len < reader->skip_len ? len : reader->skip_len;
        reader->skip_len -= (uint32_t)skipped;
        return (ssize_t)skipped;
    }
    size_t room = buf_max_size(reader) - reader->path_size - unread_len(reader);
    if (len > room)
        len = room;
    if (len == 0)
        return 0;
    if (buf_reserve(reader, len) < 0)
        return -ENOMEM;
    memcpy(reader->buf + reader->in_end, bytes, len);
    reader->in_end += len;
    return (ssize_t)len;
}

/* A CR or LF alone. line: up to it. */
static int fail_line_end(const struct http_reader *reader, struct http_text line, struct err *err)
{
    if (reader->stage == STAGE_REQUEST_LINE)
        return err_set(err, -EPROTO, "Invalid request.");
    const char *colon = memchr(line.at, ':', line.len);
    if (colon)
        line.len = (size_t)(colon - line.at);
    return err_set(err, -EPROTO,
                   "Invalid header. Reason: Header contains invalid characters. Key: %s",
                   HTTP_SHOWN(line));
}

static int fail_line_size(const struct http_reader *reader, struct http_text line, struct err *err)
{
    if (reader->stage == STAGE_REQUEST_LINE)
        return err_set(err, -EPROTO, "Invalid request.");
    if (line.len < HTTP_LINE_MAX_SIZE)
        return err_set(err, -EPROTO,
                       "Invalid header. Reason: Headers are larger than the limit of %u bytes "
                       "allowed by server.",
                       HTTP_HEAD_MAX_SIZE);
    return err_set(err, -EPROTO, "Invalid header. Reason: Invalid content length. Header: %s",
                   HTTP_SHOWN(line));
}

/*
 * The next line, with its CRLF. It has to end within the limits of a line and of the head. What is
 * found depends on the bytes alone, not on how they were fed. Returns 1, 0 or -EPROTO.
 */
static int find_line(struct http_reader *reader, struct http_text *ret_line, struct err *err)
{
    size_t max_len = HTTP_HEAD_MAX_SIZE - reader->head.len;
    size_t len = unread_len(reader);

    if (len == 0)
        return 0;
    if (max_len > HTTP_LINE_MAX_SIZE)
        max_len = HTTP_LINE_MAX_SIZE;
    const char *line = reader->buf + reader->in_off;
    while (reader->scanned_len < len && reader->scanned_len < max_len) {
        size_t off = reader->scanned_len++;
        bool behind_cr = off > 0 && line[off - 1] == '\r';
        if (behind_cr && line[off] == '\n') {
            *ret_line = (struct http_text){line, off + 1};
            return 1;
        }
        if (behind_cr || line[off] == '\n')
            return fail_line_end(reader, (struct http_text){line, off}, err);
    }
    if (reader->scanned_len < max_len)
        return 0;
    return fail_line_size(reader, (struct http_text){line, max_len}, err);
}

static int take_request_line(struct http_reader *reader, struct http_text line, struct err *err)
{
    struct http_text path;
    int ret = http_head_start(&reader->head, line, &path, err);

    if (ret < 0)
        return ret;
    /* The path, with its NUL, is shorter than its line: it does not reach what is unread. */
    memmove(reader->buf, path.at, path.len);
    reader->buf[path.len] = '\0';
    reader->path_size = path.len + 1;
    reader->stage = STAGE_HEADERS;
    return 0;
}

static int take_header_line(struct http_reader *reader, struct http_text line, struct err *err)
{
    static const char empty_line[] = "\r\n";

    if (line.len > strlen(empty_line))
        return http_head_add(&reader->head, line, err);
    int ret = http_head_end(&reader->head, &reader->body_len, err);
    if (ret < 0)
        return ret;
    reader->stage = STAGE_BODY;
    if (reader->body_len > reader->body_max_size)
        return err_set(err, -EPROTO,
                       "Request payload with size %u is larger than the limit of %u allowed by "
                       "server.",
                       reader->body_len, reader->body_max_size);
    return 0;
}

/* The request at hand is refused: what becomes of the bytes behind what was looked at. */
static void drop_refused(struct http_reader *reader)
{
    bool is_body = reader->stage == STAGE_BODY;

    /* Who asks before it sends a body does not send one that is refused, or does: RFC 9110
     * 10.1.1. */
    if (reader->head.is_coded || (is_body && reader->head.expects))
        reader->rest = HTTP_REST_CLOSE;
    else
        reader->rest = is_body ? HTTP_REST_SKIP : HTTP_REST_FORGET;
    if (reader->rest == HTTP_REST_SKIP)
        skip_body(reader, reader->body_len);
    else
        forget_all(reader);
}

/* Returns 1 when a line was taken, 0 when more bytes are needed, or -EPROTO. */
static int take_line(struct http_reader *reader, struct err *err)
{
    struct http_text line = {.len = 0};
    int ret = find_line(reader, &line, err);

    if (ret <= 0)
        return ret;
    reader->in_off += line.len;
    reader->scanned_len = 0;
    ret = reader->stage == STAGE_REQUEST_LINE ? take_request_line(reader, line, err)
                                              : take_header_line(reader, line, err);
    return ret < 0 ? ret : 1;
}

int http_reader_next(struct http_reader *reader, struct http_request *ret_request, struct err *err)
{
    int ret = 1;

    drop_taken(reader);
    while (ret > 0 && reader->stage != STAGE_BODY)
        ret = take_line(reader, err);
    if (ret < 0) {
        drop_refused(reader);
        return ret;
    }
    if (ret == 0 || unread_len(reader) < reader->body_len)
        return 0;
    *ret_request = (struct http_request){
        .method = reader->head.method,
        .path = reader->buf,
        .body = reader->body_len > 0 ? reader->buf + reader->in_off : NULL,
        .body_len = reader->body_len,
    };
    reader->stage = STAGE_TAKEN;
    return 1;
}

enum http_rest http_reader_rest(const struct http_reader *reader)
{
    return reader->rest;
}

bool http_reader_take_continue(struct http_reader *reader, uint32_t *ret_minor)
{
    if (reader->stage != STAGE_BODY || !reader->head.expects_continue || reader->continued ||
        unread_len(reader) >= reader->body_len)
        return false;
    reader->continued = true;
    *ret_minor = reader->head.minor;
    return true;
}

size_t http_reader_memory(const struct http_reader *reader)
{
    return sizeof(*reader) + reader->size;
}
