/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Directories and device nodes in the jail, the monitor's own (cli.md I.2, steps 10 and 11). What
 * is there must be what would be made.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/jail.h"
#include "jailer/rootless.h"

#define MEM_MAJOR 1u
#define MISC_MAJOR 10u

static const struct {
    const char *path;
    unsigned major;
    unsigned minor; /* of /dev/userfaultfd: jail->userfault_minor */
    bool is_in_net;
} devices[JAIL_DEVICES_COUNT] = {
    [JAIL_DEVICE_TUN] = {"/dev/net/tun", MISC_MAJOR, 200, .is_in_net = true},
    [JAIL_DEVICE_KVM] = {"/dev/kvm", MISC_MAJOR, 232},
    [JAIL_DEVICE_URANDOM] = {"/dev/urandom", MEM_MAJOR, 9},
    [JAIL_DEVICE_USERFAULTFD] = {"/dev/userfaultfd", MISC_MAJOR, 0},
};

const char *jail_device_path(enum jail_device device)
{
    return devices[device].path;
}

bool jail_device_is_there(const struct jail *jail, enum jail_device device)
{
    return device != JAIL_DEVICE_USERFAULTFD || jail->userfault_minor >= 0;
}

bool jail_device_is_tun(dev_t number)
{
    const enum jail_device tun = JAIL_DEVICE_TUN;
    return number == makedev(devices[tun].major, devices[tun].minor);
}

static dev_t device_number(const struct jail *jail, enum jail_device device)
{
    bool is_host_s = device == JAIL_DEVICE_USERFAULTFD;
    return makedev(devices[device].major,
                   is_host_s ? (unsigned)jail->userfault_minor : devices[device].minor);
}

/* A directory: found, or made. ret_fd: it, opened. path: for sentences. */
static int open_directory(struct jail *jail, int dir_fd, const char *name, const char *path,
                          int *ret_fd, struct err *err)
{
    bool made = mkdirat(dir_fd, name, 0700) == 0;
    if (!made && errno != EEXIST)
        return err_set(err, -errno, "Failed to create directory %s: %s", path, ERR_OS(errno));
    int rc = made ? jail_undo_note(&jail->undo, dir_fd, name, true, err) : 0;
    if (rc < 0)
        return rc;
    *ret_fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (*ret_fd >= 0)
        return 0;
    rc = -errno;
    return err_set(err, rc, "Failed to open directory %s in the jail: %s (%s)%s", path, ERR_OS(rc),
                   err_name(rc), rc == -ENOTDIR ? ". A link or a file is there: remove it" : "");
}

/* Of the monitor's own, with mode 0700. */
static int own_directory(const struct jail *jail, int fd, const char *path, struct err *err)
{
    if (fchmod(fd, 0700) == 0 && fchown(fd, jail->uid, jail->gid) == 0)
        return 0;
    return err_set(err, -errno,
                   "Failed to change permissions and ownership of %s in the jail: %s (%s)", path,
                   ERR_OS(errno), err_name(errno));
}

/* Is that the node that would be made? ret_is_half: or what stands there where a jailer was killed
 * before it gave the node away: root's, and by no other name somebody else's. */
static bool is_node(const struct jail *jail, int dir_fd, const char *name, dev_t dev,
                    bool *ret_is_half)
{
    struct stat st;
    if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISCHR(st.st_mode) ||
        st.st_rdev != dev || (st.st_mode & 07777) != 0600)
        return false;
    bool is_whole = st.st_uid == jail->uid && st.st_gid == jail->gid;
    *ret_is_half = !is_whole && st.st_uid == 0 && st.st_gid == 0 && st.st_nlink == 1;
    return is_whole || *ret_is_half;
}

/* The directory is the jail's user's: what has the name now may be something else. */
static int own_node(const struct jail *jail, int dir_fd, const char *name, const char *path,
                    dev_t dev, struct err *err)
{
    struct stat st;
    FD_AUTO int fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) < 0)
        return err_set(err, -errno, "Failed to open %s in the jail: %s", path, ERR_OS(errno));
    if (!S_ISCHR(st.st_mode) || st.st_rdev != dev || st.st_uid != 0 || st.st_nlink != 1)
        return err_set(err, -ESTALE, "%s in the jail was replaced while the jail was made", path);
    if (fchownat(fd, "", jail->uid, jail->gid, AT_EMPTY_PATH) < 0)
        return err_set(err, -errno, "Failed to change owner of %s in the jail: %s", path,
                       ERR_OS(errno));
    return 0;
}

