/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request of the guest -> one response. Thread: vmm; no state. Spec: mmds.md 4-7.
 */
#include <assert.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/ck.h"
#include "base/http/http.h"
#include "base/metrics.h"
#include "devices/mmds/mmds_int.h"

#define TEXT_TYPE "text/plain"
#define JSON_TYPE "application/json"
#define TOKEN_PATH "/latest/api/token"

/* Each has its name, and the one that EC2's tools know. */
#define TOKEN_NAME "X-metadata-token"
#define TOKEN_EC2_NAME "X-aws-ec2-metadata-token"
#define TTL_NAME TOKEN_NAME "-ttl-seconds"
#define TTL_EC2_NAME TOKEN_EC2_NAME "-ttl-seconds"
static_assert(sizeof(TTL_EC2_NAME) <= HTTP_ECHO_MAX_LEN, "it is given back");

/* What is looked at of a request's header lines; name NULL: absent. The last one counts. */
struct asked {
    struct http_field token;
    struct http_field ttl;
    struct http_field forwarded;
    bool accepts_json;
};

/* An answer in the making. */
struct answer {
    struct mmds *mmds;
    struct http_whole request;
    struct asked asked;
    struct http_response response;
    char echo_name[HTTP_ECHO_MAX_LEN];
    char echo_value[16];
    char *body; /* heap */
};

static bool is_named(const struct http_field *field, const char *name)
{
    return field->name_len == strlen(name) && strncasecmp(field->name, name, field->name_len) == 0;
}

static bool has_value(const struct http_field *field, const char *value)
{
    return field->value_len == strlen(value) && memcmp(field->value, value, field->value_len) == 0;
}

static void on_field(void *ctx, const struct http_field *field)
{
    struct asked *asked = ctx;

    if (is_named(field, TOKEN_NAME) || is_named(field, TOKEN_EC2_NAME))
        asked->token = *field;
    else if (is_named(field, TTL_NAME) || is_named(field, TTL_EC2_NAME))
        asked->ttl = *field;
    else if (is_named(field, "X-Forwarded-For"))
        asked->forwarded = *field;
    else if (is_named(field, "Accept") && has_value(field, JSON_TYPE))
        asked->accepts_json = true;
    else if (is_named(field, "Accept") && has_value(field, TEXT_TYPE))
        asked->accepts_json = false;
}

/* Answers with a text. Returns 0 or -ENOMEM. */
static PRINTF_LIKE(3, 4) int say(struct answer *answer, uint32_t status, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    int len = vasprintf(&answer->body, fmt, args);
    va_end(args);
    if (len < 0) {
        answer->body = NULL;
        return -ENOMEM;
    }
    answer->response.status = status;
    answer->response.content_type = TEXT_TYPE;
    answer->response.body = answer->body;
    answer->response.body_len = (size_t)len;
    return 0;
}

static int say_not_found(struct answer *answer)
{
    return say(answer, 404, "Resource not found: %.*s.", (int)answer->request.path_len,
               answer->request.path);
}

/* Copies a path, of several slashes in a row the first. Returns the length. */
static size_t collapse(const struct http_whole *request, char *ret_path)
{
    size_t used = 0;

    for (size_t i = 0; i < request->path_len; i++)
        if (request->path[i] != '/' || used == 0 || ret_path[used - 1] != '/')
            ret_path[used++] = request->path[i];
    return used;
}

/* ------------------------------------------------------------------ GET */

/* May the data be read? 1, or 0 with the answer, or negative. */
static int check_token(struct answer *answer)
{
    const struct http_field *token = &answer->asked.token;

    if (!token->name) {
        metric_inc(&metrics.mmds.rx_no_token);
        if (!answer->mmds->needs_token)
            return 1;
        return say(answer, 401,
                   "No MMDS token provided. Use `" TOKEN_NAME "` or `" TOKEN_EC2_NAME
                   "` header to specify the session token.");
    }
    if (mmds_token_is_valid(answer->mmds, token->value, token->value_len))
        return 1;
    metric_inc(&metrics.mmds.rx_invalid_token);
    return answer->mmds->needs_token ? say(answer, 401, "MMDS token not valid.") : 1;
}

static int render_found(struct answer *answer, const struct json *value)
{
    struct http_response *response = &answer->response;
    size_t len;
    int rc;

    if (answer->asked.accepts_json && !answer->mmds->imds_compat)
        rc = json_render_sorted(value, &answer->body, &len);
    else
        rc = mmds_imds_render(value, &answer->body, &len);
    if (rc == -EOPNOTSUPP)
        return say(answer, 501, "Cannot retrieve value. The value has an unsupported type.");
    if (rc < 0)
        return rc;
    response->status = 200;
    response->content_type = answer->asked.accepts_json ? JSON_TYPE : TEXT_TYPE;
    response->body = answer->body;
    response->body_len = len;
    return 0;
}

