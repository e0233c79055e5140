/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's file. A file that only root can change, or the user whose --rootless this is, is
 * bound into the jail, read-only, over an empty file of ours: all jails share its text, and the
 * mount keeps even its owner in the jail from changing it. Any other is copied, as the reference
 * does (cli.md I.2, step 4), but into a file of root's: an earlier monitor of this jail may live.
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

#define COPY_MODE 0555

static bool can_be_shared(const struct jail *jail, int fd, const struct stat *st)
{
    struct statvfs fs;
    bool is_own = jail->exec_is_users && jail->rootless.has_own_ids;
    return jail->exec_is_safe && (st->st_mode & (is_own ? S_IXUSR : S_IXOTH)) &&
           fstatvfs(fd, &fs) == 0 && !(fs.f_flag & ST_NOEXEC);
}

/* A mount of the file that is in no tree yet, read-only. FD_NONE: this kernel has no such thing. */
static int mount_of(int file_fd)
{
    struct mount_attr attr = {.attr_set = MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV};
    FD_AUTO int fd = (int)syscall(SYS_open_tree, file_fd, "",
                                  OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
    if (fd < 0 || syscall(SYS_mount_setattr, fd, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
        return FD_NONE;
    return fd_steal(&fd);
}

static int fail_at_place(const struct jail *jail, int rc, struct err *err)
{
    return err_set(err, rc, "Failed to open %s/%s: %s", jail->root_path, jail->exec_name,
                   ERR_OS(rc));
}

/* What is in the jail under its name may be a file that nobody else has under another one. Returns
 * 1: it is, 0: there is nothing, or -errno. */
static int look_at_place(const struct jail *jail, struct err *err)
{
    struct stat st;
    if (fstatat(jail->root_fd, jail->exec_name, &st, AT_SYMLINK_NOFOLLOW) < 0)
        return errno == ENOENT ? 0 : fail_at_place(jail, -errno, err);
    if (S_ISLNK(st.st_mode))
        return fail_at_place(jail, -ELOOP, err);
    if (!S_ISREG(st.st_mode))
        return err_set(err, -EINVAL, "%s/%s is not a file", jail->root_path, jail->exec_name);
    if (st.st_nlink > 1)
        return err_set(err, -EMLINK, "Detected hard link at: %s/%s", jail->root_path,
                       jail->exec_name);
    return 1;
}

/* is_new: its name was nobody's: it is taken back with the rest. */
static int make_file(struct jail *jail, mode_t mode, bool is_new, int *ret_fd, struct err *err)
{
    FD_AUTO int fd = openat(jail->root_fd, jail->exec_name,
                            O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    int rc = fd < 0 ? fail_at_place(jail, -errno, err) : 0;
    if (rc == 0 && is_new)
        rc = jail_undo_note(&jail->undo, jail->root_fd, jail->exec_name, false, err);
    if (rc == 0)
        *ret_fd = fd_steal(&fd);
    return rc;
}

/* By which it is executed, once nobody writes it: its name may be given to something else. */
static int keep_copy(struct jail *jail, int fd, struct err *err)
{
    struct stat made;
    struct stat found;
    FD_AUTO int path_fd = openat(jail->root_fd, jail->exec_name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (path_fd < 0 || fstat(path_fd, &found) < 0 || fstat(fd, &made) < 0)
        return fail_at_place(jail, -errno, err);
    if (!fd_is_same_file(&made, &found))
        return err_set(err, -ESTALE, "%s/%s was replaced while the jail was made", jail->root_path,
                       jail->exec_name);
    jail->copy_fd = fd_steal(&path_fd);
    return 0;
}

/* Into a file that nobody has open, in the place of one that is there. */
static int copy(struct jail *jail, int from_fd, const struct stat *st, bool is_there,
                struct err *err)
{
    FD_AUTO int fd = FD_NONE;
    if (is_there && unlinkat(jail->root_fd, jail->exec_name, 0) < 0)
        return err_set(err, -errno, "Failed to remove %s/%s, of an earlier run: %s",
                       jail->root_path, jail->exec_name, ERR_OS(errno));
    int rc = make_file(jail, COPY_MODE, !is_there, &fd, err);
    if (rc < 0)
        return rc;
    for (off_t at = 0; at < st->st_size && rc == 0;) {
        ssize_t len = sendfile(fd, from_fd, &at, (size_t)(st->st_size - at));
        rc = len < 0 ? -errno : len == 0 ? -EIO : 0;
    }
    if (rc == 0 && fchmod(fd, COPY_MODE) < 0) /* whatever the umask */
        rc = -errno;
    if (rc < 0)
        return err_set(err, rc, "Failed to copy %s to %s/%s: %s (%s)", jail->exec_path,
                       jail->root_path, jail->exec_name, ERR_OS(rc), err_name(rc));
    return keep_copy(jail, fd, err);
}

/* The path was looked up again: is it still the file that was judged? */
static int open_judged(const struct jail *jail, struct stat *ret_st, int *ret_fd, struct err *err)
{
    FD_AUTO int fd = open(jail->exec_path, O_RDONLY | O_NONBLOCK | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, ret_st) < 0)
        return err_set(err, -errno, "Failed to open %s: %s", jail->exec_path, ERR_OS(errno));
    if (ret_st->st_dev != jail->exec_dev || ret_st->st_ino != jail->exec_ino)
        return err_set(err, -ESTALE, "%s was replaced while the jail was made: start it again",
                       jail->exec_path);
    *ret_fd = fd_steal(&fd);
    return 0;
}

int jail_place_executable(struct jail *jail, struct err *err)
{
    struct stat st;
    FD_AUTO int fd = FD_NONE;
    FD_AUTO int place_fd = FD_NONE;
    int rc = open_judged(jail, &st, &fd, err);
    if (rc < 0)
        return rc;
    rc = look_at_place(jail, err);
    if (rc < 0)
        return rc;
    bool is_there = rc > 0;
    if (can_be_shared(jail, fd, &st))
        jail->tree_fd = mount_of(fd);
    if (jail->tree_fd < 0)
        return copy(jail, fd, &st, is_there, err);
    return is_there ? 0 : make_file(jail, 0, true, &place_fd, err);
}
