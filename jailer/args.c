/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jailer's options and numbers.
 */
#include "jailer/args.h"

#include <errno.h>
#include <string.h>

#define OPTION(n, k, member, must, def, text) WITH(n, k, member, must, def, NULL, text)
#define WITH(n, k, member, must, def, with, text)                                                  \
    {                                                                                              \
        .name = (n), .kind = (k), .is_required = (must),                                           \
        .off = offsetof(struct jail_args, member), .fallback = (def), .requires = (with),          \
        .help = (text)                                                                             \
    }

static const char default_base[] = "/srv/jailer";

static const struct cmdline_option options[] = {
    OPTION("cgroup", CMDLINE_LIST, cgroups, false, NULL,
           "FILE=VALUE to write into the monitor's cgroup; may be given more than once."),
    OPTION("cgroup-version", CMDLINE_VALUE, cgroup_version, false, NULL,
           "1 or 2 [default: 2 where /sys/fs/cgroup is cgroup2, else 1]."),
    OPTION("chroot-base-dir", CMDLINE_VALUE, chroot_base_dir, false, default_base,
           "Directory that has the jails."),
    OPTION("daemonize", CMDLINE_FLAG, daemonize, false, NULL,
           "Run the monitor in the background, in a session of its own."),
    OPTION("exec-file", CMDLINE_VALUE, exec_file, true, NULL, "Path to the monitor."),
    OPTION("gid", CMDLINE_VALUE, gid, true, NULL, "Group that the monitor runs as."),
    OPTION("help", CMDLINE_FLAG, help, false, NULL, "Print this text; so does -h."),
    OPTION("id", CMDLINE_VALUE, id, true, NULL, "Identifier of the VM, and its jail's name."),
    OPTION(
        "keep-fd", CMDLINE_LIST, keep_fds, false, NULL,
        "N[=NAME]: an inherited TAP or listening socket that the monitor gets; may be given more "
        "than once."),
    OPTION("netns", CMDLINE_VALUE, netns, false, NULL, "Path to a network namespace to join."),
    OPTION("new-pid-ns", CMDLINE_FLAG, new_pid_ns, false, NULL,
           "Run the monitor in a PID namespace of its own."),
    OPTION("parent-cgroup", CMDLINE_VALUE, parent_cgroup, false, NULL,
           "Cgroup, relative to the hierarchy, below which the monitor's is made [default: the "
           "executable's name]."),
    WITH("policy", CMDLINE_VALUE, policy, false, NULL, "tap",
         "Path to a network policy in JSON, which is in force before the monitor starts."),
    OPTION("resource-limit", CMDLINE_LIST, limits, false, NULL,
           "fsize=BYTES or no-file=N; may be given more than once."),
    OPTION("rootless", CMDLINE_FLAG, rootless, false, NULL,
           "Jail without being root, by a user namespace; has --new-pid-ns in it."),
    WITH("tap", CMDLINE_VALUE, tap, false, NULL, "policy",
         "The TAP, in the network namespace of --netns, that --policy is for."),
    OPTION("uid", CMDLINE_VALUE, uid, true, NULL, "User that the monitor runs as."),
    OPTION("version", CMDLINE_FLAG, version, false, NULL, "Print the version."),
};
static const struct cmdline cmdline = {options, ARRAY_LEN(options)};

int jail_args_parse(int argc, char *const *argv, struct jail_args *ret_args, struct err *err)
{
    struct jail_args args = {0};
    int rc = cmdline_parse(&cmdline, argc, argv, &args, &args.rest, err);
    if (rc < 0)
        return err_prefix(err, "Failed to parse arguments: ");
    if (args.rootless && args.chroot_base_dir == default_base && !args.help && !args.version)
        return err_set(err, -EINVAL,
                       "Failed to parse arguments: --rootless needs --chroot-base-dir, a directory "
                       "of the user's own: %s is root's",
                       default_base);
    args.new_pid_ns |= args.rootless;
    *ret_args = args;
    return 0;
}

size_t jail_args_help(char *buf, size_t size)
{
    return cmdline_help(&cmdline, buf, size);
}

int jail_id_parse(const char *text, const char *what, uint32_t *ret_id, struct err *err)
{
    uint64_t value = 0;
    /* All ones means "no change" to the kernel. */
    if (!cmdline_parse_u64(text, &value) || value >= UINT32_MAX)
        return err_set(err, -EINVAL, "Invalid %s: %s", what, text);
    *ret_id = (uint32_t)value;
    return 0;
}

static int parse_limit(const char *text, struct jail_limits *limits, struct err *err)
{
    const char *equals = strchr(text, '=');
    if (!equals || equals[1] == '\0' || strchr(equals + 1, '='))
        return err_set(err, -EINVAL, "Invalid format for resources limits: %s", text);
    size_t len = (size_t)(equals - text);
    bool is_fsize = len == strlen("fsize") && memcmp(text, "fsize", len) == 0;
    bool is_no_file = len == strlen("no-file") && memcmp(text, "no-file", len) == 0;
    if (!is_fsize && !is_no_file)
        return err_set(err, -EINVAL, "Invalid resource argument: %.*s", (int)len, text);
    uint64_t value = 0;
    if (!cmdline_parse_u64(equals + 1, &value))
        return err_set(err, -EINVAL,
                       "Invalid limit value for resource: %s: a number from 0 to 2^64 - 1 is "
                       "expected",
                       equals + 1);
    if (is_no_file) {
        limits->no_file = value;
        return 0;
    }
    limits->fsize = value;
    limits->has_fsize = true;
    return 0;
}

int jail_limits_parse(const struct cmdline_list *list, struct jail_limits *ret_limits,
                      struct err *err)
{
    struct jail_limits limits = {.no_file = JAIL_NO_FILE_DEFAULT};
    for (unsigned i = 0; i < list->count; i++) {
        int rc = parse_limit(list->values[i], &limits, err);
        if (rc < 0)
            return rc;
    }
    *ret_limits = limits;
    return 0;
}
