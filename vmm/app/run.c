/* SPDX-License-Identifier: Apache-2.0 */
/*
 * API and config file → ctl → loop → end (cli.md B, C). Thread: main, which becomes the vmm thread.
 */
#include "vmm/app/run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "api/server.h"
#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/backend/console.h"
#include "vmm/app/config_file.h"
#include "vmm/app/flush.h"
#include "vmm/app/logger.h"
#include "vmm/app/metadata.h"
#include "vmm/app/signals.h"
#include "vmm/app/snapshot.h"
#include "vmm/app/warm.h"
#include "vmm/ctl/ctl.h"
#include "vmm/ctl/mailbox.h"
#include "vmm/loop/loop.h"

/* One run. Lives in app_run's frame. */
struct run {
    const struct app_run_options *options;
    struct loop *loop;
    struct ctl *ctl;
    struct ctl_mailbox *mailbox; /* NULL: no API */
    struct api_server *server;
    struct api_server *scrape; /* NULL: no socket for metrics */
    struct app_flush flush;
    struct app_sandbox sandbox;
    bool has_vm; /* that runs or is paused */
    bool threads_are_made;
    struct cfg_vm *config;    /* of the file, until the VM is started */
    struct ctl_action *load;  /* of --load-snapshot, until it is carried out; NULL: none */
    struct cfg_machine shape; /* of --warm */
    char *metadata;           /* of its file, until ctl has it; NULL: none */
    size_t metadata_len;      /* bytes */
    enum machine_end end;
    struct err *err; /* why the guest ended, when it was an error */
};

static void on_end(void *ctx, enum machine_end end, const struct err *reason)
{
    struct run *run = ctx;
    run->end = end;
    if (end == MACHINE_END_ERROR)
        *run->err = *reason;
    log_info("Vmm is stopping.");
    loop_stop(run->loop);
}

/* When all threads are there and there is a VM. The guest has its first turn meanwhile, and the vmm
 * thread has read nothing of it. */
static void narrow(struct run *run)
{
    if (run->threads_are_made && run->has_vm)
        app_sandbox_narrow(&run->sandbox);
}

static void on_state(void *ctx, enum ctl_state state)
{
    struct run *run = ctx;
    run->has_vm = state != CTL_STATE_NOT_STARTED;
    narrow(run);
    if (run->mailbox)
        ctl_state_publish(run->mailbox, state);
    app_flush_on_state(&run->flush, state);
}

/* The reply goes out first: the loop is left behind it. */
static void on_lost(void *ctx)
{
    struct run *run = ctx;
    run->end = MACHINE_END_ERROR;
    IGNORE_RESULT(err_set(run->err, -EIO,
                          "RunWithApiError error: Failed to build MicroVM: Loading snapshot "
                          "failed.."));
    loop_stop(run->loop);
}

static void on_mapped(void *ctx, const struct gmem *gmem, const char *path)
{
    (void)ctx; /* signals are the process's */
    app_signals_name_memory(gmem, path);
}

static void on_explain(void *ctx, struct err *err)
{
    const struct run *run = ctx;
    app_sandbox_explain(&run->sandbox, err);
}

/* Without the vmm thread, which may wait for a page: what ends the process is all here. */
static void on_handler_ended(void *ctx, bool ends, const struct err *why)
{
    (void)ctx; /* the loop may never run again */
    log_error("%s", why->msg);
    if (!ends)
        return;
    (void)dprintf(STDERR_FILENO, "Error: %s\n", why->msg); /* nobody else to tell */
    log_error("Firecracker exiting with error. exit_code=%d", EXIT_CODE_GENERIC);
    app_signals_end_now(EXIT_CODE_GENERIC);
}

static int apply_logger(void *ctx, const struct cfg_logger *logger, struct err *err)
{
    (void)ctx; /* the log is the process's */
    return app_logger_apply(logger, err);
}

/* What each line says of this VM. They stay for the process's life, as the metrics do. */
static int label_metrics(const struct run *run, const struct cfg_metrics *config, struct err *err)
{
    const char *id = run->options->api.identity.id; /* needs no escapes: cmdline_check_id */
    char *labels = NULL;
    int len = asprintf(&labels, "%s%s%s%s%s%s", config->emit_id ? "\"id\":\"" : "",
                       config->emit_id ? id : "", config->emit_id ? "\"," : "",
                       config->properties ? "\"properties\":" : "",
                       config->properties ? config->properties : "", config->properties ? "," : "");
    if (len >= 0 && metrics_set_labels(labels) == 0)
        return 0;
    free(labels);
    return err_set(err, -ENOMEM, "no memory for the metrics' labels");
}

