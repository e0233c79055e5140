/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fuzz target: method, path and body -> action. Input: one byte for the method, a path up to the
 * first line end, then the body (without a line end: none). Every refusal becomes a reply; every
 * action is of a known kind, comes the same again from the same request, and gives back what it
 * owns. Single thread.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "api/request.h"
#include "base/log.h"
#include "tests/fuzz/fuzz_check.h"

#define INPUT_MAX_SIZE (64u * 1024)

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What is deprecated is logged, which would be most of the time spent. */
int LLVMFuzzerInitialize(int *argc, char ***argv)
{
    (void)argc;
    (void)argv;
    struct log_settings settings = log_get();
    settings.level = LOG_LEVEL_OFF;
    log_set(&settings);
    return 0;
}

static void check_refusal(int ret, const struct err *err)
{
    FUZZ_CHECK(ret == -EINVAL && err->code == ret && err->msg[0] != '\0');
    char *text = NULL;
    size_t len = 0;
    FUZZ_CHECK(api_fault_render(err, &text, &len) == 0 && len > 0);
    free(text);
}

/* Strings that every action of the kind must have, as its handler counts on them. */
static void check_action(const struct ctl_action *action)
{
    FUZZ_CHECK((unsigned)action->kind < CTL_ACTIONS_COUNT);
    if (action->kind == CTL_BOOT_SOURCE_PUT)
        FUZZ_CHECK(action->u.boot_source.kernel_image_path != NULL);
    if (action->kind == CTL_DRIVE_PUT)
        FUZZ_CHECK(action->u.drive.drive_id != NULL && action->u.drive.drive_id[0] != '\0');
    if (action->kind == CTL_DRIVE_PATCH)
        FUZZ_CHECK(action->u.drive_patch.drive_id != NULL);
    if (action->kind == CTL_NIC_PUT)
        FUZZ_CHECK(action->u.nic.iface_id != NULL && action->u.nic.host_dev_name != NULL);
    if (action->kind == CTL_NIC_PATCH)
        FUZZ_CHECK(action->u.nic_patch.iface_id != NULL);
    if (action->kind == CTL_VSOCK_PUT)
        FUZZ_CHECK(action->u.vsock.uds_path != NULL);
    if (action->kind == CTL_METRICS_PUT)
        FUZZ_CHECK(action->u.metrics.metrics_path != NULL);
    if (action->kind == CTL_EXCLUDED)
        FUZZ_CHECK((unsigned)action->u.excluded < CTL_EXCLUDED_COUNT);
}

static void check_request(const struct http_request *http)
{
    struct api_request first = {0};
    struct api_request again = {0};
    struct err err = ERR_INIT;
    struct err err_again = ERR_INIT;
    int ret = api_request_parse(http, HTTP_BODY_DEFAULT_MAX_SIZE, &first, &err);
    FUZZ_CHECK(api_request_parse(http, HTTP_BODY_DEFAULT_MAX_SIZE, &again, &err_again) == ret);
    if (ret < 0) {
        check_refusal(ret, &err);
        FUZZ_CHECK(strcmp(err.msg, err_again.msg) == 0);
        return;
    }
    FUZZ_CHECK(ret == 0 && first.answer == again.answer);
    FUZZ_CHECK(first.deprecated == again.deprecated);
    if (first.answer == API_ANSWER_CTL) {
        FUZZ_CHECK(first.action.kind == again.action.kind);
        check_action(&first.action);
    }
    api_request_done(&first);
    api_request_done(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2 || size > INPUT_MAX_SIZE)
        return 0;
    const uint8_t *path = data + 1;
    const uint8_t *end = memchr(path, '\n', size - 1);
    size_t path_len = end ? (size_t)(end - path) : size - 1;
    if (memchr(path, '\0', path_len))
        return 0; /* the reader lets none through */
    char *text = malloc(path_len + 1);
    FUZZ_CHECK(text != NULL);
    memcpy(text, path, path_len);
    text[path_len] = '\0';
    /* A copy of its own, so that a byte read behind the body is seen. */
    size_t body_len = end ? size - 1 - path_len - 1 : 0;
    char *body = body_len ? malloc(body_len) : NULL;
    if (body)
        memcpy(body, end + 1, body_len);
    const struct http_request http = {
        .method = (enum http_method)(data[0] % HTTP_METHODS_COUNT),
        .path = text,
        .body = body,
        .body_len = body_len,
    };
    check_request(&http);
    free(body);
    free(text);
    return 0;
}
