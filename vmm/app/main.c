/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's main: arguments, log, configuration, machine, loop, exit code (cli.md A-C).
 * Thread: main, which becomes the vmm thread.
 */
#include <errno.h>
#include <malloc.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/fd.h"
#include "base/landlock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "base/version.h"
#include "devices/backend/console.h"
#include "snapshots/format/snapf.h"
#include "snapshots/snap.h"
#include "vmm/app/args.h"
#include "vmm/app/config_file.h"
#include "vmm/app/exit_code.h"
#include "vmm/app/host_check.h"
#include "vmm/app/logger.h"
#include "vmm/app/policy_counters.h"
#include "vmm/app/run.h"
#include "vmm/app/sandbox.h"
#include "vmm/app/signals.h"
#include "vmm/app/version.h"
#include "vmm/machine/probe.h"

static void complain(const char *text)
{
    char line[ERR_MSG_MAX_SIZE + 16];
    int len = snprintf(line, sizeof(line), "Error: %s\n", text);
    IGNORE_RESULT(fd_write_full(STDERR_FILENO, line, (size_t)len)); /* nobody else to tell */
}

/* What was asked for is the whole purpose of the run. Returns its exit code: a script must not take
 * half an answer for one. */
static int say(const char *text, int code)
{
    struct err err = ERR_INIT;
    int rc = fd_write_full(STDOUT_FILENO, text, strlen(text));
    if (rc == 0)
        return code;
    IGNORE_RESULT(fd_fail_stdout(rc, &err));
    complain(err.msg);
    return EXIT_CODE_GENERIC;
}

/* Out of line: the text's room would be main's own, and stay touched while the VM runs. */
static NO_INLINE int answer_query(const struct app_args *args, const char *program)
{
    char text[8192];
    int len = app_version_line(program, text, sizeof(text));
    if (args->help) {
        len += snprintf(text + len, sizeof(text) - (size_t)len, "\noptional arguments:\n");
        (void)app_args_help(text + len, sizeof(text) - (size_t)len);
    } else if (args->version) {
        (void)snprintf(text + len, sizeof(text) - (size_t)len, "\n");
    } else {
        (void)snprintf(text, sizeof(text), "v%u.%u.%u\n", SNAPF_MAJOR, SNAPF_MINOR, SNAPF_PATCH);
    }
    return say(text, EXIT_CODE_OK);
}

/* Out of line, too: with it comes all that decodes a snapshot. */
static NO_INLINE int run_describe(const char *path)
{
    struct err err = ERR_INIT;
    uint32_t version[3];
    char *text = NULL;
    static const struct app_sandbox_options options = {0};
    struct app_sandbox sandbox;
    int rc = app_sandbox_start(&sandbox, &options, &err);
    if (rc < 0) {
        complain(err.msg);
        return EXIT_CODE_GENERIC;
    }
    rc = snap_version(path, version, &err);
    if (rc == 0)
        rc = snap_describe(path, &text, &err);
    if (rc < 0) {
        const char *what = rc == -EINVAL ? "Invalid data format version of snapshot file: "
                                         : "Unable to open snapshot state file: ";
        (void)err_prefix(&err, "When printing Snapshot Data format: %s", what);
        complain(err.msg);
        return EXIT_CODE_GENERIC;
    }
    char line[64];
    (void)snprintf(line, sizeof(line), "v%u.%u.%u\n", version[0], version[1], version[2]);
    int code = say(line, EXIT_CODE_OK);
    if (code == EXIT_CODE_OK && text)
        code = say(text, EXIT_CODE_OK);
    free(text);
    return code;
}

static NO_INLINE int run_probe(void)
{
    struct err err = ERR_INIT;
    int rc = machine_probe("/dev/kvm", &err);
    if (rc == 1)
        return say("This host's KVM runs what Linux needs.\n", EXIT_CODE_OK);
    char line[ERR_MSG_MAX_SIZE + 1];
    (void)snprintf(line, sizeof(line), "%s\n", err.msg);
    return say(line, EXIT_CODE_GENERIC);
}

/* Lines that a person and a script read alike; the status says whether anything is advised. */
static NO_INLINE int run_check_host(void)
{
    char text[APP_HOST_TEXT_MAX_SIZE];
    const struct app_host host = {.root = "", .landlock_abi = landlock_abi()};
    int advised = app_host_check(&host, text, sizeof(text));
    return say(text, advised > 0 ? EXIT_CODE_GENERIC : EXIT_CODE_OK);
}

static int fail(const struct err *err, int code)
{
    log_error("%s", err->msg);
    complain(err->msg);
    log_error("Firecracker exiting with error. exit_code=%d", code);
    return code;
}

/* A text of the command line in a struct whose texts are otherwise its own. */
static char *unconst(const char *text)
{
    return (char *)(uintptr_t)text;
}

