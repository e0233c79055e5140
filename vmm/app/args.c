/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line: one table of options, one pass (cli.md A). Thread: main, at start.
 */
#include "vmm/app/args.h"

#include <errno.h>

#include "base/cmdline.h"
#include "base/http/http.h"

#define OPTION(n, k, member, def, req, or, excl, text)                                             \
    {                                                                                              \
        .name = (n), .kind = (k), .off = offsetof(struct app_args, member), .fallback = (def),     \
        .requires = (req), .or_else = (or), .excludes = (excl), .help = (text)                     \
    }
#define VALUE(n, member, def, req, excl, text)                                                     \
    OPTION(n, CMDLINE_VALUE, member, def, req, NULL, excl, text)
#define LIST(n, member, excl, text) OPTION(n, CMDLINE_LIST, member, NULL, NULL, NULL, excl, text)
#define FLAG(n, member, req, excl, text)                                                           \
    OPTION(n, CMDLINE_FLAG, member, NULL, req, NULL, excl, text)
#define FLAG_NOT(n, member, excl, text) FLAG(n, member, NULL, excl, text)
#define FLAG_OR(n, member, req, or, text) OPTION(n, CMDLINE_FLAG, member, NULL, req, or, NULL, text)

/* Text of a macro that is a number. */
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)
#define NUMBER_TEXT_(number) #number

/* Alphabetical: requirements are checked in this order (cli.md A.1). */
static const struct cmdline_option options[] = {
    LIST(
        "allow-path", allow_paths, "no-landlock",
        "Directory or file that this process may use, and no others; may be given more than once."),
    VALUE("api-sock", api_sock, "/run/firecracker.socket", NULL, NULL,
          "Path to the Unix socket of the API."),
    FLAG("boot-timer", boot_timer, NULL, NULL, "Log how long the guest's boot took."),
    FLAG("check-host", check_host, NULL, NULL,
         "Say whether this host is set up for tenants who do not trust each other, and exit."),
    VALUE("config-file", config_file, NULL, NULL, "warm",
          "Path to a JSON file that describes the VM to boot at start."),
    VALUE("describe-snapshot", describe_snapshot, NULL, NULL, NULL,
          "Say what a snapshot's state file is: its format's version, then where it was taken."),
    FLAG("enable-pci", enable_pci, NULL, NULL, "Warns; devices stay on the MMIO transport."),
    FLAG("help", help, NULL, NULL, "Print this text; so does -h."),
    VALUE("http-api-max-payload-size", http_api_max_payload_size,
          NUMBER_TEXT(HTTP_BODY_DEFAULT_MAX_SIZE), NULL, NULL,
          "Largest body of an API request, in bytes."),
    VALUE("id", id, "anonymous-instance", NULL, NULL, "Identifier of this VM."),
    VALUE("irqchip", irqchip, NULL, NULL, NULL,
          "split (IOAPIC in the monitor) or full (all in the kernel) [default: split]."),
    VALUE("level", level, NULL, NULL, NULL,
          "Log level: Error, Warning, Info, Debug, Trace or Off."),
    VALUE("load-snapshot", load_snapshot, NULL, NULL, "config-file",
          "Path to a JSON file with the body of PUT /snapshot/load, to load at start."),
    VALUE("log-path", log_path, NULL, NULL, NULL, "File or FIFO for the log, instead of stdout."),
    VALUE("metadata", metadata, NULL, NULL, NULL, "Path to a JSON file for the metadata store."),
    VALUE("metrics-path", metrics_path, NULL, NULL, NULL, "File or FIFO for the metrics."),
    VALUE("mmds-size-limit", mmds_size_limit, NULL, NULL, NULL,
          "Largest metadata store, in bytes [default: the largest body]."),
    VALUE("module", module, NULL, NULL, NULL, "Log only lines of files with this path prefix."),
    FLAG_OR("no-api", no_api, "config-file", "load-snapshot",
            "Run without the API; needs --config-file or --load-snapshot."),
    FLAG("no-landlock", no_landlock, NULL, NULL, "Run without Landlock."),
    FLAG("no-seccomp", no_seccomp, NULL, NULL, "Run without seccomp filters."),
    VALUE("parent-cpu-time-us", parent_cpu_time_us, NULL, NULL, NULL,
          "CPU time of the parent (microseconds), set by the jailer."),
    VALUE("policy-counters-fd", policy_counters_fd, NULL, NULL, NULL,
          "Inherited descriptor of the network policy's counters, set by the jailer."),
    FLAG("probe", probe, NULL, NULL, "Say whether this host's KVM can run Linux, and exit."),
    VALUE("prometheus-path", prometheus_path, NULL, NULL, NULL,
          "File for the metrics as Prometheus text, or unix:PATH for a socket that serves it."),
    FLAG_NOT("require-landlock", require_landlock, "no-landlock",
             "End where the kernel has no Landlock."),
    FLAG("resume", resume, "load-snapshot", NULL,
         "Run what --load-snapshot loads, as resume_vm does."),
    FLAG_NOT("seccomp-audit", seccomp_audit, "no-seccomp",
             "Forbid nothing: the kernel logs what the filters would forbid."),
    VALUE(
        "seccomp-filter", seccomp_filter, NULL, NULL, "no-seccomp",
        "Path to a file of mayfly-seccomp with filters that take the place of the built-in ones."),
    FLAG("show-level", show_level, NULL, NULL, "Show the level in log lines."),
    FLAG("show-log-origin", show_log_origin, NULL, NULL, "Show file and line in log lines."),
    FLAG("snapshot-version", snapshot_version, NULL, NULL, "Print the snapshot format's version."),
    VALUE("start-time-cpu-us", start_time_cpu_us, NULL, NULL, NULL,
          "Process CPU time at start (microseconds), set by the jailer."),
    VALUE("start-time-us", start_time_us, NULL, NULL, NULL,
          "Time of the start (monotonic microseconds), set by the jailer."),
    FLAG("version", version, NULL, NULL, "Print the version."),
    VALUE("warm", warm, NULL, NULL, "load-snapshot",
          "Path to a JSON file with the body of PUT /machine-config: a VM of that shape is made at "
          "once, for a snapshot to be loaded into."),
};

static const struct cmdline cmdline = {options, ARRAY_LEN(options)};

int app_args_parse(int argc, char *const *argv, struct app_args *ret_args, struct err *err)
{
    struct app_args args = {0};
    int rest; /* words behind "--" mean nothing here */
    int rc = cmdline_parse(&cmdline, argc, argv, &args, &rest, err);
    if (rc == 0)
        *ret_args = args;
    return rc;
}

int app_args_check_numbers(const struct app_args *args, struct err *err)
{
    const struct {
        const char *name;
        const char *text;
        const char *type;
    } numbers[] = {
        {"http-api-max-payload-size", args->http_api_max_payload_size, "usize"},
        {"mmds-size-limit", args->mmds_size_limit, "usize"},
        {"parent-cpu-time-us", args->parent_cpu_time_us, "u64"},
        {"start-time-cpu-us", args->start_time_cpu_us, "u64"},
        {"start-time-us", args->start_time_us, "u64"},
    };
    for (size_t i = 0; i < ARRAY_LEN(numbers); i++)
        if (numbers[i].text && !cmdline_parse_u64(numbers[i].text, NULL))
            return err_set(err, -EINVAL, "'%s' parameter expected to be of '%s' type.",
                           numbers[i].name, numbers[i].type);
    return 0;
}

size_t app_args_help(char *buf, size_t size)
{
    return cmdline_help(&cmdline, buf, size);
}
