/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An answer -> the bytes of an HTTP response (api.md 1.3, 3, 7, 8). Thread: api; no state.
 */
#include "api/reply.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/render.h"
#include "base/http/http.h"
#include "base/utf8.h"

#define APP_NAME "Firecracker" /* what clients look for (api.md 7) */

static const char *const state_names[] = {
    [CTL_STATE_NOT_STARTED] = "Not started",
    [CTL_STATE_RUNNING] = "Running",
    [CTL_STATE_PAUSED] = "Paused",
};
static_assert(ARRAY_LEN(state_names) == CTL_STATE_PAUSED + 1, "one name a state");

static int render_info(const struct api_identity *identity, enum ctl_state state, char **ret_text,
                       size_t *ret_len)
{
    struct json *info = json_new_object();
    if (!info)
        return -ENOMEM;

    int ret = json_put(info, "id", json_new_text(identity->id));
    ret |= json_put(info, "state", json_new_text(state_names[state]));
    ret |= json_put(info, "vmm_version", json_new_text(identity->version));
    ret |= json_put(info, "app_name", json_new_text(APP_NAME));
    return api_render_drop(info, ret, ret_text, ret_len);
}

/* An object with one text. */
static int render_pair(const char *key, const char *value, char **ret_text, size_t *ret_len)
{
    struct json *object = json_new_object();
    if (!object)
        return -ENOMEM;
    return api_render_drop(object, json_put(object, key, json_new_text(value)), ret_text, ret_len);
}

static bool has_document(const struct api_request *request)
{
    enum ctl_action_kind kind = request->action.kind;

    return request->answer != API_ANSWER_CTL || kind == CTL_MACHINE_CONFIG_GET ||
           kind == CTL_VM_CONFIG_GET || kind == CTL_MMDS_GET;
}

uint32_t api_reply_status(const struct api_request *request, const struct ctl_reply *reply)
{
    if (reply->code < 0)
        return reply->code == -EMSGSIZE ? 413 : 400;
    return has_document(request) ? 200 : 204;
}

/* The document of a request that has one: *ret_text stays NULL for the others. */
static int render_document(const struct api_identity *identity, enum ctl_state state,
                           const struct api_request *request, const struct ctl_reply *reply,
                           char **ret_text, size_t *ret_len)
{
    enum ctl_action_kind kind = request->action.kind;

    if (request->answer == API_ANSWER_VERSION)
        return render_pair("firecracker_version", identity->version, ret_text, ret_len);
    if (request->answer == API_ANSWER_INFO)
        return render_info(identity, state, ret_text, ret_len);
    if (kind == CTL_MACHINE_CONFIG_GET)
        return api_render_object(&cfg_object_machine, &reply->vm->machine, ret_text, ret_len);
    if (kind == CTL_VM_CONFIG_GET)
        return api_render_vm(reply->vm, ret_text, ret_len);
    if (kind != CTL_MMDS_GET)
        return 0;
    *ret_text = strdup(reply->metadata);
    if (!*ret_text)
        return -ENOMEM;
    *ret_len = strlen(*ret_text);
    return 0;
}

/* Sentences may be cut in the middle of a character, or show a path that is no text: what is not
 * UTF-8 becomes '?', since JSON cannot hold it. */
static void make_utf8(char *text)
{
    size_t len = strlen(text);

    for (size_t off = 0; off < len;) {
        uint32_t c;
        int size = utf8_decode(text + off, len - off, &c);
        if (size <= 0)
            text[off] = '?';
        off += size > 0 ? (size_t)size : 1;
    }
}

static int render_fault(uint32_t status, const struct err *err, bool deprecated, char **ret_text,
                        size_t *ret_len)
{
    char msg[ERR_MSG_MAX_SIZE];
    char *body = NULL;
    size_t body_len = 0;

    memcpy(msg, err->msg, sizeof(msg));
    make_utf8(msg);
    int ret = render_pair("fault_message", msg, &body, &body_len);
    if (ret < 0)
        return ret;
    ret = http_response_render(
        &(struct http_response){
            .status = status, .deprecation = deprecated, .body = body, .body_len = body_len},
        ret_text, ret_len);
    free(body);
    return ret;
}

int api_reply_render(const struct api_identity *identity, enum ctl_state state,
                     const struct api_request *request, const struct ctl_reply *reply,
                     char **ret_text, size_t *ret_len)
{
    uint32_t status = api_reply_status(request, reply);
    char *body = NULL;
    size_t body_len = 0;

    if (reply->code < 0)
        return render_fault(status, &reply->err, request->deprecated, ret_text, ret_len);
    int ret = render_document(identity, state, request, reply, &body, &body_len);
    if (ret < 0)
        return ret;
    assert((body != NULL) == (status == 200));
    ret = http_response_render(&(struct http_response){.status = status,
                                                       .deprecation = request->deprecated,
                                                       .body = body,
                                                       .body_len = body_len},
                               ret_text, ret_len);
    free(body);
    return ret;
}

int api_fault_render(const struct err *err, char **ret_text, size_t *ret_len)
{
    return render_fault(400, err, false, ret_text, ret_len);
}

int api_protocol_error_render(const struct err *err, bool closes, char **ret_text, size_t *ret_len)
{
    char body[ERR_MSG_MAX_SIZE + 96];

    /* The line feed is a byte, not an escape: no JSON, and what clients compare. */
    int len = snprintf(body, sizeof(body),
                       "{ \"error\": \"%s\nAll previous unanswered requests will be dropped.\" }",
                       err->msg);
    return http_response_render(
        &(struct http_response){
            .status = 400, .closes = closes, .body = body, .body_len = (size_t)len},
        ret_text, ret_len);
}
