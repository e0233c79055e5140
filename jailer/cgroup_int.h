/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What both versions of cgroups need. Paths are of cgroupfs, which root alone changes.
 */
#pragma once

#include "jailer/cgroup.h"

/* Where all of the system's hierarchies are mounted as a rule. */
#define CGROUP_PLACE "/sys/fs/cgroup"

/* "DIR/FILE" into buf of PATH_MAX. Returns 0 or -ENAMETOOLONG with a sentence. */
MUST_CHECK int jail_cgroup_path(char *buf, const char *dir, const char *file, size_t file_len,
                                struct err *err);

/* The mount of a hierarchy (jail_cgroup_find_mount in /proc/mounts). Returns 0 or -errno. */
MUST_CHECK int jail_cgroup_mount(const char *controller, size_t len, char *ret_path,
                                 struct err *err);

/* Makes MOUNT/PARENT/ID, and what is missing above it. ret_path: PATH_MAX. */
MUST_CHECK int jail_cgroup_make_dir(const struct jail_cgroups *cgroups, const char *mount,
                                    char *ret_path, struct jail_undo *undo, struct err *err);

/* Writes "VALUE\n" into a file that is there. */
MUST_CHECK int jail_cgroup_write(const char *path, const char *value, size_t len, struct err *err);

/* Opens what a process's id is written to, in `dir` and in the hierarchy's root, for
 * jail_cgroups_enter and _leave. */
MUST_CHECK int jail_cgroup_add_procs(struct jail_cgroups *cgroups, const char *mount,
                                     const char *dir, const char *file, struct err *err);

/* As jail_cgroups_make, of that version. */
MUST_CHECK int jail_cgroups_make_v1(struct jail_cgroups *cgroups, struct jail_undo *undo,
                                    struct err *err);
MUST_CHECK int jail_cgroups_make_v2(struct jail_cgroups *cgroups, struct jail_undo *undo,
                                    struct err *err);
