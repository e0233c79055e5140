/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests as text, for tests of api/request.c.
 */
#pragma once

#include <errno.h>
#include <string.h>

#include "api/request.h"
#include "tests/unit/unit.h"

#define BODY_MAX_SIZE 51200u

/* body NULL: none. */
static inline int request_parse(enum http_method method, const char *path, const char *body,
                                struct api_request *ret_request, struct err *err)
{
    const struct http_request http = {
        .method = method, .path = path, .body = body, .body_len = body ? strlen(body) : 0};

    return api_request_parse(&http, BODY_MAX_SIZE, ret_request, err);
}

/* The request is refused with this fault_message and leaves *ret_request alone. */
static inline void request_refused(enum http_method method, const char *path, const char *body,
                                   const char *sentence)
{
    struct err err = ERR_INIT;
    struct api_request request;
    struct api_request before;

    memset(&request, 0x5a, sizeof(request));
    before = request;
    if (request_parse(method, path, body, &request, &err) != -EINVAL)
        fail_msg("%s was not refused with: %s", path, sentence);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.msg, sentence);
    assert_memory_equal(&request, &before, sizeof(request));
}

/* The request is taken; the caller releases it. */
static inline void request_taken(enum http_method method, const char *path, const char *body,
                                 struct api_request *ret_request)
{
    struct err err = ERR_INIT;

    if (request_parse(method, path, body, ret_request, &err) != 0)
        fail_msg("%s %s: %s", path, body ? body : "", err.msg);
}