/* All but the file, which fails otherwise than a wrong level does. */
static int setup_log(const struct app_args *args, struct err *err)
{
    const struct cfg_logger logger = {
        .level = unconst(args->level),
        .has_show_level = true,
        .show_level = args->show_level,
        .has_show_log_origin = true,
        .show_log_origin = args->show_log_origin,
        .module = unconst(args->module),
    };
    if (app_logger_apply(&logger, err) < 0)
        return err_set(err, -EINVAL,
                       "Invalid value for logger level: %s.Possible values: [Error, Warning, Info, "
                       "Debug]",
                       args->level);
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

/* name: NULL: it was not given. */
static int irqchip_from_name(const char *name, enum hv_irqchip *ret_irqchip, struct err *err)
{
    if (!name || strcmp(name, "split") == 0)
        *ret_irqchip = HV_IRQCHIP_SPLIT;
    else if (strcmp(name, "full") == 0)
        *ret_irqchip = HV_IRQCHIP_FULL;
    else
        return err_set(err, -EINVAL, "Invalid value for irqchip: %s. Possible values: split, full",
                       name);
    return 0;
}

/* A number of the command line, app_args_check_numbers' or 0. */
static uint64_t number_of(const char *text)
{
    return text ? strtoull(text, NULL, 10) : 0;
}

/* From a validated command line to the exit code. */
static int start(const struct app_args *args, struct console *console, struct err *err)
{
    struct app_run_options options = {
        .config_path = args->config_file,
        .snapshot_path = args->load_snapshot,
        .resume = args->resume,
        .warm_path = args->warm,
        .irqchip_is_asked = args->irqchip != NULL,
        .api = {.socket_path = args->no_api ? NULL : args->api_sock,
                .body_max_size = (size_t)number_of(args->http_api_max_payload_size),
                .identity = {.id = args->id, .version = VERSION_API_LEVEL}},
        .console = console,
        .boot_timer = args->boot_timer,
        .metadata_path = args->metadata,
        .metadata_max_size = number_of(args->mmds_size_limit ? args->mmds_size_limit
                                                             : args->http_api_max_payload_size),
        .sandbox = {.seccomp_filter = args->seccomp_filter,
                    .no_seccomp = args->no_seccomp,
                    .seccomp_audit = args->seccomp_audit,
                    .no_landlock = args->no_landlock,
                    .require_landlock = args->require_landlock,
                    .allow_paths = args->allow_paths},
        .prometheus_path = args->prometheus_path,
        .start_times = {args->start_time_us, args->start_time_cpu_us, args->parent_cpu_time_us},
    };
    int rc = irqchip_from_name(args->irqchip, &options.irqchip, err);
    if (rc == 0)
        rc = app_args_check_numbers(args, err);
    if (rc < 0)
        return rc;
    /* Last: what is open is flushed, whatever happens. */
    if (args->metrics_path && metrics_open(args->metrics_path, err) < 0)
        return err_prefix(err, "--metrics-path %s: ", args->metrics_path);
    if (args->policy_counters_fd) {
        rc = app_policy_show(args->policy_counters_fd, err);
        if (rc < 0)
            return rc;
    }
    if (fd_presize_table() < 0)
        log_debug("the fd table could not be grown early; it will grow later");
    if (args->enable_pci)
        log_warn(
            "--enable-pci is not supported by this VMM; virtio devices use the MMIO transport.");
    return app_run(&options, err);
}

/* What is executed by a descriptor, as by mayfly-jailer, is called by its number before Linux 6.14,
 * and clients look for a name. */
static void keep_name(const char *program)
{
    char name[16] = "";
    (void)prctl(PR_GET_NAME, name); /* valid arguments: neither can fail */
    if (*name && name[strspn(name, "0123456789")] == '\0')
        (void)prctl(PR_SET_NAME, program);
}

int main(int argc, char **argv)
{
    struct app_args args;
    struct err err = ERR_INIT;
    const char *program = cmdline_program_name(argv[0], "mayfly");

    /* The threads allocate rarely, the vCPUs' never: an arena for each would only cost memory, and
     * the API's first reply the time to make it. */
    (void)mallopt(M_ARENA_MAX, 1);
    log_name_thread("main");
    keep_name(program);
    if (fd_fill_standard() < 0)
        return EXIT_CODE_GENERIC; /* there is nowhere to say why */
    if (app_args_parse(argc, argv, &args, &err) < 0) {
        log_init("anonymous-instance");
        return fail_arguments(&err);
    }
    if (args.help || args.version || args.snapshot_version)
        return answer_query(&args, program);
    if (args.probe)
        return run_probe();
    if (args.check_host)
        return run_check_host();
    if (args.describe_snapshot)
        return run_describe(args.describe_snapshot);

    if (cmdline_check_id(args.id, &err) < 0) {
        log_init("anonymous-instance");
        return fail(&err, EXIT_CODE_GENERIC);
    }
    log_init(args.id);
    if (setup_log(&args, &err) < 0)
        return fail(&err, EXIT_CODE_BAD_CONFIGURATION);
    if (args.log_path && log_open(args.log_path, &err) < 0) {
        (void)err_prefix(&err, "--log-path %s: ", args.log_path);
        return fail(&err, EXIT_CODE_GENERIC);
    }
    char line[128];
    (void)app_version_line(program, line, sizeof(line));
    line[strcspn(line, "\n")] = '\0';
    log_info("Running %s", line);

    struct console console = {0};
    int code = EXIT_CODE_OK;
    int rc = start(&args, &console, &err);
    if (rc < 0)
        code = fail(&err, rc == MACHINE_MEMORY_CUT ? EXIT_CODE_SIGBUS : EXIT_CODE_GENERIC);
    else
        log_info("Firecracker exiting successfully. exit_code=0");
    /* Last of all: a full pipe that nobody reads must not hold up what is said above. */
    console_restore(&console);
    return code;
}
