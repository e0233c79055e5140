/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Command line: one table of options, one pass (cli.md A). Thread: main, at start.
 */
#include "vmm/app/args.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "base/ck.h"
#include "base/http/http.h"
#include "base/log.h"
#include "base/utf8.h"

struct option {
    const char *name;
    bool takes_value;
    bool is_list; /* of struct app_landlock_paths: may be given more than once */
    size_t off;   /* of a `const char *` or a `bool` in struct app_args */
    const char *fallback;
    const char *requires; /* option that must be there too */
    const char *or_else;  /* or this one; NULL: only that */
    const char *excludes; /* option that must not be there */
    const char *help;
};

#define VALUE(n, member, def, req, excl, text)                                                     \
    {                                                                                              \
        n, true, false, offsetof(struct app_args, member), def, req, NULL, excl, text              \
    }
#define FLAG(n, member, req, excl, text)                                                           \
    {                                                                                              \
        n, false, false, offsetof(struct app_args, member), NULL, req, NULL, excl, text            \
    }
#define LIST(n, member, excl, text)                                                                \
    {                                                                                              \
        n, true, true, offsetof(struct app_args, member), NULL, NULL, NULL, excl, text             \
    }
#define FLAG_NOT(n, member, excl, text) FLAG(n, member, NULL, excl, text)
#define FLAG_OR(n, member, req, or, text)                                                          \
    {                                                                                              \
        n, false, false, offsetof(struct app_args, member), NULL, req, or, NULL, text              \
    }

/* Text of a macro that is a number. */
#define NUMBER_TEXT(number) NUMBER_TEXT_(number)
#define NUMBER_TEXT_(number) #number

/* Alphabetical: requirements are checked in this order (cli.md A.1). */
static const struct option options[] = {
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
    VALUE("prometheus-path", prometheus_path, NULL, NULL, NULL,
          "File for the metrics as Prometheus text, or unix:PATH for a socket that serves it."),
    FLAG("probe", probe, NULL, NULL, "Say whether this host's KVM can run Linux, and exit."),
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

static const struct option *option_find(const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (strcmp(options[i].name, name) == 0)
            return &options[i];
    return NULL;
}

static const char **value_slot(struct app_args *args, const struct option *option)
{
    return (const char **)(void *)((char *)args + option->off);
}

static bool *flag_slot(struct app_args *args, const struct option *option)
{
    return (bool *)((char *)args + option->off);
}

static struct app_landlock_paths *list_slot(struct app_args *args, const struct option *option)
{
    return (struct app_landlock_paths *)(void *)((char *)args + option->off);
}

static bool given(struct app_args *args, const struct option *option)
{
    if (option->is_list)
        return list_slot(args, option)->count > 0;
    return option->takes_value ? *value_slot(args, option) != NULL : *flag_slot(args, option);
}

static bool given_by_name(struct app_args *args, const char *name)
{
    const struct option *option = option_find(name);
    return option && given(args, option);
}

/* --help and --version short-circuit everything, faults included. */
static bool short_circuit(int argc, char *const *argv, struct app_args *args)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        args->help |= strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0;
        args->version |= strcmp(argv[i], "--version") == 0;
    }
    return args->help || args->version;
}

static int add_to_list(struct app_landlock_paths *list, const char *value,
                       const struct option *option, struct err *err)
{
    if (list->count == APP_LANDLOCK_PATHS_MAX)
        return err_set(err, -EINVAL, "The argument '%s' was provided more than %u times.",
                       option->name, APP_LANDLOCK_PATHS_MAX);
    list->paths[list->count++] = value;
    return 0;
}

static int parse_one(int argc, char *const *argv, int *idx, struct app_args *args, struct err *err)
{
    const char *word = argv[*idx];
    bool dashed = strncmp(word, "--", 2) == 0;
    const struct option *option = dashed ? option_find(word + 2) : NULL;
    char quoted[128];

    if (!option) {
        const char *shown = dashed ? word + 2 : word;
        return err_set(err, -EINVAL,
                       "Found argument '%s' which wasn't expected, or isn't valid in this context.",
                       log_quote(shown, strlen(shown), quoted, sizeof(quoted)));
    }
    if (!option->is_list && given(args, option))
        return err_set(err, -EINVAL, "The argument '%s' was provided more than once.",
                       option->name);
    if (!option->takes_value) {
        *flag_slot(args, option) = true;
        return 0;
    }
    if (*idx + 1 >= argc || strncmp(argv[*idx + 1], "--", 2) == 0)
        return err_set(err, -EINVAL, "The argument '%s' requires a value, but none was supplied.",
                       option->name);
    const char *value = argv[++*idx];
    if (option->is_list)
        return add_to_list(list_slot(args, option), value, option, err);
    *value_slot(args, option) = value;
    return 0;
}

