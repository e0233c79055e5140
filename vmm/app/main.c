/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's main: arguments, log, configuration, machine, loop, exit code (cli.md A-C).
 * Thread: main, which becomes the vmm thread.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/backend/console.h"
#include "vmm/app/args.h"
#include "vmm/app/config_file.h"
#include "vmm/app/exit_code.h"
#include "vmm/app/run.h"
#include "vmm/app/signals.h"
#include "vmm/app/version.h"
#include "vmm/machine/probe.h"

static void say(const char *text)
{
    IGNORE_RESULT(
        fd_write_full(STDOUT_FILENO, text, strlen(text))); /* nobody to tell if stdout is gone */
}

static void complain(const char *text)
{
    char line[ERR_MSG_MAX_SIZE + 16];
    int len = snprintf(line, sizeof(line), "Error: %s\n", text);
    IGNORE_RESULT(fd_write_full(STDERR_FILENO, line, (size_t)len)); /* as say() */
}

/* Text for --help, --version and friends, where a short-circuit was asked for. Returns true when
 * it was. */
static bool answer_queries(const struct app_args *args, const char *program)
{
    char text[8192];
    int len = app_version_line(program, text, sizeof(text));
    if (args->help) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "\noptional arguments:\n");
        (void)app_args_help(text + len, sizeof(text) - (size_t)len);
    } else if (args->version) {
        (void)snprintf(text + len, sizeof(text) - (size_t)len, "\n");
    } else if (args->snapshot_version) {
        (void)snprintf(text, sizeof(text), "v%s\n", APP_SNAPSHOT_VERSION);
    } else {
        return false;
    }
    say(text);
    return true;
}

static int run_probe(void)
{
    struct err err = ERR_INIT;
    int rc = machine_probe("/dev/kvm", &err);
    if (rc == 1) {
        say("This host's KVM runs what Linux needs.\n");
        return EXIT_CODE_OK;
    }
    say(err.msg);
    say("\n");
    return EXIT_CODE_GENERIC;
}

static int fail(const struct err *err, int code)
{
    log_error("%s", err->msg);
    complain(err->msg);
    log_error("Firecracker exiting with error. exit_code=%d", code);
    return code;
}

static int setup_log(const struct app_args *args, struct err *err)
{
    struct log_settings settings = log_get();
    settings.show_level = args->show_level;
    settings.show_origin = args->show_log_origin;
    if (args->level && log_level_from_name(args->level, &settings.level) < 0)
        return err_set(err, -EINVAL,
                       "Invalid value for logger level: %s.Possible values: [Error, Warning, Info, "
                       "Debug]",
                       args->level);
    log_set(&settings);
    log_set_module(args->module);
    return 0;
}

/* A wrong command line: the wrapper of cli.md A.1 around its sentence. */
static int fail_arguments(const struct err *err)
{
    struct err wrapped = ERR_INIT;
    IGNORE_RESULT(err_set(&wrapped, err->code,
                          "Arguments parsing error: %s \n\nFor more information try --help.",
                          err->msg));
    return fail(&wrapped, EXIT_CODE_ARG_PARSING);
}

/* Refuses what a later issue brings, so that nobody runs with less than was asked. */
static int refuse_unsupported(const struct app_args *args, struct err *err)
{
    if (args->describe_snapshot)
        return err_set(
            err, -ENOTSUP,
            "When printing Snapshot Data format: snapshots are not yet supported by this "
            "build");
    if (args->metadata)
        return err_set(err, -ENOTSUP, "--metadata is not yet supported by this build");
    if (args->seccomp_filter)
        return err_set(err, -ENOTSUP, "--seccomp-filter is not yet supported by this build");
    if (!args->no_api)
        return err_set(err, -ENOTSUP,
                       "The API is not yet supported by this build; start with --no-api "
                       "--config-file FILE");
    return 0;
}

static int irqchip_from_name(const char *name, enum hv_irqchip *ret_irqchip, struct err *err)
{
    if (strcmp(name, "split") == 0)
        *ret_irqchip = HV_IRQCHIP_SPLIT;
    else if (strcmp(name, "full") == 0)
        *ret_irqchip = HV_IRQCHIP_FULL;
    else
        return err_set(err, -EINVAL, "Invalid value for irqchip: %s. Possible values: split, full",
                       name);
    return 0;
}

/* From a validated command line to the exit code. */
static int start(const struct app_args *args, struct console *console, struct err *err)
{
    struct app_run_options options = {
        .config_path = args->config_file,
        .console = console,
        .boot_timer = args->boot_timer,
    };
    int rc = irqchip_from_name(args->irqchip, &options.irqchip, err);
    if (rc == 0)
        rc = app_args_check_numbers(args, err);
    if (rc == 0 && args->metrics_path)
        rc = metrics_open(args->metrics_path, err);
    if (rc == 0)
        rc = refuse_unsupported(args, err);
    if (rc < 0)
        return rc;
    if (fd_presize_table() < 0)
        log_debug("the fd table could not be grown early; it will grow later");
    if (args->enable_pci)
        log_warn(
            "--enable-pci is not supported by this VMM; virtio devices use the MMIO transport.");
    return app_run(&options, err);
}

int main(int argc, char **argv)
{
    struct app_args args;
    struct err err = ERR_INIT;
    const char *program = app_program_name(argv[0]);

    log_name_thread("main");
    if (fd_fill_standard() < 0)
        return EXIT_CODE_GENERIC; /* there is nowhere to say why */
    if (app_args_parse(argc, argv, &args, &err) < 0) {
        log_init("anonymous-instance");
        return fail_arguments(&err);
    }
    if (answer_queries(&args, program))
        return EXIT_CODE_OK;
    if (args.probe)
        return run_probe();

    if (app_id_validate(args.id, &err) < 0) {
        log_init("anonymous-instance");
        return fail(&err, EXIT_CODE_GENERIC);
    }
    log_init(args.id);
    if (setup_log(&args, &err) < 0)
        return fail(&err, EXIT_CODE_BAD_CONFIGURATION);
    if (args.log_path && log_open(args.log_path, &err) < 0)
        return fail(&err, EXIT_CODE_GENERIC);
    char line[128];
    (void)app_version_line(program, line, sizeof(line));
    line[strcspn(line, "\n")] = '\0';
    log_info("Running %s", line);

    struct console console = {0};
    int code = EXIT_CODE_OK;
    if (start(&args, &console, &err) < 0)
        code = fail(&err, EXIT_CODE_GENERIC);
    else
        log_info("Firecracker exiting successfully. exit_code=0");
    /* Last of all: a full pipe that nobody reads must not hold up what is said above. */
    console_restore(&console);
    return code;
}
