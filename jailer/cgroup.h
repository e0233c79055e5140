/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of the monitor, of either version. Spec: cli.md I.4; cgroups(7).
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/err.h"
#include "jailer/undo.h"

/* "cpuset.cpus=0-1": file, value and, up to the first dot, controller. Borrowed from argv. */
struct jail_cgroup_value {
    const char *file;
    size_t file_len;
    size_t controller_len;
    const char *value;
};

struct jail_cgroups {
    int version;        /* 1 or 2 */
    const char *parent; /* relative; borrowed */
    const char *id;     /* borrowed */
    struct jail_cgroup_value values[CMDLINE_LIST_MAX];
    unsigned values_count;
    /* cgroup.procs or tasks of each hierarchy, open for writing; attached last of all. */
    int procs_fds[CMDLINE_LIST_MAX];
    int home_fds[CMDLINE_LIST_MAX]; /* the same of the hierarchy's root, to leave again */
    unsigned procs_count;
    int dir_fd; /* v2: the cgroup, for CLONE_INTO_CGROUP; FD_NONE */
    /* v2 without root; else NULL. Borrowed, and longer alive. */
    const char *start; /* the delegated cgroup: above it nothing can be switched on */
    const char *home;  /* where the jailer was, instead of the hierarchy's root */
    const char *leaf;  /* the monitor's */
};

/* Parses what was asked for. version: NULL: as /sys/fs/cgroup is. Returns 0 or -EINVAL with the
 * reference's sentence. */
MUST_CHECK int jail_cgroups_parse(const struct cmdline_list *list, const char *version,
                                  const char *parent, const char *id, struct jail_cgroups *ret,
                                  struct err *err);

/* Is it a path below the hierarchy, without tricks? Returns 0, -EINVAL or -ENAMETOOLONG with a
 * sentence. */
MUST_CHECK int jail_cgroup_check_parent(const char *parent, struct err *err);

/* Makes them and writes the values; nobody is in them yet. What is made is noted in `undo`. Returns
 * 0 or -errno with the sentence. */
MUST_CHECK int jail_cgroups_make(struct jail_cgroups *cgroups, struct jail_undo *undo,
                                 struct err *err);

/* Moves the calling process into them: one write a hierarchy. Returns 0 or -errno with the
 * sentence. */
MUST_CHECK int jail_cgroups_enter(const struct jail_cgroups *cgroups, struct err *err);

/* v2 without root: switches off what was switched on in the jailer's own cgroup, which nobody
 * can be in as long as it is on. What fails is said when the jail cannot be removed. */
void jail_cgroups_disable(const struct jail_cgroups *cgroups);

/* Leaves them again, so that they can be removed. What fails is said when they cannot be. */
void jail_cgroups_leave(const struct jail_cgroups *cgroups);

/* Of mounts (the text of /proc/mounts), the first point of a cgroup2, or of the cgroup with this
 * v1 controller. ret_path: decoded, canonical names are not asked for. Returns 1, 0: none, or
 * -ENAMETOOLONG. */
MUST_CHECK int jail_cgroup_find_mount(const char *mounts, const char *controller, size_t len,
                                      char *ret_path, size_t size);
