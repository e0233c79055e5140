/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jail's root becomes the root (cli.md I.2, step 9): mounts that the host makes below it later
 * appear in the jail, none of the jail's appears outside.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"

static int fail(const char *what, const char *path, struct err *err)
{
    int code = -errno;
    return err_set(err, code, "%s %s: %s (%s)", what, path, ERR_OS(code), err_name(code));
}

/* Over the empty file that was made for it. */
static int bind_executable(struct jail *jail, struct err *err)
{
    if (jail->tree_fd < 0)
        return 0;
    struct stat st;
    FD_AUTO int place_fd = open(jail->exec_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place_fd < 0 || fstat(place_fd, &st) < 0)
        return fail("Failed to open", jail->exec_name, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s/%s is not a file", jail->root_path, jail->exec_name);
    if (syscall(SYS_move_mount, jail->tree_fd, "", place_fd, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return fail("Failed to bind the executable into the jail:", jail->exec_path, err);
    jail->is_bound = true;
    return 0;
}

/* What fails here is named when its place cannot be removed. */
void jail_leave_root(const struct jail *jail)
{
    char path[NAME_MAX + 2];
    if (!jail->is_inside) {
        if (jail->is_rooted)
            (void)umount2(jail->root_path, MNT_DETACH | UMOUNT_NOFOLLOW);
        return;
    }
    (void)snprintf(path, sizeof(path), "/%s", jail->exec_name);
    if (jail->is_bound)
        (void)umount2(path, MNT_DETACH | UMOUNT_NOFOLLOW);
    for (enum jail_device i = 0; i < JAIL_DEVICES_COUNT; i++)
        if (jail->rootless.bound_devices & 1u << i)
            (void)umount2(jail_device_path(i), MNT_DETACH | UMOUNT_NOFOLLOW);
}

/* The path was looked up again: is it still what was checked? */
static int check_place(const struct jail *jail, struct err *err)
{
    struct stat here;
    struct stat root;
    if (stat(".", &here) < 0 || fstat(jail->root_fd, &root) < 0)
        return fail("Failed to look at", jail->root_path, err);
    if (fd_is_same_file(&here, &root))
        return 0;
    return err_set(err, -ESTALE,
                   "%s is another directory than a moment ago: who owns the directories on the way "
                   "to it can replace it. Nothing was changed there.",
                   jail->root_path);
}

int jail_enter_root(struct jail *jail, struct err *err)
{
    if (unshare(CLONE_NEWNS) < 0)
        return fail("Failed to unshare into new mount namespace, for", jail->root_path, err);
    if (mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL) < 0)
        return fail("Failed to change the propagation type to slave, of", "/", err);
    if (mount(jail->root_path, jail->root_path, NULL, MS_BIND | MS_REC, NULL) < 0)
        return fail("Failed to bind mount the jail root directory", jail->root_path, err);
    jail->is_rooted = true;
    if (chdir(jail->root_path) < 0)
        return fail("Failed to change current directory to", jail->root_path, err);
    int rc = check_place(jail, err);
    if (rc == 0)
        rc = bind_executable(jail, err);
    if (rc < 0)
        return rc;
    /* The old root comes to lie over the new one, and goes at once: no directory is needed for
     * it. */
    if (syscall(SYS_pivot_root, ".", ".") < 0)
        return fail("Failed to pivot root to", jail->root_path, err);
    jail->is_inside = true;
    if (umount2(".", MNT_DETACH) < 0)
        return fail("Failed to unmount the old root behind", jail->root_path, err);
    if (chdir("/") < 0)
        return fail("Failed to change current directory to", "/", err);
    return 0;
}
