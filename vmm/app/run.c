/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config file → machine → loop → end (cli.md B, C). Thread: main, which becomes the vmm thread.
 */
#include "vmm/app/run.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/backend/console.h"
#include "vmm/app/config_file.h"
#include "vmm/app/signals.h"
#include "vmm/config/cfg_text.h"
#include "vmm/loop/loop.h"
#include "vmm/machine/machine.h"

#define METRICS_PERIOD_NS (60 * NS_PER_S)

/* One run. Lives in app_run's frame. */
struct run {
    const struct app_run_options *options;
    struct loop *loop;
    struct machine *machine;
    struct cfg_vm *config;
    struct loop_timer metrics_timer;
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

static void flush_metrics(void)
{
    struct err err = ERR_INIT;
    if (metrics_flush(&err) < 0)
        log_error("Failed to write metrics: %s", err.msg);
}

static void on_metrics_timer(struct loop_timer *timer)
{
    struct run *run = timer->ctx;
    flush_metrics();
    loop_timer_arm(run->loop, timer, METRICS_PERIOD_NS);
}

static int apply_logger(void *ctx, const struct cfg_logger *logger, struct err *err)
{
    (void)ctx; /* the log is the process's */
    struct log_settings settings = log_get();
    settings.level = LOG_LEVEL_INFO;
    int rc = logger->level ? cfg_log_level_parse(logger->level, &settings.level, err) : 0;
    if (rc < 0)
        return rc;
    if (logger->has_show_level)
        settings.show_level = logger->show_level;
    if (logger->has_show_log_origin)
        settings.show_origin = logger->show_log_origin;
    rc = logger->log_path ? log_open(logger->log_path, err) : 0;
    if (rc < 0)
        return rc;
    log_set(&settings);
    if (logger->module)
        log_set_module(logger->module);
    return 0;
}

static int apply_metrics(void *ctx, const struct cfg_metrics *config, struct err *err)
{
    (void)ctx; /* the metrics are the process's */
    return metrics_open(config->metrics_path, err);
}

static void warn_unknown_keys(void *ctx, const char *keys)
{
    (void)ctx; /* nothing to remember */
    log_warn("The config file has sections that this VMM does not know and ignores: %s", keys);
}

static const struct app_config_hooks config_hooks = {
    .template_read = app_config_template_read,
    .unknown_keys = warn_unknown_keys,
    .logger = apply_logger,
    .metrics = apply_metrics,
};

/* Opens what the machine is made from: kernel, initrd, drives. */
static int stage(struct run *run, struct err *err)
{
    const struct cfg_vm *config = run->config;
    if (machine_stage_boot_source(run->machine, &config->boot_source, err) < 0)
        return app_config_fail(APP_CONFIG_BOOT_SOURCE, err);
    for (uint32_t i = 0; i < config->drives_count; i++) {
        uint32_t tail_size = 0;
        if (machine_stage_drive(run->machine, &config->drives[i], &tail_size, err) < 0)
            return app_config_fail(APP_CONFIG_DRIVE, err);
        if (tail_size)
            log_warn("Disk size of %s is not a multiple of sector size 512; the last %u bytes will "
                     "not be visible to the guest.",
                     config->drives[i].path_on_host, tail_size);
    }
    return 0;
}

static int make_machine(struct run *run, struct err *err)
{
    int rc = loop_create(clock_real(), &run->loop, err);
    if (rc < 0)
        return rc;
    const struct machine_options options = {
        .kvm_path = "/dev/kvm",
        .irqchip = run->options->irqchip,
        .boot_timer = run->options->boot_timer,
        .console_in_fd = run->options->console->input ? STDIN_FILENO : FD_NONE,
        .console_out_fd = STDOUT_FILENO,
        .clock = clock_real(),
        .loop = run->loop,
        .on_end = on_end,
        .ctx = run,
    };
    return machine_create(&options, &run->machine, err);
}

static int configure(struct run *run, struct err *err)
{
    int rc = app_config_file_load(run->options->config_path, &config_hooks, run->config, err);
    if (rc == 0)
        rc = make_machine(run, err);
    if (rc == 0)
        rc = stage(run, err);
    if (rc < 0)
        return rc;
    rc = machine_build(run->machine, run->config, err);
    if (rc == 0)
        rc = machine_start(run->machine, err);
    return rc < 0 ? err_prefix(err, "Could not Start MicroVM from one single json: ") : 0;
}

static int run_loop(struct run *run, struct err *err)
{
    log_info("Successfully started microvm that was configured from one single json");
    flush_metrics();
    run->metrics_timer = (struct loop_timer){.fn = on_metrics_timer, .ctx = run};
    loop_timer_arm(run->loop, &run->metrics_timer, METRICS_PERIOD_NS);
    int rc = loop_run(run->loop, err);
    if (rc == 0 && run->end == MACHINE_END_ERROR)
        rc = err->code < 0 ? err->code : -EIO;
    flush_metrics();
    log_info("Killing vCPU threads");
    return rc;
}

int app_run(const struct app_run_options *options, struct err *err)
{
    struct run run = {.options = options, .err = err};
    run.config = calloc(1, sizeof(*run.config));
    if (!run.config)
        return err_set(err, -ENOMEM, "no memory for the configuration");
    cfg_vm_init(run.config);

    int rc = app_signals_install(options->console, err);
    if (rc == 0)
        rc = console_open(options->console, err);
    if (rc == 0) {
        rc = configure(&run, err);
        if (rc < 0)
            (void)err_prefix(err, "RunWithoutApiError error: Failed to build MicroVM from Json: ");
    }
    if (rc == 0)
        rc = run_loop(&run, err);
    machine_free(run.machine);
    loop_free(run.loop);
    cfg_vm_done(run.config);
    free(run.config);
    return rc;
}
