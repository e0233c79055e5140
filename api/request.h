/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request -> one action: route, path id, JSON body, all without a socket, a thread or the
 * VM, so that unit tests, the fuzzer and the recorded conversations drive it. What it leaves behind
 * beside its result: counters, and a log line for what is deprecated. Thread: api. Spec: api.md 2,
 * 3, 4, 7, 12; deltas.md 1, 2, 6.
 */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/http/http.h"
#include "vmm/ctl/action.h"

/* Who knows the answer. */
enum api_answer {
    API_ANSWER_CTL,     /* the action has to be carried out */
    API_ANSWER_INFO,    /* GET /: the published state; action is not set */
    API_ANSWER_VERSION, /* GET /version; action is not set */
};

/* What a request came to. */
struct api_request {
    enum api_answer answer;
    bool deprecated; /* the reply says so (api.md 3.4) */
    struct ctl_action action;
};

/*
 * Routes and decodes. Counts get_, put_ and patch_api_requests and deprecated_http_api_calls, logs
 * what is deprecated. body_max_size: bytes, for the JSON parser. Returns 0 with *ret_request
 * (api_request_done), or -EINVAL: err has the whole fault_message.
 */
MUST_CHECK int api_request_parse(const struct http_request *http, size_t body_max_size,
                                 struct api_request *ret_request, struct err *err);

/* Frees what is left of it: nothing after its action was posted. */
void api_request_done(struct api_request *request);
