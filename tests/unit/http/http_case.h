/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of base/http share: a reader that is fed strings. Single thread.
 */
#pragma once

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/http/http.h"
#include "tests/unit/unit.h"

#define CASE_BODY_MAX_SIZE 50u

static inline struct http_reader *case_reader(size_t body_max_size)
{
    struct http_reader *reader = NULL;
    assert_int_equal(http_reader_create(body_max_size, &reader), 0);
    return reader;
}

/* Feeds all of it, which has to fit. */
static inline void case_feed(struct http_reader *reader, const char *bytes, size_t len)
{
    assert_int_equal(http_reader_feed(reader, bytes, len), len);
}

static inline void case_say(struct http_reader *reader, const char *text)
{
    case_feed(reader, text, strlen(text));
}

static inline void case_expect_none(struct http_reader *reader)
{
    struct http_request request;
    struct err err = ERR_INIT;
    assert_int_equal(http_reader_next(reader, &request, &err), 0);
}

static inline struct http_request case_expect_request(struct http_reader *reader,
                                                      enum http_method method, const char *path)
{
    struct http_request request = {0};
    struct err err = ERR_INIT;
    int ret = http_reader_next(reader, &request, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(ret, 1);
    assert_int_equal(request.method, method);
    assert_string_equal(request.path, path);
    return request;
}

static inline void case_expect_body(struct http_request request, const char *body)
{
    assert_int_equal(request.body_len, strlen(body));
    assert_memory_equal(request.body, body, request.body_len);
}

static inline void case_expect_error(struct http_reader *reader, const char *sentence)
{
    struct http_request request;
    struct err err = ERR_INIT;
    assert_int_equal(http_reader_next(reader, &request, &err), -EPROTO);
    assert_int_equal(err.code, -EPROTO);
    assert_string_equal(err.msg, sentence);
}

/* A reader of its own refuses the text with that sentence. */
static inline void case_refused(const char *text, size_t len, const char *sentence)
{
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    case_feed(reader, text, len);
    case_expect_error(reader, sentence);
    http_reader_free(reader);
}

/* One header line (without CRLF) in a request that is fine otherwise. */
static inline void case_header_refused(const char *line, const char *sentence)
{
    char text[4096];
    int len = snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n\r\n", line);
    case_refused(text, (size_t)len, sentence);
}

static inline void case_header_taken(const char *line)
{
    struct http_reader *reader = case_reader(CASE_BODY_MAX_SIZE);
    char text[4096];
    (void)snprintf(text, sizeof(text), "GET / HTTP/1.1\r\n%s\r\n\r\n", line);
    case_say(reader, text);
    struct http_request request = case_expect_request(reader, HTTP_METHOD_GET, "/");
    assert_null(request.body);
    http_reader_free(reader);
}
