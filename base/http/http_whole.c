/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request that lies in one piece, as the metadata service has it: the rules of the reader's
 * lines, and the header lines handed on. Any thread; no state. Spec: mmds.md 4; api.md 1.2.
 */
#include <errno.h>
#include <string.h>

#include "base/http/http_int.h"

#define CRLF "\r\n"
#define CRLF_LEN 2u
#define LINE_MIN_LEN 14u /* "GET / HTTP/1.1" */

static int fail(enum http_fault *ret_fault, struct err *err)
{
    *ret_fault = HTTP_FAULT_OTHER;
    return err_set(err, -EPROTO, "Invalid request.");
}

/* Cuts a line with its CRLF off. False: there is none. */
static bool line_cut(struct http_text *text, struct http_text *ret_line)
{
    const char *end = memmem(text->at, text->len, CRLF, CRLF_LEN);

    if (!end)
        return false;
    *ret_line = (struct http_text){text->at, (size_t)(end - text->at) + CRLF_LEN};
    text->at += ret_line->len;
    text->len -= ret_line->len;
    return true;
}

/* Leaves of "Invalid URI: reason." the reason. */
static void keep_reason(struct err *err)
{
    const char *colon = strchr(err->msg, ':');

    if (colon)
        memmove(err->msg, colon + 2, strlen(colon + 2) + 1);
}

static int take_field(struct http_head *head, struct http_text line,
                      void (*on_field)(void *ctx, const struct http_field *field), void *ctx,
                      struct err *err)
{
    struct http_text value = {line.at, line.len - CRLF_LEN};
    struct http_text name = {NULL, 0};
    int ret = http_head_add(head, line, err);

    if (ret < 0)
        return ret;
    if (!http_text_cut(&value, ':', &name))
        return 0; /* http_head_add takes no such line */
    value = http_text_trimmed(value);
    on_field(ctx, &(struct http_field){name.at, name.len, value.at, value.len});
    return 0;
}

int http_whole_parse(const char *bytes, size_t len,
                     void (*on_field)(void *ctx, const struct http_field *field), void *ctx,
                     struct http_whole *ret_whole, enum http_fault *ret_fault, struct err *err)
{
    struct http_head head = {0};
    struct http_text rest = {bytes, len};
    struct http_text line;
    struct http_text path;
    uint32_t body_len;

    if (!line_cut(&rest, &line) || line.len < LINE_MIN_LEN + CRLF_LEN)
        return fail(ret_fault, err);
    if (http_head_start(&head, line, &path, err) < 0) {
        *ret_fault = head.fault;
        if (head.fault != HTTP_FAULT_OTHER)
            keep_reason(err);
        return -EPROTO;
    }
    for (;;) {
        if (!line_cut(&rest, &line))
            return fail(ret_fault, err);
        if (line.len == CRLF_LEN)
            break;
        *ret_fault = HTTP_FAULT_OTHER;
        if (take_field(&head, line, on_field, ctx, err) < 0)
            return -EPROTO;
    }
    *ret_fault = HTTP_FAULT_OTHER;
    if (http_head_end(&head, &body_len, err) < 0)
        return -EPROTO;
    if (body_len > 0 || rest.len > 0)
        return fail(ret_fault, err);
    *ret_whole = (struct http_whole){head.method, head.minor, path.at, path.len};
    return 0;
}