/* Does an option that was given need this one, and no other? */
static bool is_needed(struct app_args *args, const char *name)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].requires && !options[i].or_else && given(args, &options[i]) &&
            strcmp(options[i].requires, name) == 0)
            return true;
    return false;
}

/* Which of the two that would do is named: the one without which another option makes no sense. */
static const char *missing_name(struct app_args *args, const struct option *option)
{
    bool is_other = option->or_else && is_needed(args, option->or_else);
    return is_other ? option->or_else : option->requires;
}

static int check_relations(struct app_args *args, struct err *err)
{
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *option = &options[i];
        if (!given(args, option))
            continue;
        if (option->requires && !given_by_name(args, option->requires) &&
            !(option->or_else && given_by_name(args, option->or_else)))
            return err_set(err, -EINVAL, "Argument '%s' required, but not found.",
                           missing_name(args, option));
        if (option->excludes && given_by_name(args, option->excludes))
            return err_set(err, -EINVAL,
                           "Argument '%s' cannot be used together with argument '%s'.",
                           option->excludes, option->name);
    }
    return 0;
}

int app_args_parse(int argc, char *const *argv, struct app_args *ret_args, struct err *err)
{
    struct app_args args = {0};
    if (short_circuit(argc, argv, &args)) {
        *ret_args = args;
        return 0;
    }
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        int rc = parse_one(argc, argv, &i, &args, err);
        if (rc < 0)
            return rc;
    }
    int rc = check_relations(&args, err);
    if (rc < 0)
        return rc;
    for (size_t i = 0; i < ARRAY_LEN(options); i++)
        if (options[i].takes_value && !options[i].is_list && !given(&args, &options[i]))
            *value_slot(&args, &options[i]) = options[i].fallback;
    *ret_args = args;
    return 0;
}

static bool is_u64(const char *text)
{
    uint64_t value = 0;
    const char *c = text + (*text == '+');
    if (!*c)
        return false;
    for (; *c; c++) {
        if (*c < '0' || *c > '9' || !ck_mul(value, 10, &value) ||
            !ck_add(value, (uint64_t)(*c - '0'), &value))
            return false;
    }
    return true;
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
        if (numbers[i].text && !is_u64(numbers[i].text))
            return err_set(err, -EINVAL, "'%s' parameter expected to be of '%s' type.",
                           numbers[i].name, numbers[i].type);
    return 0;
}

size_t app_args_help(char *buf, size_t size)
{
    size_t len = 0;
    const int name_width = 60;
    for (size_t i = 0; i < ARRAY_LEN(options); i++) {
        const struct option *option = &options[i];
        char name[96];
        if (option->takes_value)
            (void)snprintf(name, sizeof(name), "--%s <%s>", option->name, option->name);
        else
            (void)snprintf(name, sizeof(name), "--%s", option->name);
        char *at = len < size ? buf + len : NULL;
        size_t left = len < size ? size - len : 0;
        int wrote =
            snprintf(at, left, "  %-*s%s%s%s%s\n", name_width, name, option->help,
                     option->fallback ? " [default: \"" : "",
                     option->fallback ? option->fallback : "", option->fallback ? "\"]" : "");
        len += wrote > 0 ? (size_t)wrote : 0;
    }
    return len;
}

int app_id_validate(const char *id, struct err *err)
{
    size_t len = strlen(id);
    if (len < 1 || len > LOG_ID_MAX_LEN)
        return err_set(
            err, -EINVAL,
            "Invalid instance ID: Invalid len (%zu);  the length must be between 1 and %u", len,
            LOG_ID_MAX_LEN);
    for (size_t off = 0, position = 0; off < len; position++) {
        uint32_t c = 0;
        int size = utf8_decode(id + off, len - off, &c);
        if (size <= 0)
            return err_set(err, -EINVAL,
                           "Invalid instance ID: Invalid char (\\x%02x) at position %zu: not UTF-8",
                           (unsigned char)id[off], position);
        if (!utf8_is_alphanumeric(c) && c != '-') {
            bool shown = (c >= ' ' && c < 0x7f) || c >= 0xa0;
            return err_set(err, -EINVAL, "Invalid instance ID: Invalid char (%.*s) at position %zu",
                           shown ? size : 1, shown ? id + off : "?", position);
        }
        off += (size_t)size;
    }
    return 0;
}
