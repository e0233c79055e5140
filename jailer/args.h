/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jailer's command line as texts, and what of it can be judged without the system (cli.md I.1).
 * Pure; thread: main.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/err.h"

/* Borrowed from argv. */
struct jail_args {
    const char *id;
    const char *exec_file;
    const char *uid;
    const char *gid;
    const char *chroot_base_dir;
    const char *netns;
    const char *cgroup_version;
    const char *policy;        /* a file; NULL: none */
    const char *tap;           /* that it is for */
    const char *parent_cgroup; /* NULL: the executable's name */
    struct cmdline_list cgroups;
    struct cmdline_list limits;
    struct cmdline_list keep_fds;
    bool daemonize;
    bool new_pid_ns;
    bool rootless;
    bool help;
    bool version;
    int rest; /* index in argv of what the monitor gets */
};

/* Parses argv[1..argc) by the grammar of cmdline_parse. ret_args: borrows from argv; set only when
 * all is well. Returns 0, or -EINVAL with the reference's sentence. Spec: cli.md I.1. */
MUST_CHECK int jail_args_parse(int argc, char *const *argv, struct jail_args *ret_args,
                               struct err *err);

/* As cmdline_help. */
size_t jail_args_help(char *buf, size_t size);

/* A user's or group's id: decimal, 32 bits. what: "uid" or "gid". Returns 0 or -EINVAL. */
MUST_CHECK int jail_id_parse(const char *text, const char *what, uint32_t *ret_id, struct err *err);

/* Limits of resources; has_fsize false: that one stays. */
#define JAIL_NO_FILE_DEFAULT 2048u
struct jail_limits {
    uint64_t no_file;
    uint64_t fsize; /* bytes */
    bool has_fsize;
};

/* fsize=BYTES, no-file=N; what is named twice counts the last time. Returns 0 or -EINVAL. */
MUST_CHECK int jail_limits_parse(const struct cmdline_list *list, struct jail_limits *ret_limits,
                                 struct err *err);
