/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of version 1: a hierarchy a controller, whose new directories begin with nothing in some
 * files (cpuset's), so that the parents' values are taken over first (cli.md I.4).
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/fd.h"
#include "jailer/cgroup_int.h"

#define LINE_SIZE_MAX (64u << 10)

/* The first line of DIR/FILE, without its end; empty is fine. ret_line: the caller frees. */
static int read_line(const char *dir, const struct jail_cgroup_value *value, char **ret_line,
                     struct err *err)
{
    char path[PATH_MAX];
    size_t len = 0;
    int rc = jail_cgroup_path(path, dir, value->file, value->file_len, err);
    if (rc == 0)
        rc = fd_read_file(path, LINE_SIZE_MAX, ret_line, &len, err);
    if (rc == -ENOENT)
        IGNORE_RESULT(
            err_set(err, rc,
                    "--cgroup %.*s: this host's cgroups are of version 1, where there is no "
                    "such file: %s",
                    (int)value->file_len, value->file, path));
    if (rc == 0)
        (*ret_line)[strcspn(*ret_line, "\n")] = '\0';
    return rc;
}

static bool go_up(char *dir)
{
    char *slash = strrchr(dir, '/');
    if (!slash)
        return false;
    *slash = '\0';
    return true;
}

/* Gives `dir` its parent's value. depth: how many parents may be given theirs first. */
static int inherit(const char *dir, const struct jail_cgroup_value *value, unsigned depth,
                   struct err *err)
{
    char parent[PATH_MAX];
    char path[PATH_MAX];
    char *line = NULL;
    memcpy(parent, dir, strlen(dir) + 1);
    int rc = go_up(parent) ? read_line(parent, value, &line, err) : -EINVAL;
    if (rc == 0 && *line == '\0' && depth > 0) {
        free(line);
        line = NULL;
        rc = inherit(parent, value, depth - 1, err);
        if (rc == 0)
            rc = read_line(parent, value, &line, err);
    }
    if (rc == 0 && *line == '\0')
        rc = err_set(err, -EINVAL,
                     "Failed to inherit cgroups configurations from file %.*s in path %s",
                     (int)value->file_len, value->file, parent);
    if (rc == 0)
        rc = jail_cgroup_path(path, dir, value->file, value->file_len, err);
    if (rc == 0)
        rc = jail_cgroup_write(path, line, strlen(line), err);
    free(line);
    return rc;
}

static unsigned depth_of(const char *parent)
{
    unsigned depth = 1;
    for (const char *at = parent; *at; at++)
        depth += at[0] == '/' && at[1] != '\0';
    return depth;
}

static bool is_first_of_controller(const struct jail_cgroups *cgroups, unsigned idx)
{
    const struct jail_cgroup_value *value = &cgroups->values[idx];
    for (unsigned i = 0; i < idx; i++)
        if (cgroups->values[i].controller_len == value->controller_len &&
            memcmp(cgroups->values[i].file, value->file, value->controller_len) == 0)
            return false;
    return true;
}

static int write_one(struct jail_cgroups *cgroups, unsigned idx, struct jail_undo *undo,
                     struct err *err)
{
    const struct jail_cgroup_value *value = &cgroups->values[idx];
    char mount[PATH_MAX];
    char dir[PATH_MAX];
    char path[PATH_MAX];
    int rc = jail_cgroup_mount(value->file, value->controller_len, mount, err);
    if (rc == 0)
        rc = jail_cgroup_make_dir(cgroups, mount, dir, undo, err);
    if (rc == 0)
        rc = inherit(dir, value, depth_of(cgroups->parent), err);
    if (rc == 0)
        rc = jail_cgroup_path(path, dir, value->file, value->file_len, err);
    if (rc == 0)
        rc = jail_cgroup_write(path, value->value, strlen(value->value), err);
    if (rc == 0 && is_first_of_controller(cgroups, idx))
        rc = jail_cgroup_add_procs(cgroups, mount, dir, "tasks", err);
    return rc;
}

int jail_cgroups_make_v1(struct jail_cgroups *cgroups, struct jail_undo *undo, struct err *err)
{
    int rc = 0;
    for (unsigned i = 0; i < cgroups->values_count && rc == 0; i++)
        rc = write_one(cgroups, i, undo, err);
    return rc;
}
