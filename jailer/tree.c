/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The directories of a jail (cli.md I.3): made, or taken as they are found; a symbolic link among
 * them is refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"

/* Opens `name` in *dir_fd, makes it if need be, and leaves it in *dir_fd. */
static int step_into(struct jail *jail, int *dir_fd, const char *name, struct err *err)
{
    int made = mkdirat(*dir_fd, name, 0755) == 0;
    if (!made && errno != EEXIST)
        return err_set(err, -errno, "Failed to create directory %s, on the way to %s: %s", name,
                       jail->root_path, ERR_OS(errno));
    int rc = made ? jail_undo_note(&jail->undo, *dir_fd, name, true, err) : 0;
    if (rc < 0)
        return rc;
    int fd = openat(*dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return err_set(err, -errno,
                       "%s, on the way to %s, is no directory that can be opened: %s (%s). Who put "
                       "a link or a file there?",
                       name, jail->root_path, ERR_OS(errno), err_name(errno));
    fd_close(dir_fd);
    *dir_fd = fd;
    return 0;
}

/* A jail that is there may be root's or this VM's user's; nobody gets another one's files. */
static int check_owner(const struct jail *jail, int root_fd, struct err *err)
{
    struct stat st;
    if (fstat(root_fd, &st) < 0)
        return err_set(err, -errno, "%s: %s", jail->root_path, ERR_OS(errno));
    if (st.st_uid == 0 || st.st_uid == jail->uid)
        return 0;
    return err_set(err, -EPERM,
                   "%s is there and belongs to user %u, neither to root nor to %u (--uid): another "
                   "VM's jail? Remove it, or give it to that user.",
                   jail->root_path, st.st_uid, jail->uid);
}

/* Two at once would each take the other's half for an earlier run's. Only the jail's own user and
 * root can open it, so that nobody else holds this lock. */
static int lock(const struct jail *jail, int root_fd, struct err *err)
{
    if (flock(root_fd, LOCK_EX | LOCK_NB) == 0)
        return 0;
    if (errno == EWOULDBLOCK)
        return err_set(
            err, -EBUSY,
            "%s is being made into a jail by another jailer at this moment (or a process "
            "of user %u holds it locked)",
            jail->root_path, jail->uid);
    return err_set(err, -errno, "%s cannot be locked: %s", jail->root_path, ERR_OS(errno));
}

/* Said now: the monitor would be told "Permission denied" by /dev/kvm. */
static int check_mount(const struct jail *jail, int root_fd, struct err *err)
{
    struct statvfs fs;
    if (jail->args->rootless) /* devices are bound, and bring a mount of their own */
        return 0;
    if (fstatvfs(root_fd, &fs) < 0 || !(fs.f_flag & ST_NODEV))
        return 0;
    return err_set(err, -EACCES,
                   "%s is on a file system that is mounted nodev: the monitor could open no device "
                   "there. Mount it without nodev, or choose another --chroot-base-dir.",
                   jail->root_path);
}

int jail_make_tree(struct jail *jail, struct err *err)
{
    FD_AUTO int dir_fd = open(jail->base_path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir_fd < 0)
        return err_set(err, -errno, "%s cannot be opened: %s", jail->base_path, ERR_OS(errno));
    int rc = step_into(jail, &dir_fd, jail->exec_name, err);
    if (rc == 0)
        rc = step_into(jail, &dir_fd, jail->args->id, err);
    if (rc == 0)
        rc = step_into(jail, &dir_fd, "root", err);
    if (rc == 0)
        rc = check_owner(jail, dir_fd, err);
    if (rc == 0)
        rc = check_mount(jail, dir_fd, err);
    if (rc == 0)
        rc = lock(jail, dir_fd, err);
    if (rc == 0)
        jail->root_fd = fd_steal(&dir_fd);
    return rc;
}
