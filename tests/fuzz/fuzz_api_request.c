/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Method, path and body -> action -> reply. Input: "METHOD PATH", and behind a line feed the body
 * (no line feed: no body). A refusal must render to JSON that parses; what is taken must keep the
 * promises that ctl relies on, and render. Single thread.
 */
#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "api/reply.h"
#include "api/request.h"
#include "base/json/json.h"
#include "base/log.h"
#include "vmm/config/cfg_fields.h"

#define BODY_MAX_SIZE 51200u

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise of the code under test: a crash is what the fuzzer reports. */
static void must(bool kept)
{
    if (!kept)
        abort();
}

/* Head and body of a response; a body is JSON with nothing behind it. */
static void check_response(char *text, size_t len)
{
    struct json_doc *doc;
    struct err err = ERR_INIT;
    const char *body = memmem(text, len, "\r\n\r\n", 4);

    must(strlen(text) == len && body != NULL);
    body += 4;
    if (*body != '\0') {
        must(json_parse(body, strlen(body), SIZE_MAX, &doc, &err) == 0);
        json_free(doc);
    }
    free(text);
}

static void check_refusal(const struct err *err)
{
    char *text = NULL;
    size_t len = 0;

    must(err->code == -EINVAL && err->msg[0] != '\0');
    must(api_fault_render(err, false, &text, &len) == 0);
    check_response(text, len);
}

static bool same_machine(const struct cfg_machine *a, const struct cfg_machine *b)
{
    return a->vcpu_count == b->vcpu_count && a->mem_size_mib == b->mem_size_mib &&
           a->smt == b->smt && a->has_cpu_template == b->has_cpu_template &&
           a->cpu_template == b->cpu_template && a->track_dirty_pages == b->track_dirty_pages &&
           a->huge_pages == b->huge_pages;
}

/* What ctl does with a machine: a failure leaves the old one. */
static void check_machine(const struct ctl_action *action, struct cfg_machine *machine)
{
    const struct cfg_machine before = *machine;
    struct err err = ERR_INIT;
    int ret;

    if (action->kind == CTL_MACHINE_CONFIG_PUT)
        ret = cfg_machine_put(&action->u.machine, machine, &err);
    else
        ret = cfg_machine_patch_apply(&action->u.machine_patch, machine, &err);
    if (ret < 0)
        must(same_machine(&before, machine));
    else
        must(cfg_machine_validate(machine, &err) == 0);
}

static void check_action(const struct ctl_action *action, struct cfg_vm *vm)
{
    if (action->kind == CTL_MACHINE_CONFIG_PUT || action->kind == CTL_MACHINE_CONFIG_PATCH)
        check_machine(action, &vm->machine);
    if (action->kind == CTL_DRIVE_PUT)
        must(action->u.drive.drive_id[0] != '\0');
    if (action->kind == CTL_DRIVE_PATCH)
        must(action->u.drive_patch.drive_id[0] != '\0');
    if (action->kind == CTL_NIC_PUT)
        must(action->u.nic.iface_id[0] != '\0' && action->u.nic.host_dev_name);
    if (action->kind == CTL_NIC_PATCH)
        must(action->u.nic_patch.iface_id[0] != '\0');
    if (action->kind == CTL_EXCLUDED)
        must((unsigned)action->u.excluded < CTL_EXCLUDED_COUNT);
    if (action->kind == CTL_SNAPSHOT_LOAD)
        must(action->u.snapshot_load.mem_backend.backend_path &&
             !action->u.snapshot_load.mem_file_path);
}

static void check_taken(struct api_request *request)
{
    static const struct api_identity identity = {.id = "fuzz", .version = "1.16.1"};
    struct cfg_vm *vm = malloc(sizeof(*vm));
    char *text = NULL;
    size_t len = 0;

    must(vm != NULL);
    cfg_vm_init(vm);
    check_action(&request->action, vm);
    const struct ctl_reply reply = {.vm = vm};
    must(api_reply_render(&identity, request, &reply, &text, &len) == 0);
    check_response(text, len);
    api_request_done(request);
    cfg_vm_done(vm);
    free(vm);
}

/* Cuts "METHOD PATH\nBODY"; false when it does not begin with a method. */
static bool read_request(char *input, size_t len, struct http_request *ret_http)
{
    static const char *const names[] = {"GET ", "PUT ", "PATCH ", "DELETE "};
    char *feed = memchr(input, '\n', len);

    if (feed) {
        *feed = '\0';
        ret_http->body = feed + 1;
        ret_http->body_len = (size_t)(input + len - (feed + 1));
    }
    for (int i = 0; i < HTTP_METHODS_COUNT; i++) {
        if (strncmp(input, names[i], strlen(names[i])) == 0) {
            ret_http->method = (enum http_method)i;
            ret_http->path = input + strlen(names[i]);
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct http_request http = {0};
    struct api_request request;
    struct err err = ERR_INIT;
    char *input = malloc(size + 1);

    must(input != NULL);
    memcpy(input, data, size);
    input[size] = '\0';
    log_set(&(struct log_settings){.level = LOG_LEVEL_OFF});
    if (read_request(input, size, &http)) {
        if (api_request_parse(&http, BODY_MAX_SIZE, &request, &err) < 0)
            check_refusal(&err);
        else
            check_taken(&request);
    }
    free(input);
    return 0;
}
