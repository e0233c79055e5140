/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's file. A file that only root can change is bound into the jail, read-only, over an
 * empty file of ours: all jails share its text, and the mount keeps even root in the jail from
 * changing it. Any other is copied, as the reference does (cli.md I.2, step 4).
 */
#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"

static bool can_be_shared(const struct jail *jail, int fd, const struct stat *st)
{
    struct statvfs fs;
    return jail->exec_is_roots && !(st->st_mode & (S_IWGRP | S_IWOTH | S_ISUID | S_ISGID)) &&
           (st->st_mode & S_IXOTH) && fstatvfs(fd, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

/* A mount of the file that is in no tree yet, read-only. FD_NONE: this kernel has no such thing. */
static int mount_of(const char *path)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    FD_AUTO int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path,
                                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
    if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return FD_NONE;
    return fd_steal(&fd);
}

/* Opens the file's place in the jail, which nobody else may have under another name. */
static int open_place(struct jail *jail, mode_t mode, int *ret_fd, struct err *err)
{
    struct stat st;
    const char *name = jail->exec_name;
    int made_fd =
        openat(jail->root_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc = made_fd >= 0 ? jail_undo_note(&jail->undo, jail->root_fd, name, false, err) : 0;
    FD_AUTO int fd = made_fd;
    if (rc < 0)
        return rc;
    if (fd < 0 && errno == EEXIST) /* not waiting for a FIFO's reader */
        fd = openat(jail->root_fd, name, O_WRONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 && errno == ENXIO)
        return err_set(err, -EINVAL, "%s/%s is not a file", jail->root_path, name);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "Failed to open %s/%s: %s", jail->root_path, name,
                       ERR_OS(errno));
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s/%s is not a file", jail->root_path, name);
    if (st.st_nlink > 1)
        return err_set(err, -EMLINK, "Detected hard link at: %s/%s", jail->root_path, name);
    *ret_fd = fd_steal(&fd);
    return 0;
}

static int copy(struct jail *jail, int from_fd, const struct stat *st, struct err *err)
{
    FD_AUTO int fd = FD_NONE;
    int rc = open_place(jail, st->st_mode & 07777, &fd, err);
    if (rc < 0)
        return rc;
    for (off_t at = 0; at < st->st_size && rc == 0;) {
        ssize_t len = sendfile(fd, from_fd, &at, (size_t)(st->st_size - at));
        rc = len < 0 ? -errno : len == 0 ? -EIO : 0;
    }
    if (rc == 0 && ftruncate(fd, st->st_size) < 0) /* of a longer one that was there */
        rc = -errno;
    if (rc == 0 && fchown(fd, jail->uid, jail->gid) < 0)
        rc = -errno;
    if (rc < 0)
        return err_set(err, rc, "Failed to copy %s to %s/%s: %s (%s)", jail->exec_path,
                       jail->root_path, jail->exec_name, ERR_OS(rc), err_name(rc));
    return 0;
}

int jail_place_executable(struct jail *jail, struct err *err)
{
    struct stat st;
    FD_AUTO int fd = open(jail->exec_path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "Failed to open %s: %s", jail->exec_path, ERR_OS(errno));
    if (can_be_shared(jail, fd, &st))
        jail->tree_fd = mount_of(jail->exec_path);
    if (jail->tree_fd < 0)
        return copy(jail, fd, &st, err);
    FD_AUTO int place_fd = FD_NONE;
    return open_place(jail, 0, &place_fd, err);
}
