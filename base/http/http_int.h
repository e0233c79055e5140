/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to base/http: the rules of a head, line by line, and outside text in sentences. No state
 * but what is passed in. Spec: api.md 1.2; deltas.md 7.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* http-parser has an enum of the same name. */
#define http_method http_parser_method
#include <http_parser.h>
#undef http_method

#include "base/http/http.h"

/* What the lines of a head have said so far. All zero: no line yet. */
struct http_head {
    enum http_method method;
    uint32_t minor;        /* HTTP version 1.x */
    enum http_fault fault; /* of the request line */
    bool expects;          /* anything, which the reference may not know */
    bool expects_continue;
    bool is_coded;      /* the body is not a Content-Length long: it was refused */
    size_t len;         /* bytes of the lines so far, with their CRLF */
    http_parser parser; /* judges header lines; anew for each request */
};

/* A piece of outside text; borrowed, no NUL at its end. */
struct http_text {
    const char *at;
    size_t len; /* bytes */
};

/*
 * Takes the request line. line: with its CRLF. ret_path: the path as routed, a piece of the line or
 * empty. Returns 0 or -EPROTO with the sentence.
 */
MUST_CHECK int http_head_start(struct http_head *head, struct http_text line,
                               struct http_text *ret_path, struct err *err);

/* Takes a header line, with its CRLF, not empty. Returns 0 or -EPROTO with the sentence. */
MUST_CHECK int http_head_add(struct http_head *head, struct http_text line, struct err *err);

/* Takes the empty line at the end. ret_body_len: bytes, whatever the limit is. Returns 0 or -EPROTO
 * with the sentence. */
MUST_CHECK int http_head_end(struct http_head *head, uint32_t *ret_body_len, struct err *err);

/* Cuts what stands before `separator` off the text. False: it has none, nothing is changed. */
bool http_text_cut(struct http_text *text, char separator, struct http_text *ret_piece);

/* Without the blanks at both ends. */
struct http_text http_text_trimmed(struct http_text text);

/* Fit for a sentence: control characters and what is not UTF-8 become U+FFFD; a text that does not
 * fit is cut. Returns buf. */
const char *http_text_show(struct http_text text, char buf[static ERR_MSG_MAX_SIZE]);

/* http_text_show in a compound literal that lives as long as the enclosing block. */
#define HTTP_SHOWN(text) http_text_show((text), (char[ERR_MSG_MAX_SIZE]){0})
