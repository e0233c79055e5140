/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One HTTP request -> one action: finds the row of the route table and lets it do its work (api.md
 * 2, 3). Thread: api; no state.
 */
#include "api/request.h"

#include <errno.h>
#include <string.h>

#include "api/decode.h"
#include "api/request_int.h"
#include "base/log.h"

/* ------------------------------------------------------------------ paths */

static void split_path(const char *path, struct api_path *ret_path)
{
    path += strspn(path, "/");
    for (size_t i = 0; i < API_TOKENS_COUNT; i++) {
        bool ends = *path == '\0'; /* also behind a trailing slash */
        size_t len = strcspn(path, "/");
        ret_path->tokens[i] = (struct api_token){.at = ends ? NULL : path, .len = len};
        path += len;
        path += *path == '/';
    }
}

static bool token_is(const struct api_token *token, const char *word)
{
    return token->at && strlen(word) == token->len && memcmp(word, token->at, token->len) == 0;
}

static bool route_fits(const struct api_route *route, const struct http_request *http,
                       const struct api_path *path)
{
    const struct api_token *first = &path->tokens[0];
    const struct api_token *second = &path->tokens[1];

    if (route->method != http->method)
        return false;
    if (first->at ? !token_is(first, route->first) : route->first[0] != '\0')
        return false;
    if (route->body != API_BODY_EITHER && (route->body == API_BODY_NEEDED) != (http->body != NULL))
        return false;
    if (route->second_rule == API_TOKEN_ABSENT && second->at)
        return false;
    if (route->second_rule == API_TOKEN_WORD && !token_is(second, route->second))
        return false;
    return !route->third || token_is(&path->tokens[2], route->third);
}

static const struct api_route *find_route(const struct http_request *http,
                                          const struct api_path *path)
{
    for (size_t i = 0; i < api_routes_count; i++) {
        if (route_fits(&api_routes[i], http, path))
            return &api_routes[i];
    }
    return NULL;
}

/* Nothing fits: a body too many or too few is said before the path. */
static int fail_route(const struct http_request *http, const struct api_path *path, struct err *err)
{
    const struct api_token *first = &path->tokens[0];

    if (http->method == HTTP_METHOD_GET && http->body)
        return err_set(err, -EINVAL, "GET request cannot have a body.");
    if (http->method == HTTP_METHOD_PUT && !http->body)
        return err_set(err, -EINVAL, "Empty PUT request.");
    if (http->method == HTTP_METHOD_PATCH && !http->body)
        return err_set(err, -EINVAL, "Empty PATCH request.");
    if (http->method == HTTP_METHOD_DELETE && http->body)
        return err_set(err, -EINVAL, "Empty Delete request.");
    return err_set(err, -EINVAL, "Invalid request method and/or path: %s %.*s.",
                   http_method_name(http->method), (int)first->len, first->at ? first->at : "");
}

/* ------------------------------------------------------------------ bodies */

int api_fail_json(struct err *err)
{
    return err_set(err, -EINVAL,
                   "An error occurred when deserializing the json body of a request: %s.",
                   err->msg);
}

int api_body_decode(const struct api_parse *parse, void *ret_obj, struct err *err)
{
    int ret = api_decode_text(parse->route->object, parse->http->body, parse->http->body_len,
                              parse->body_max_size, ret_obj, err);

    if (ret == CFG_NUL_ERROR) /* its sentence is whole */
        return err_set(err, -EINVAL, "%s", err->msg);
    return ret < 0 ? api_fail_json(err) : 0;
}

int api_body_check(const struct api_parse *parse, struct err *err)
{
    struct json_doc *doc;

    if (json_parse(parse->http->body, parse->http->body_len, parse->body_max_size, &doc, err) < 0)
        return api_fail_json(err);
    json_free(doc);
    return 0;
}

/* ------------------------------------------------------------------ one request */

static void count(metric_t *metric)
{
    if (metric)
        metric_inc(metric);
}

static void note_deprecated(struct api_request *request, const char *sentence)
{
    if (!sentence)
        return;
    request->deprecated = true;
    metric_inc(&metrics.deprecated_api.deprecated_http_api_calls);
    log_warn("%s", sentence);
}

/* A request whose route is found. On failure *request owns nothing. */
static int parse_routed(const struct api_parse *parse, struct api_request *request, struct err *err)
{
    const struct api_route *route = parse->route;
    const char *deprecated = NULL;
    int ret = 0;

    if (route->refuse)
        return route->refuse(parse->path, err);
    if (route->second_rule == API_TOKEN_ID)
        ret = api_id_check(&parse->path->tokens[1], err);
    if (ret == 0 && route->decode && parse->http->body)
        ret = route->decode(parse, request, err);
    if (ret < 0)
        return ret;
    if (route->finish)
        ret = route->finish(request, &deprecated, err);
    if (ret < 0)
        ctl_action_done(&request->action);
    else
        note_deprecated(request, deprecated);
    return ret;
}

int api_request_parse(const struct http_request *http, size_t body_max_size,
                      struct api_request *ret_request, struct err *err)
{
    struct err scratch = ERR_INIT;
    struct api_request request = {0};
    struct api_path path;

    if (!err) /* sentences are built from what err has */
        err = &scratch;
    split_path(http->path, &path);
    const struct api_route *route = find_route(http, &path);
    if (!route)
        return fail_route(http, &path, err);

    struct api_parse parse = {
        .route = route, .http = http, .path = &path, .body_max_size = body_max_size};
    request.action.kind = route->kind;
    if (route->kind == CTL_EXCLUDED)
        request.action.u.excluded = route->excluded;
    count(route->counters.count);
    int ret = parse_routed(&parse, &request, err);
    if (ret < 0)
        count(route->counters.fails);
    else
        *ret_request = request;
    return ret;
}

void api_request_done(struct api_request *request)
{
    ctl_action_done(&request->action);
    *request = (struct api_request){0};
}
