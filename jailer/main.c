/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-jailer: shuts a monitor in and becomes it. The steps and their order are the reference's
 * (cli.md I.2). One thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/version.h"
#include "jailer/args.h"
#include "jailer/fds.h"
#include "jailer/jail.h"
#include "jailer/policy_command.h"
#include "jailer/rootless.h"
#include "jailer/rootless_cgroup.h"

/* The sentence, and once more as clients look for it. */
static int fail(const struct err *err)
{
    jail_lift_limits();
    (void)fprintf(stderr, "%s\nError: %s\n", err->msg, err->msg);
    return EXIT_FAILURE;
}

static int answer_query(const struct jail_args *args, const char *program, struct err *err)
{
    char text[8192];
    bool is_reference = strcmp(program, "jailer") == 0;
    if (is_reference)
        (void)printf("Jailer v" VERSION_API_LEVEL "\n\n");
    else
        (void)printf("Mayfly jailer v" MAYFLY_VERSION " (Firecracker API v" VERSION_API_LEVEL
                     ")\n\n");
    if (args->help) {
        (void)jail_args_help(text, sizeof(text));
        (void)printf("optional arguments:\n%s\nThe network policy of a VM that runs: %s policy "
                     "--help\n",
                     text, program);
    }
    return fd_flush_stdout(err) < 0 ? fail(err) : EXIT_SUCCESS;
}

static int open_null(struct jail *jail, struct err *err)
{
    if (!jail->args->daemonize)
        return 0;
    jail->null_fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    return jail->null_fd < 0
               ? err_set(err, -errno, "Failed to open file /dev/null: %s", ERR_OS(errno))
               : 0;
}

/* Returns only when a step failed, and then nothing of the jail is left that was not there. */
static int build(struct jail *jail, int argc, char *const *argv, struct err *err)
{
    bool rootless = jail->args->rootless;
    int rc = rootless ? jail_rootless_enter(jail, err) : 0;
    if (rc == 0)
        rc = jail_make_tree(jail, err);
    if (rc == 0)
        rc = jail_check_pid_file(jail, err);
    if (rc == 0)
        rc = jail_place_executable(jail, err);
    if (rc == 0)
        rc = rootless ? 0 : jail_join_netns(jail, err);
    if (rc == 0)
        rc = jail_set_limits(jail, err);
    if (rc == 0)
        rc = rootless ? jail_rootless_make_cgroups(jail, err)
                      : jail_cgroups_make(&jail->cgroups, &jail->undo, err);
    if (rc == 0)
        rc = open_null(jail, err);
    if (rc == 0)
        rc = jail_attach_policy(jail, err);
    if (rc == 0 && rootless)
        rc = jail_rootless_open_devices(jail, err);
    if (rc == 0)
        rc = jail_enter_root(jail, err);
    if (rc == 0)
        rc = jail_make_devices(jail, err);
    if (rc == 0 && rootless)
        jail_rootless_tell(jail);
    if (rc == 0 && !rootless)
        jail_tell_shared(jail);
    if (rc == 0)
        rc = jail_run(jail, argc, argv, err);
    jail_take_back(jail);
    if (rootless)
        jail_rootless_undo_cgroups(jail);
    return rc;
}

static int check_rights(struct jail *jail, struct err *err)
{
    if (jail->args->rootless)
        return jail_rootless_check(jail, err);
    if (geteuid() == 0)
        return 0;
    return err_set(err, -EPERM,
                   "The jailer has to be started by root: it makes namespaces, device nodes and "
                   "cgroups. This is user %u; --rootless does without.",
                   geteuid());
}

int main(int argc, char **argv)
{
    static struct jail jail; /* too large for a frame */
    struct jail_args args;
    struct err err = ERR_INIT;
    jail = (struct jail){.root_fd = FD_NONE,
                         .tree_fd = FD_NONE,
                         .copy_fd = FD_NONE,
                         .null_fd = FD_NONE,
                         .counters_fd = FD_NONE};
    for (size_t i = 0; i < JAIL_DEVICES_COUNT; i++)
        jail.rootless.device_fds[i] = FD_NONE;
    jail.start_us = clock_mono_ns() / NS_PER_US;
    if (fd_fill_standard() < 0)
        return EXIT_FAILURE; /* there is nowhere to say why */
    (void)clearenv();        /* glibc's cannot fail */
    if (argc > 1 && strcmp(argv[1], "policy") == 0)
        return jail_policy_command(argc - 1, argv + 1);
    if (jail_args_parse(argc, argv, &args, &err) < 0)
        return fail(&err);
    if (args.help || args.version)
        return answer_query(&args, cmdline_program_name(argv[0], "mayfly-jailer"), &err);
    if (jail_close_fds(&args.keep_fds, &err) < 0)
        return fail(&err);
    jail.kept_fds = args.keep_fds.count;
    if (jail_check(&jail, &args, &err) < 0)
        return fail(&err);
    if (check_rights(&jail, &err) < 0 || jail_check_policy(&jail, &err) < 0)
        return fail(&err);
    (void)build(&jail, argc, argv, &err);
    return fail(&err);
}
