/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Taking back.
 */
#include "jailer/undo.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"

static int remove_at(int dir_fd, const char *name, bool is_dir)
{
    return unlinkat(dir_fd, name, is_dir ? AT_REMOVEDIR : 0) < 0 ? -errno : 0;
}

int jail_undo_note(struct jail_undo *undo, int dir_fd, const char *name, bool is_dir,
                   struct err *err)
{
    int rc = undo->count == JAIL_UNDO_MAX                    ? -E2BIG
             : strlen(name) >= sizeof(undo->entries[0].name) ? -ENAMETOOLONG
                                                             : 0;
    int copy = rc == 0 ? fcntl(dir_fd, F_DUPFD_CLOEXEC, 3) : FD_NONE;
    if (rc == 0 && copy < 0)
        rc = -errno;
    if (rc < 0) {
        (void)remove_at(dir_fd, name, is_dir); /* empty still */
        if (rc == -E2BIG)
            return err_set(err, rc,
                           "A run makes at most %u directories and files, and %.80s would be one "
                           "more: fewer levels of --parent-cgroup or fewer controllers are needed",
                           JAIL_UNDO_MAX, name);
        return err_set(err, rc, "Cannot note that %.80s was made: %s (%s)", name, ERR_OS(rc),
                       err_name(rc));
    }
    struct jail_undo_entry *entry = &undo->entries[undo->count];
    *entry = (struct jail_undo_entry){.dir_fd = copy, .is_dir = is_dir};
    memcpy(entry->name, name, strlen(name) + 1);
    undo->count++;
    return 0;
}

void jail_undo_run(struct jail_undo *undo)
{
    while (undo->count > 0) {
        struct jail_undo_entry *entry = &undo->entries[--undo->count];
        int rc = remove_at(entry->dir_fd, entry->name, entry->is_dir);
        if (rc < 0 && rc != -ENOENT)
            (void)fprintf(stderr, "%s, which this run made, cannot be removed: %s\n", entry->name,
                          ERR_OS(rc));
        fd_close(&entry->dir_fd);
    }
}