static int apply_metrics(void *ctx, const struct cfg_metrics *config, struct err *err)
{
    const struct run *run = ctx;
    int rc = metrics_open(config->metrics_path, err);
    return rc < 0 ? rc : label_metrics(run, config, err);
}

/* The same for the API and the config file. */
static struct ctl_sinks sinks_of(struct run *run)
{
    return (struct ctl_sinks){.ctx = run, .logger = apply_logger, .metrics = apply_metrics};
}

static void warn_unknown_keys(void *ctx, const char *keys)
{
    (void)ctx; /* nothing to remember */
    log_warn("The config file has sections that this VMM does not know and ignores: %s", keys);
}

static int make_ctl(struct run *run, struct err *err)
{
    int rc = loop_create(clock_real(), &run->loop, err);
    if (rc < 0)
        return rc;
    app_flush_init(&run->flush, run->loop);
    const struct ctl_options options = {
        .machine =
            {
                .kvm_path = "/dev/kvm",
                .irqchip = run->options->irqchip,
                .irqchip_is_asked = run->options->irqchip_is_asked,
                .boot_timer = run->options->boot_timer,
                .console_in_fd = run->options->console->input ? STDIN_FILENO : FD_NONE,
                .console_out_fd = STDOUT_FILENO,
                .clock = clock_real(),
                .loop = run->loop,
                .vm_id = run->options->api.identity.id,
                .metadata_max_size = run->options->metadata_max_size,
                .vcpu_entry = app_sandbox_vcpu(&run->sandbox),
                .on_end = on_end,
                .ctx = run,
            },
        .hooks = {.sinks = sinks_of(run),
                  .ctx = run,
                  .state = on_state,
                  .lost = on_lost,
                  .mapped = on_mapped,
                  .handler_ended = on_handler_ended,
                  .explain = on_explain,
                  .helper_entry = app_sandbox_helper(&run->sandbox)},
    };
    rc = ctl_create(&options, &run->ctl, err);
    if (rc == 0 && run->server)
        rc = ctl_mailbox_create(run->loop, ctl_do, run->ctl, &run->mailbox, err);
    return rc;
}

/* The category of what ctl refused of a config file. */
static int fail_config(enum ctl_part part, struct err *err)
{
    switch (part) {
    case CTL_PART_BOOT_SOURCE:
        return app_config_fail(APP_CONFIG_BOOT_SOURCE, err);
    case CTL_PART_DRIVE:
        return app_config_fail(APP_CONFIG_DRIVE, err);
    case CTL_PART_NIC:
        return app_config_fail(APP_CONFIG_NIC, err);
    case CTL_PART_VSOCK:
        return app_config_fail(APP_CONFIG_VSOCK, err);
    case CTL_PART_START:
        return err_prefix(err, "Could not Start MicroVM from one single json: ");
    }
    return err->code;
}

static int fail_from_file(const struct run *run, struct err *err)
{
    return err_prefix(err, "%s: Failed to build MicroVM from Json: ",
                      run->options->api.socket_path ? "RunWithApiError error"
                                                    : "RunWithoutApiError error");
}

/* Before the socket: a second try after a wrong file must not find the first one's socket there. */
static int load_config(struct run *run, struct err *err)
{
    const struct app_config_hooks hooks = {
        .ctx = run,
        .template_read = app_config_template_read,
        .unknown_keys = warn_unknown_keys,
        .sinks = sinks_of(run),
    };
    run->config = calloc(1, sizeof(*run->config));
    if (!run->config)
        return err_set(err, -ENOMEM, "no memory for the configuration");
    cfg_vm_init(run->config);
    int rc = app_config_file_load(run->options->config_path, &hooks, run->config, err);
    return rc < 0 ? fail_from_file(run, err) : 0;
}

/* Puts what a failure was about before the sentence. */
static int fail_metadata(const struct run *run, struct err *err)
{
    if (err->code != -EMSGSIZE)
        return err->code; /* the sentence is whole */
    if (run->options->config_path) {
        (void)app_config_fail(APP_CONFIG_METADATA, err); /* its code stays */
        return fail_from_file(run, err);
    }
    return err_prefix(err, "Populating MMDS from file failed: ");
}

