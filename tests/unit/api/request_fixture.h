/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as text, one by one and as tables, for tests of api/request.c. A row has no name but its
 * request: that is what is printed of one that fails.
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "api/request.h"
#include "tests/unit/unit.h"

#define GET HTTP_METHOD_GET
#define PUT HTTP_METHOD_PUT
#define PATCH HTTP_METHOD_PATCH
#define DELETE HTTP_METHOD_DELETE

#define REQUEST_TEXT_MAX_SIZE 512u

/* JSON in C text: a copy in which each ' is a ". NULL stays. */
static inline const char *request_json(const char *text, char buf[static REQUEST_TEXT_MAX_SIZE])
{
    size_t len = text ? strlen(text) : 0;

    assert_true(len < REQUEST_TEXT_MAX_SIZE);
    for (size_t i = 0; i < len; i++)
        buf[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    buf[len] = '\0';
    return text ? buf : NULL;
}

/* What is printed of a row: a format, and what it takes. */
#define REQUEST_FMT "%s %s %s"
#define REQUEST_ARGS(row)                                                                          \
    http_method_name((row)->method), (row)->path, (row)->body ? (row)->body : ""

/* body: NULL: none; otherwise as it is. */
static inline int request_parse(enum http_method method, const char *path, const char *body,
                                struct api_request *ret_request, struct err *err)
{
    const struct http_request http = {
        .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0};

    return api_request_parse(&http, HTTP_BODY_DEFAULT_MAX_SIZE, ret_request, err);
}

/* A request that is refused. body: NULL: none; ' stands for ". */
struct refused {
    enum http_method method;
    const char *path;
    const char *body;
    const char *sentence;
};

/* It is refused with its sentence and leaves *ret_request alone. */
static inline void request_refused(const struct refused *row)
{
    struct err err = ERR_INIT;
    char json[REQUEST_TEXT_MAX_SIZE];
    struct api_request request;
    struct api_request before;

    memset(&request, 0x5a, sizeof(request));
    before = request;
    int ret = request_parse(row->method, row->path, request_json(row->body, json), &request, &err);
    if (ret != -EINVAL || err.code != -EINVAL || strcmp(err.msg, row->sentence) != 0)
        fail_msg(REQUEST_FMT ": %d, %s; not: %s", REQUEST_ARGS(row), ret, err.msg, row->sentence);
    assert_memory_equal(&request, &before, sizeof(request));
}

static inline void request_refused_all(const struct refused *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        request_refused(&rows[i]);
}

/* It is taken; the caller releases it. body: NULL: none; ' stands for ". */
static inline void request_taken(enum http_method method, const char *path, const char *body,
                                 struct api_request *ret_request)
{
    struct err err = ERR_INIT;
    char json[REQUEST_TEXT_MAX_SIZE];

    if (request_parse(method, path, request_json(body, json), ret_request, &err) != 0)
        fail_msg("%s %s %s: %s", http_method_name(method), path, body ? body : "", err.msg);
}