static int answer_get(struct answer *answer, const char *path, size_t path_len)
{
    const struct mmds *mmds = answer->mmds;
    int rc = check_token(answer);

    if (rc <= 0)
        return rc;
    struct json *none = json_new_null(); /* a store that nobody has filled */
    const struct json *value = mmds_find(mmds->data ? mmds->data : none, path, path_len);
    rc = value ? render_found(answer, value) : say_not_found(answer);
    json_drop(none);
    return rc;
}

/* ------------------------------------------------------------------ PUT */

/* As the reference's parser: a plus sign and zeros in front are fine. */
static bool u32_of(const struct http_field *field, uint32_t *ret_number)
{
    size_t i = field->value_len > 1 && field->value[0] == '+' ? 1 : 0;
    uint32_t number = 0;

    if (field->value_len == 0)
        return false;
    for (; i < field->value_len; i++) {
        char c = field->value[i];
        if (c < '0' || c > '9' || !ck_mul(number, 10u, &number) ||
            !ck_add(number, (uint32_t)(c - '0'), &number))
            return false;
    }
    *ret_number = number;
    return true;
}

static int make_token(struct answer *answer, uint32_t ttl_s)
{
    const struct http_field *ttl = &answer->asked.ttl;
    char token[MMDS_TOKEN_LEN + 1];
    int rc = mmds_token_make(answer->mmds, ttl_s, token);

    if (rc < 0)
        return rc;
    (void)snprintf(answer->echo_name, sizeof(answer->echo_name), "%.*s", (int)ttl->name_len,
                   ttl->name);
    (void)snprintf(answer->echo_value, sizeof(answer->echo_value), "%u", ttl_s);
    answer->response.echo_name = answer->echo_name;
    answer->response.echo_value = answer->echo_value;
    return say(answer, 200, "%s", token);
}

static int answer_put(struct answer *answer, const char *path, size_t path_len)
{
    const struct http_field *ttl = &answer->asked.ttl;
    const struct http_field *forwarded = &answer->asked.forwarded;
    uint32_t ttl_s;

    if (forwarded->name)
        return say(answer, 400, "Invalid header. Reason: Unsupported header name. Key: %.*s",
                   (int)forwarded->name_len, forwarded->name);
    if (path_len != strlen(TOKEN_PATH) || memcmp(path, TOKEN_PATH, path_len) != 0)
        return say_not_found(answer);
    if (!ttl->name)
        return say(answer, 400,
                   "Token time to live value not found. Use `" TTL_NAME "` or `" TTL_EC2_NAME
                   "` header to specify the token's lifetime.");
    if (!u32_of(ttl, &ttl_s))
        return say(answer, 400, "Invalid header. Reason: Invalid value. Key:%.*s; Value:%.*s",
                   (int)ttl->name_len, ttl->name, (int)ttl->value_len, ttl->value);
    if (ttl_s < MMDS_TTL_MIN_S || ttl_s > MMDS_TTL_MAX_S)
        return say(answer, 400,
                   "Invalid time to live value provided for token: %u. Please provide a value "
                   "between %u and %u.",
                   ttl_s, MMDS_TTL_MIN_S, MMDS_TTL_MAX_S);
    return make_token(answer, ttl_s);
}

/* ------------------------------------------------------------------ all */

static int answer_request(struct answer *answer)
{
    char path[MMDS_REQUEST_MAX_SIZE];

    answer->response.is_1_0 = answer->request.minor == 0;
    if (answer->request.path_len == 0 || answer->request.path_len > sizeof(path))
        return say(answer, 400, "Invalid URI.");
    size_t path_len = collapse(&answer->request, path);
    switch (answer->request.method) {
    case HTTP_METHOD_GET:
        return answer_get(answer, path, path_len);
    case HTTP_METHOD_PUT:
        return answer_put(answer, path, path_len);
    case HTTP_METHOD_PATCH:
    case HTTP_METHOD_DELETE:
        break;
    }
    answer->response.allow = "GET, PUT";
    return say(answer, 405, "Not allowed HTTP method.");
}

/* What could not be parsed: the text is said to be JSON, which it is not. */
static int answer_fault(struct answer *answer, enum http_fault fault, const struct err *err)
{
    bool unknown = fault == HTTP_FAULT_METHOD || fault == HTTP_FAULT_VERSION;
    int rc = say(answer, unknown ? 501 : 400, "%s", err->msg);

    answer->response.content_type = JSON_TYPE;
    return rc;
}

int mmds_http_answer(struct mmds *mmds, const char *request, size_t len, char **ret_text,
                     size_t *ret_len)
{
    struct answer answer = {.mmds = mmds};
    struct err err = ERR_INIT;
    enum http_fault fault;
    int rc = http_whole_parse(request, len, on_field, &answer.asked, &answer.request, &fault, &err);

    rc = rc < 0 ? answer_fault(&answer, fault, &err) : answer_request(&answer);
    if (rc == 0)
        rc = http_response_render(&answer.response, ret_text, ret_len);
    free(answer.body);
    return rc;
}