/* Judged before the socket, as the config file. */
static int load_metadata(struct run *run, struct err *err)
{
    const struct app_run_options *options = run->options;
    if (!options->metadata_path)
        return 0;
    int rc = app_metadata_load(options->metadata_path, options->metadata_max_size, &run->metadata,
                               &run->metadata_len, err);
    return rc < 0 ? fail_metadata(run, err) : 0;
}

static int put_metadata(struct run *run, struct err *err)
{
    if (!run->metadata)
        return 0;
    int rc = ctl_load_metadata(run->ctl, run->metadata, run->metadata_len, err);
    free(run->metadata);
    run->metadata = NULL;
    if (rc < 0)
        return fail_metadata(run, err);
    log_info("Successfully added metadata to mmds from file");
    return 0;
}

static void drop_config(struct run *run)
{
    if (run->config)
        cfg_vm_done(run->config);
    free(run->config);
    run->config = NULL;
}

static int start_from_file(struct run *run, struct err *err)
{
    enum ctl_part part;
    int rc = ctl_start_config(run->ctl, run->config, &part, err);
    if (rc < 0)
        rc = fail_config(part, err);
    drop_config(run);
    if (rc < 0)
        return fail_from_file(run, err);
    log_info("Successfully started microvm that was configured from one single json");
    return 0;
}

/* Without the API nobody could ever resume what is loaded paused. */
static int check_resumes(const struct run *run, const struct cfg_snapshot_load *load,
                         struct err *err)
{
    if (run->options->api.socket_path || load->resume_vm)
        return 0;
    return err_set(
        err, -EINVAL,
        "--load-snapshot %s: with --no-api nobody can resume the VM, which would wait "
        "for ever. Add --resume to the command line, or \"resume_vm\": true to the file; "
        "or leave out --no-api and resume it by PATCH /vm.",
        run->options->snapshot_path);
}

/* Judged before the socket, as the config file. */
static int load_request(struct run *run, struct err *err)
{
    if (!run->options->snapshot_path)
        return 0;
    struct ctl_action *action = calloc(1, sizeof(*action));
    if (!action)
        return err_set(err, -ENOMEM, "no memory for --load-snapshot");
    int rc = app_snapshot_request_load(run->options->snapshot_path, &action->u.snapshot_load, err);
    if (rc < 0) {
        free(action);
        return rc;
    }
    action->kind = CTL_SNAPSHOT_LOAD;
    action->u.snapshot_load.resume_vm |= run->options->resume;
    run->load = action;
    return check_resumes(run, &action->u.snapshot_load, err);
}

static int load_shape(struct run *run, struct err *err)
{
    const char *path = run->options->warm_path;
    return path ? app_warm_load(path, &run->shape, err) : 0;
}

/* While nobody has asked for a VM: what does not depend on which one it will be. A client takes
 * longer than that to ask. */
static int prepare(struct run *run, struct err *err)
{
    const struct app_run_options *options = run->options;
    if (options->warm_path) {
        int rc = ctl_warm(run->ctl, &run->shape, err);
        return rc < 0 ? err_prefix(err, "--warm %s: ", options->warm_path) : 0;
    }
    if (!options->config_path && !options->snapshot_path)
        ctl_prepare(run->ctl);
    return 0;
}

static int start_from_snapshot(struct run *run, struct err *err)
{
    struct ctl_reply reply;
    if (!run->load)
        return 0;
    ctl_do(run->ctl, run->load, &reply);
    return reply.code < 0 ? err_set(err, reply.code, "%s", reply.err.msg) : 0;
}

/* Binds before all that takes time, so that nobody polls for long; answers once the thread runs. */
static int open_api(struct run *run, struct err *err)
{
    struct api_server_options options = run->options->api;
    if (!options.socket_path)
        return 0;
    options.entry = app_sandbox_api(&run->sandbox);
    int rc = api_server_open(&options, &run->server, err);
    if (rc == 0)
        metrics_phase_reached(METRICS_PHASE_SOCKET);
    return rc;
}

/* Time since a start that was given, with more that was given; 0 without a start. */
static uint64_t us_since(const char *start_us, uint64_t now_ns, const char *more_us)
{
    uint64_t now_us = now_ns / NS_PER_US;
    uint64_t start = start_us ? strtoull(start_us, NULL, 10) : now_us;
    uint64_t more = start_us && more_us ? strtoull(more_us, NULL, 10) : 0;
    return start < now_us ? now_us - start + more : more;
}