static int make_node(struct jail *jail, enum jail_device device, int dir_fd, const char *name,
                     struct err *err)
{
    const char *path = devices[device].path;
    dev_t dev = device_number(jail, device);
    mode_t before = umask(0);
    int rc = mknodat(dir_fd, name, S_IFCHR | 0600, dev) < 0 ? -errno : 0;
    (void)umask(before);
    bool is_half = false;
    if (rc == -EEXIST && is_node(jail, dir_fd, name, dev, &is_half)) /* of an earlier run */
        return is_half ? own_node(jail, dir_fd, name, path, dev, err) : 0;
    if (rc == -EEXIST)
        return err_set(
            err, rc,
            "Failed to create %s via mknod inside the jail: %s. What is there is not the "
            "device %u:%u with mode 600 and owner %u:%u: remove it",
            path, ERR_OS(rc), major(dev), minor(dev), jail->uid, jail->gid);
    if (rc < 0)
        return err_set(err, rc, "Failed to create %s via mknod inside the jail: %s", path,
                       ERR_OS(rc));
    rc = jail_undo_note(&jail->undo, dir_fd, name, false, err);
    return rc < 0 ? rc : own_node(jail, dir_fd, name, path, dev, err);
}

/* A node, or without root the host's own. */
static int give_node(struct jail *jail, enum jail_device device, int dir_fd, struct err *err)
{
    const char *name = strrchr(devices[device].path, '/') + 1;
    return jail->args->rootless ? jail_rootless_bind_device(jail, device, dir_fd, name, err)
                                : make_node(jail, device, dir_fd, name, err);
}

static void make_urandom(struct jail *jail, int dev_fd)
{
    struct err err = ERR_INIT;
    if (give_node(jail, JAIL_DEVICE_URANDOM, dev_fd, &err) == 0)
        return;
    (void)printf("Warning! Could not create /dev/urandom device inside jailer: %s.\n"
                 "MMDS version 2 will not be available to use.\n",
                 err.msg);
    (void)fflush(stdout); /* exec keeps no buffer */
}

static int make_nodes(struct jail *jail, int dev_fd, int net_fd, struct err *err)
{
    int rc = 0;
    for (enum jail_device i = 0; i < JAIL_DEVICES_COUNT && rc == 0; i++) {
        if (i == JAIL_DEVICE_URANDOM)
            make_urandom(jail, dev_fd);
        else if (jail_device_is_there(jail, i))
            rc = give_node(jail, i, devices[i].is_in_net ? net_fd : dev_fd, err);
    }
    return rc;
}

/* All are looked at before one is changed. */
int jail_make_devices(struct jail *jail, struct err *err)
{
    enum { ROOT, DEV, NET, RUN, COUNT };
    static const struct {
        const char *name;
        const char *path;
        int above; /* COUNT: its name is a path */
    } wanted[COUNT] = {[ROOT] = {"/", "/", COUNT},
                       [DEV] = {"dev", "/dev", ROOT},
                       [NET] = {"net", "/dev/net", DEV},
                       [RUN] = {"run", "/run", ROOT}};
    int fds[COUNT] = {FD_NONE, FD_NONE, FD_NONE, FD_NONE};
    int rc = 0;
    for (int i = 0; i < COUNT && rc == 0; i++)
        rc = open_directory(jail, wanted[i].above == COUNT ? AT_FDCWD : fds[wanted[i].above],
                            wanted[i].name, wanted[i].path, &fds[i], err);
    for (int i = 0; i < COUNT && rc == 0; i++)
        rc = own_directory(jail, fds[i], wanted[i].path, err);
    if (rc == 0)
        rc = make_nodes(jail, fds[DEV], fds[NET], err);
    for (int i = 0; i < COUNT; i++)
        fd_close(&fds[i]);
    return rc;
}
