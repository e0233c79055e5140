/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One request: routed, carried out through the mailbox, answered, logged. What the published state
 * tells is answered here, without the vmm thread. Thread: api; no state. Spec: api.md 1.1, 10.
 */
#include <errno.h>

#include "api/server_int.h"
#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"

/* An action whose time is told: its name, and the metric of the API's view. */
struct timed {
    const char *name;
    metric_t *metric;
};

/* *ret_timed.name stays NULL for all others. Before the action is posted. */
static void timed_of(const struct api_request *request, struct timed *ret_timed)
{
    struct metrics_latencies_us *us = &metrics.latencies_us;

    if (request->answer != API_ANSWER_CTL)
        return;
    enum ctl_action_kind kind = request->action.kind;
    if (kind == CTL_PAUSE)
        *ret_timed = (struct timed){"pause vm", &us->pause_vm};
    else if (kind == CTL_RESUME)
        *ret_timed = (struct timed){"resume vm", &us->resume_vm};
    else if (kind == CTL_SNAPSHOT_LOAD)
        *ret_timed = (struct timed){"load snapshot", &us->load_snapshot};
    else if (kind != CTL_SNAPSHOT_CREATE)
        return;
    else if (request->action.u.snapshot_create.snapshot_type == CFG_SNAPSHOT_DIFF)
        *ret_timed = (struct timed){"create diff snapshot", &us->diff_create_snapshot};
    else
        *ret_timed = (struct timed){"create full snapshot", &us->full_create_snapshot};
}

static void tell_time(const struct timed *timed, uint64_t start_ns)
{
    uint64_t took_us = (clock_mono_ns() - start_ns) / NS_PER_US;

    metric_store(timed->metric, took_us);
    log_info("'%s' API request took %llu us.", timed->name, (unsigned long long)took_us);
}

/* Returns 0 with *ret_reply, or -ECANCELED. */
static int carry_out(struct ctl_mailbox *mailbox, struct api_request *request,
                     struct ctl_reply *ret_reply)
{
    struct timed timed = {.name = NULL};

    if (request->answer != API_ANSWER_CTL)
        return 0;
    timed_of(request, &timed);
    uint64_t start_ns = timed.name ? clock_mono_ns() : 0;
    int rc = ctl_post(mailbox, &request->action, ret_reply);
    if (rc == 0 && ret_reply->code == 0 && timed.name)
        tell_time(&timed, start_ns);
    return rc;
}

static void trace_outcome(const struct http_request *http, const struct api_request *request,
                          const struct ctl_reply *reply)
{
    uint32_t status = api_reply_status(request, reply);

    if (reply->code < 0)
        api_trace_error(status, &reply->err, http);
    else
        api_trace_success(status);
}

int api_serve_request(const struct api_server_options *options, struct ctl_mailbox *mailbox,
                      const struct http_request *http, char **ret_text, size_t *ret_len)
{
    struct api_request request = {0};
    struct ctl_reply reply = {0};
    struct err err = ERR_INIT;

    api_trace_request(http);
    if (api_request_parse(http, options->body_max_size, &request, &err) < 0) {
        api_trace_error(400, &err, http);
        return api_fault_render(&err, ret_text, ret_len);
    }
    enum ctl_state state = CTL_STATE_NOT_STARTED;
    if (request.answer == API_ANSWER_INFO)
        state = ctl_state_read(mailbox);
    int rc = carry_out(mailbox, &request, &reply);
    if (rc == 0)
        rc = api_reply_render(&options->identity, state, &request, &reply, ret_text, ret_len);
    if (rc == 0)
        trace_outcome(http, &request, &reply);
    else
        log_warn("The API request was not answered: %s", ERR_OS(rc));
    api_request_done(&request);
    return rc;
}

int api_serve_breach(const struct err *err, bool closes, char **ret_text, size_t *ret_len)
{
    api_trace_error(400, err, NULL);
    return api_protocol_error_render(err, closes, ret_text, ret_len);
}
