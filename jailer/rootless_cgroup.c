/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Delegated cgroups. A cgroup with processes of its own can give no controller to those below it,
 * so that the jailer goes into the monitor's before it switches any on (jail_cgroups_make_v2).
 */
#include "jailer/rootless_cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "jailer/cgroup_int.h"

#define SELF_SIZE_MAX (64u << 10)
#define EMPTY_TRIES_MAX 1000u /* of a millisecond each */

int jail_cgroup_find_own(const char *text, char *ret_path)
{
    static const char key[] = "0::/";
    for (const char *line = text; *line; line += *line == '\n') {
        size_t len = strcspn(line, "\n");
        if (strncmp(line, key, strlen(key)) == 0 && len - strlen(key) < PATH_MAX / 2) {
            (void)snprintf(ret_path, PATH_MAX, "%.*s", (int)(len - strlen(key)),
                           line + strlen(key));
            return 1;
        }
        line += len;
    }
    return 0;
}

static int find_own(struct jail *jail, struct err *err)
{
    char *text = NULL;
    size_t len = 0;
    int rc = fd_read_file("/proc/self/cgroup", SELF_SIZE_MAX, &text, &len, err);
    if (rc < 0)
        return rc;
    int found = jail_cgroup_find_own(text, jail->rootless.own_cgroup);
    free(text);
    return found ? 0
                 : err_set(err, -ENOENT,
                           "/proc/self/cgroup names no cgroup of version 2. Is it mounted?");
}

/* DIR/REST into a buffer of PATH_MAX. */
static int join(char *buf, const char *dir, const char *rest, struct err *err)
{
    return jail_cgroup_path(buf, dir, rest, strlen(rest), err);
}

/* May this user make cgroups in it, and move processes there? */
static bool is_delegated(const char *dir)
{
    char path[PATH_MAX];
    struct err ignored = ERR_INIT;
    return access(dir, W_OK) == 0 && join(path, dir, "cgroup.procs", &ignored) == 0 &&
           access(path, W_OK) == 0;
}

/* The deepest directory on the way to the monitor's that is there. */
static void find_start(struct jail *jail, size_t mount_len)
{
    char *path = jail->rootless.start_path;
    while (strlen(path) > mount_len && access(path, F_OK) < 0)
        *strrchr(path, '/') = '\0';
}

static int find_delegated(struct jail *jail, struct err *err)
{
    char mount[PATH_MAX];
    int rc = jail_cgroup_mount(NULL, 0, mount, err);
    if (rc == 0)
        rc = find_own(jail, err);
    if (rc == 0)
        rc = join(jail->rootless.home_path, mount, jail->rootless.own_cgroup, err);
    const char *parent =
        jail->args->parent_cgroup ? jail->args->parent_cgroup : jail->rootless.own_cgroup;
    if (rc == 0)
        rc = join(jail->rootless.start_path, mount, parent, err);
    if (rc == 0)
        rc = join(jail->rootless.leaf_path, jail->rootless.start_path, jail->args->id, err);
    if (rc < 0)
        return rc;
    jail->cgroups.parent = parent;
    find_start(jail, strlen(mount));
    jail->rootless.is_delegated = is_delegated(jail->rootless.start_path);
    return 0;
}

int jail_rootless_check_cgroups(struct jail *jail, struct err *err)
{
    struct err ignored = ERR_INIT;
    jail->rootless.wants_cgroup = jail->cgroups.values_count > 0 || jail->args->parent_cgroup;
    if (!jail->rootless.wants_cgroup) { /* the start line says whether there could be limits */
        (void)find_delegated(jail, &ignored);
        return 0;
    }
    if (jail->cgroups.version != 2)
        return err_set(err, -EPERM,
                       "--rootless with --cgroup or --parent-cgroup: cgroups of version 1 are "
                       "root's alone. Where this host has version 2, too, say --cgroup-version 2.");
    int rc = find_delegated(jail, err);
    if (rc < 0)
        return err_prefix(err, "--rootless --cgroup: ");
    jail->cgroups.home = jail->rootless.home_path;
    jail->cgroups.start = jail->rootless.start_path;
    jail->cgroups.leaf = jail->rootless.leaf_path;
    if (jail->rootless.is_delegated)
        return 0;
    return err_set(err, -EPERM,
                   "--rootless: cgroup %s is not delegated to user %u, so that nothing can be "
                   "limited there. Start the jailer by systemd-run --user --scope -p Delegate=yes, "
                   "name another by --parent-cgroup, or leave --cgroup out.",
                   jail->rootless.start_path, geteuid());
}

int jail_rootless_make_cgroups(struct jail *jail, struct err *err)
{
    return jail->rootless.wants_cgroup
               ? jail_cgroups_make(&jail->cgroups, &jail->rootless.cgroup_undo, err)
               : 0;
}

/* ------------------------------------------------------------------ back again */

/* Unknown counts as empty: removing it will tell. */
static bool is_empty(int dir_fd)
{
    char text[256] = "";
    FD_AUTO int fd = openat(dir_fd, "cgroup.events", O_RDONLY | O_CLOEXEC);
    return fd < 0 || read(fd, text, sizeof(text) - 1) <= 0 || strstr(text, "populated 0");
}

void jail_rootless_undo_cgroups(struct jail *jail)
{
    /* Processes of --daemonize may be about to end still. */
    const struct timespec pause = {.tv_nsec = NS_PER_US * 1000L};
    jail_cgroups_disable(&jail->cgroups);
    jail_cgroups_leave(&jail->cgroups);
    bool made_any = jail->rootless.cgroup_undo.count > 0;
    for (unsigned i = 0; made_any && i < EMPTY_TRIES_MAX && !is_empty(jail->cgroups.dir_fd); i++)
        (void)nanosleep(&pause, NULL);
    jail_undo_run(&jail->rootless.cgroup_undo);
}
