/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mayfly-snap's main: snapshots without a monitor. Under the file name snapshot-editor it takes the
 * commands of Firecracker's (clients.md, E4). One thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>

#include "base/fd.h"
#include "base/version.h"
#include "snapshots/format/snapf.h"
#include "snapshots/tool/args.h"
#include "snapshots/tool/commands.h"
#include "snapshots/tool/fail.h"

/* The editor's status for a wrong command line is what its clients know. */
enum { EXIT_FAILED = 1, EXIT_EDITOR_USAGE = 2 };

static int print_program_version(bool is_editor)
{
    if (is_editor)
        (void)printf("snapshot-editor v" VERSION_API_LEVEL "\n");
    else
        (void)printf("mayfly-snap v" MAYFLY_VERSION " (snapshot format v%u.%u.%u)\n", SNAPF_MAJOR,
                     SNAPF_MINOR, SNAPF_PATCH);
    return 0;
}

static int print_help(bool is_editor)
{
    (void)fputs(snaptool_args_usage(is_editor), stdout);
    return 0;
}

static int run(const struct snaptool_args *args, struct err *err)
{
    switch (args->command) {
    case SNAPTOOL_HELP:
        return print_help(args->is_editor);
    case SNAPTOOL_PROGRAM_VERSION:
        return print_program_version(args->is_editor);
    case SNAPTOOL_INFO:
        return snaptool_info(args, err);
    case SNAPTOOL_MERGE:
        return snaptool_merge(args, err);
    case SNAPTOOL_UNIQUE:
        return snaptool_unique(args, err);
    case SNAPTOOL_STATE_VERSION:
        return snaptool_version(args, err);
    case SNAPTOOL_VCPU_STATES:
        return snaptool_vcpu_states(args, err);
    case SNAPTOOL_VM_STATE:
        return snaptool_vm_state(args, err);
    }
    return -EINVAL;
}

static int fail(const struct err *err)
{
    (void)fprintf(stderr, "Error: %s\n", err->msg);
    return EXIT_FAILED;
}

int main(int argc, char **argv)
{
    struct snaptool_args args;
    struct err err = ERR_INIT;

    if (fd_fill_standard() < 0)
        return EXIT_FAILED; /* there is nowhere to say why */
    /* A limit on file sizes is an error like others, behind which we clean up. */
    (void)signal(SIGXFSZ, SIG_IGN);
    if (snaptool_args_parse(argc, argv, &args, &err) < 0) {
        (void)fail(&err);
        (void)fputs(snaptool_args_usage(args.is_editor), stderr);
        return args.is_editor ? EXIT_EDITOR_USAGE : EXIT_FAILED;
    }
    int rc = run(&args, &err);
    if (rc == 0)
        rc = fd_flush_stdout(&err);
    return rc < 0 ? fail(&err) : 0;
}
