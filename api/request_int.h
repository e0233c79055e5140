/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to api: the route table, and the pieces of a path. Any thread; constant data.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "api/request.h"
#include "base/metrics.h"
#include "vmm/config/cfg_fields.h"

/* One piece of a path. Borrowed; not NUL-terminated. */
struct api_token {
    const char *at; /* NULL: the path ends before it */
    size_t len;
};

#define API_TOKENS_COUNT 3u /* what is behind the third is not looked at */

/* The pieces between slashes; all leading slashes and one trailing slash do not count. */
struct api_path {
    struct api_token tokens[API_TOKENS_COUNT];
};

/* What a route asks of one piece behind the first. */
enum api_token_rule {
    API_TOKEN_ANY,    /* nothing: not looked at */
    API_TOKEN_ABSENT, /* the path ends before it */
    API_TOKEN_WORD,   /* this word */
    API_TOKEN_ID,     /* a resource's id, whose rules come after the choice of the route */
};

enum api_body_rule { API_BODY_NONE, API_BODY_NEEDED, API_BODY_EITHER };

struct api_route;

/* One request on its way. */
struct api_parse {
    const struct api_route *route;
    const struct http_request *http;
    const struct api_path *path;
    size_t body_max_size;
};

/* Counters of one kind of request; NULL: not counted. */
struct api_counters {
    metric_t *count;
    metric_t *fails;
};

/* The first row that fits is taken. */
struct api_route {
    enum http_method method;
    const char *first;
    enum api_token_rule second_rule;
    const char *second; /* API_TOKEN_WORD */
    const char *third;  /* NULL: not looked at */
    enum api_body_rule body;
    struct api_counters counters;
    enum ctl_action_kind kind;
    enum ctl_excluded excluded;
    /* Sets *request (its kind is set) from the body. NULL: there is nothing in the body. */
    int (*decode)(const struct api_parse *parse, struct api_request *request, struct err *err);
    const struct cfg_object *object; /* table of the body */
    uint16_t id_off;                 /* bytes to the char * that must equal the id of the path */
    bool names_ids;                  /* the sentence about ids that differ shows both */
    /* What is left to check of a decoded body, and what in it is deprecated: *ret_deprecated is
     * the log's sentence. NULL: nothing. */
    int (*finish)(struct api_request *request, const char **ret_deprecated, struct err *err);
    /* A path that is refused with a sentence of its own. NULL: it is not. */
    int (*refuse)(const struct api_path *path, struct err *err);
};

extern const struct api_route api_routes[];
extern const size_t api_routes_count;

/* Is it an id? Returns 0 or -EINVAL with the whole fault_message. */
MUST_CHECK int api_id_check(const struct api_token *id, struct err *err);

/* Parses the body and decodes it by a table. Returns 0 or -EINVAL with the whole fault_message. */
MUST_CHECK int api_body_decode(const struct api_parse *parse, void *ret_obj, struct err *err);

/* Ditto, where the body may be any JSON value. */
MUST_CHECK int api_body_check(const struct api_parse *parse, struct err *err);

/* Puts the detail, which err has, into the sentence of bodies that are not what they should be.
 * Returns -EINVAL. */
int api_fail_json(struct err *err);