/* The API's thread is up: how long that took since the jailer began (cli.md F.2). */
static void store_startup_times(const struct app_start_times *times)
{
    metric_store(&metrics.api_server.process_startup_time_us,
                 us_since(times->mono_us, clock_mono_ns(), NULL));
    metric_store(&metrics.api_server.process_startup_time_cpu_us,
                 us_since(times->cpu_us, clock_process_cpu_ns(), times->parent_cpu_us));
}

/* The best that can be told: what came before main is known by its CPU time alone. */
static uint64_t process_start_ns(const struct app_start_times *times)
{
    if (times->mono_us)
        return strtoull(times->mono_us, NULL, 10) * NS_PER_US;
    return clock_mono_ns() - clock_process_cpu_ns();
}

/* The socket's path of --prometheus-path, or NULL: a file, or nothing. */
static const char *scrape_path(const struct app_run_options *options)
{
    static const char scheme[] = "unix:";
    const char *path = options->prometheus_path;
    return path && strncmp(path, scheme, strlen(scheme)) == 0 ? path + strlen(scheme) : NULL;
}

/* Before any socket is bound: what is wrong with a file is to be said again at the second try. */
static int open_prometheus(const struct run *run, struct err *err)
{
    const struct app_run_options *options = run->options;
    if (!options->prometheus_path)
        return 0;
    return metrics_prometheus_open(scrape_path(options) ? NULL : options->prometheus_path,
                                   options->api.identity.id,
                                   process_start_ns(&options->start_times), err);
}

/* On a thread of its own: it answers while the API waits for the VM. */
static int start_scrape(struct run *run, struct err *err)
{
    const struct api_server_options options = {.socket_path = scrape_path(run->options),
                                               .entry = app_sandbox_api(&run->sandbox),
                                               .scrapes = true};
    if (!options.socket_path)
        return 0;
    int rc = api_server_open(&options, &run->scrape, err);
    if (rc == 0)
        rc = api_server_start(run->scrape, NULL, err);
    return rc < 0 ? err_prefix(err, "--prometheus-path: ") : 0;
}

static int start_api(struct run *run, struct err *err)
{
    if (!run->server)
        return 0;
    int rc = api_server_start(run->server, run->mailbox, err);
    if (rc == 0)
        store_startup_times(&run->options->start_times);
    return rc;
}

static int run_loop(struct run *run, struct err *err)
{
    run->threads_are_made = true;
    narrow(run);
    int rc = loop_run(run->loop, err);
    if (rc == 0 && run->end == MACHINE_END_ERROR)
        rc = err->code < 0 ? err->code : -EIO;
    return rc;
}

int app_run(const struct app_run_options *options, struct err *err)
{
    struct run run = {.options = options, .err = err};
    int rc = app_signals_install(options->console, err);
    if (rc == 0)
        rc = app_sandbox_start(&run.sandbox, &options->sandbox, err);
    if (rc == 0 && options->config_path)
        rc = load_config(&run, err);
    if (rc == 0)
        rc = load_request(&run, err);
    if (rc == 0)
        rc = load_shape(&run, err);
    if (rc == 0)
        rc = load_metadata(&run, err);
    if (rc == 0)
        rc = open_prometheus(&run, err);
    if (rc == 0)
        rc = open_api(&run, err);
    if (rc == 0)
        rc = start_scrape(&run, err);
    if (rc == 0)
        rc = console_open(options->console, err);
    if (rc == 0)
        rc = make_ctl(&run, err);
    if (rc == 0)
        rc = put_metadata(&run, err);
    if (rc == 0 && options->config_path)
        rc = start_from_file(&run, err);
    if (rc == 0)
        rc = start_from_snapshot(&run, err);
    if (rc == 0)
        rc = start_api(&run, err);
    if (rc == 0)
        rc = prepare(&run, err);
    if (rc == 0)
        rc = run_loop(&run, err);
    if (rc < 0)
        app_sandbox_explain(&run.sandbox, err);
    app_flush_now(); /* however it ended */
    if (run.flush.has_run)
        log_info("Killing vCPU threads");
    if (run.mailbox)
        ctl_mailbox_close(run.mailbox);
    api_server_free(run.server);
    api_server_free(run.scrape);
    drop_config(&run);
    if (run.load)
        ctl_action_done(run.load);
    free(run.load);
    free(run.metadata);
    ctl_free(run.ctl);
    ctl_mailbox_free(run.mailbox);
    loop_free(run.loop);
    app_sandbox_done(&run.sandbox);
    return rc;
}
