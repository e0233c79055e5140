/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A user namespace instead of root.
 */
#include "jailer/rootless.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/idmap.h"
#include "jailer/rootless_cgroup.h"

/* ------------------------------------------------------------------ ids */

/* One id of a range, or the user's own. */
static int choose_id(const char *path, const char *option, uint32_t own, uint32_t wanted,
                     uint32_t *ret_host, struct err *err)
{
    struct jail_idmap_range range;
    if (wanted == own) {
        *ret_host = own;
        return 0;
    }
    int rc = jail_idmap_read(path, geteuid(), &range, err);
    if (rc < 0)
        return rc;
    if (rc == 0)
        return err_set(
            err, -EPERM,
            "--rootless --%s %u: %s gives user %u no range of ids, so that the monitor can "
            "only be %u. Use that, or have root add a line (usermod --add-sub%ss).",
            option, wanted, path, geteuid(), own, option);
    if (wanted == 0 || wanted > range.count)
        return err_set(
            err, -EINVAL,
            "--rootless --%s %u: 1 to %u count through the user's range in %s, and %u is "
            "the user's own",
            option, wanted, range.count, path, own);
    *ret_host = range.start + wanted - 1;
    return 0;
}

bool jail_rootless_is_open_to_group(const struct stat *st)
{
    return (st->st_mode & S_IWGRP) && (st->st_gid != getegid() || getegid() != geteuid());
}

/* May somebody else but root put another thing into it, or in the place of what is there? Whom root
 * lets write to a directory of root's by its group, root trusts. */
static bool is_others(const struct stat *st)
{
    bool is_sticky = st->st_mode & S_ISVTX;
    bool is_own = st->st_uid == geteuid();
    return (!is_own && st->st_uid != 0) || (!is_sticky && (st->st_mode & S_IWOTH)) ||
           (!is_sticky && is_own && jail_rootless_is_open_to_group(st));
}

/* Who else could write there, or to a directory on the way, could put another tree in the jail's
 * place. */
static int check_base(const struct jail *jail, struct err *err)
{
    char path[PATH_MAX];
    struct stat st;
    if (stat(jail->base_path, &st) < 0)
        return err_set(err, -errno, "%s: %s", jail->base_path, ERR_OS(errno));
    if (st.st_uid != geteuid())
        return err_set(
            err, -EPERM,
            "--rootless: %s belongs to user %u, not to user %u who starts this jail. Give "
            "--chroot-base-dir a directory of the user's own.",
            jail->base_path, st.st_uid, geteuid());
    if ((st.st_mode & S_IWOTH) || jail_rootless_is_open_to_group(&st))
        return err_set(err, -EPERM, "--rootless: others may write to %s. chmod go-w %s",
                       jail->base_path, jail->base_path);
    memcpy(path, jail->base_path, sizeof(path));
    for (char *slash = strrchr(path, '/'); slash && path[1]; slash = strrchr(path, '/')) {
        slash[slash == path] = '\0'; /* the one of the root stays */
        if (stat(path, &st) < 0)
            return err_set(err, -errno, "%s: %s", path, ERR_OS(errno));
        if (is_others(&st))
            return err_set(err, -EPERM,
                           "--rootless: %s, on the way to %s, is other users' to change: a "
                           "directory below ones of root's and the user's own is expected",
                           path, jail->base_path);
    }
    return 0;
}

int jail_rootless_check(struct jail *jail, struct err *err)
{
    if (geteuid() == 0)
        return err_set(err, -EINVAL, "--rootless is for ordinary users; root jails without it");
    int rc = check_base(jail, err);
    if (rc == 0)
        rc = choose_id("/etc/subuid", "uid", geteuid(), jail->uid, &jail->rootless.host_uid, err);
    if (rc == 0)
        rc = choose_id("/etc/subgid", "gid", getegid(), jail->gid, &jail->rootless.host_gid, err);
    if (rc < 0)
        return rc;
    rc = jail_rootless_check_cgroups(jail, err);
    if (rc < 0)
        return rc;
    bool own_uid = jail->rootless.host_uid == geteuid();
    if (own_uid != (jail->rootless.host_gid == getegid()))
        return err_set(err, -EINVAL,
                       "--rootless: --uid and --gid have to be the user's own both (%u and %u), or "
                       "both of the user's ranges",
                       geteuid(), getegid());
    jail->rootless.has_own_ids = own_uid;
    if (jail->args->netns && !own_uid)
        return err_set(err, -EINVAL,
                       "--rootless --netns: only with the user's own --uid and --gid (%u and %u), "
                       "since newuidmap maps none into a namespace that is below another",
                       geteuid(), getegid());
    return 0;
}

static int write_proc(const char *path, const char *text, struct err *err)
{
    FD_AUTO int fd = open(path, O_WRONLY | O_CLOEXEC);
    int rc = fd < 0 ? -errno : fd_write_full(fd, text, strlen(text));
    return rc < 0 ? err_set(err, rc, "Failed to write %s: %s", path, ERR_OS(rc)) : 0;
}

/* The user's own ids, by the user. */
static int map_own(const struct jail *jail, struct err *err)
{
    char line[64];
    int rc = write_proc("/proc/self/setgroups", "deny", err);
    (void)snprintf(line, sizeof(line), "%u %u 1\n", jail->uid, jail->rootless.outer_uid);
    if (rc == 0)
        rc = write_proc("/proc/self/uid_map", line, err);
    (void)snprintf(line, sizeof(line), "%u %u 1\n", jail->gid, jail->rootless.outer_gid);
    if (rc == 0)
        rc = write_proc("/proc/self/gid_map", line, err);
    return rc;
}

/* In a child outside the namespace: the set-uid program that may map others. Ends it. */
static _Noreturn void run_mapper(const char *program, pid_t pid, uint32_t own, uint32_t inside,
                                 uint32_t host)
{
    char words[4][12];
    const uint32_t numbers[] = {(uint32_t)pid, own, inside, host};
    for (size_t i = 0; i < ARRAY_LEN(words); i++)
        (void)snprintf(words[i], sizeof(words[i]), "%u", numbers[i]);
    char path[32];
    (void)snprintf(path, sizeof(path), "/usr/bin/%s", program);
    char *env[] = {NULL};
    char *const argv[] = {path,     words[0], (char[]){"0"}, words[1], (char[]){"1"},
                          words[2], words[3], (char[]){"1"}, NULL};
    (void)execve(path, argv, env);
    (void)fprintf(stderr, "%s: %s. It comes with the package uidmap.\n", path, ERR_OS(errno));
    _exit(127);
}

static int run_both_mappers(const struct jail *jail, pid_t pid, uint32_t own_uid, uint32_t own_gid)
{
    static const char *const programs[] = {"newuidmap", "newgidmap"};
    for (size_t i = 0; i < ARRAY_LEN(programs); i++) {
        int status = 0;
        pid_t child = fork();
        if (child < 0)
            return -1;
        if (child == 0)
            run_mapper(programs[i], pid, i ? own_gid : own_uid, i ? jail->gid : jail->uid,
                       i ? jail->rootless.host_gid : jail->rootless.host_uid);
        if (waitpid(child, &status, 0) < 0 || status != 0)
            return -1;
    }
    return 0;
}

/* Forked ahead of the namespace, since the programs have to be outside: waits for a byte, maps, and
 * ends. Returns its pid, or -errno. */
static pid_t start_mapper(const struct jail *jail, int go_fd)
{
    const pid_t pid = getpid();
    const uint32_t own_uid = geteuid();
    const uint32_t own_gid = getegid();
    pid_t mapper = fork();
    if (mapper != 0)
        return mapper < 0 ? -errno : mapper;
    char go = 0;
    bool mapped =
        fd_read_full(go_fd, &go, 1) == 1 && run_both_mappers(jail, pid, own_uid, own_gid) == 0;
    _exit(mapped ? EXIT_SUCCESS : EXIT_FAILURE);
}

static int unshare_all(const struct jail *jail, struct err *err)
{
    int flags = CLONE_NEWUSER | CLONE_NEWNS | CLONE_NEWIPC | CLONE_NEWUTS;
    if (!jail->args->netns)
        flags |= CLONE_NEWNET;
    if (unshare(flags) == 0)
        return 0;
    return err_set(
        err, -errno,
        "--rootless: the kernel refuses a user namespace: %s (%s). See "
        "/proc/sys/user/max_user_namespaces and, on Debian and Ubuntu, "
        "kernel.unprivileged_userns_clone and kernel.apparmor_restrict_unprivileged_userns.",
        ERR_OS(errno), err_name(errno));
}

static int enter_with_range(const struct jail *jail, struct err *err)
{
    int fds[2];
    int status = 0;
    if (pipe2(fds, O_CLOEXEC) < 0)
        return err_set(err, -errno, "Failed to make a pipe: %s", ERR_OS(errno));
    pid_t mapper = start_mapper(jail, fds[0]);
    int rc = mapper < 0 ? err_set(err, (int)mapper, "Failed to fork: %s", ERR_OS((int)mapper))
                        : unshare_all(jail, err);
    if (rc == 0)
        rc = fd_write_full(fds[1], "g", 1);
    (void)close(fds[1]);
    (void)close(fds[0]);
    if (mapper > 0 && waitpid(mapper, &status, 0) < 0)
        status = -1;
    if (rc == 0 && status != 0)
        rc = err_set(err, -EPERM,
                     "--rootless: newuidmap or newgidmap could not map user %u and group %u of the "
                     "jail to the host's %u and %u: see what it said",
                     jail->uid, jail->gid, jail->rootless.host_uid, jail->rootless.host_gid);
    if (rc == 0 && (setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0))
        rc = err_set(err, -errno, "--rootless: becoming root of the user namespace: %s",
                     ERR_OS(errno));
    return rc;
}

int jail_rootless_enter(struct jail *jail, struct err *err)
{
    int rc = jail_rootless_join_netns(jail, err);
    if (rc < 0)
        return rc;
    if (jail->rootless.has_own_ids) {
        rc = unshare_all(jail, err);
        if (rc == 0)
            rc = map_own(jail, err);
    } else {
        rc = enter_with_range(jail, err);
    }
    if (rc == 0 && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
        rc = err_set(err, -errno, "prctl(PR_SET_NO_NEW_PRIVS): %s", ERR_OS(errno));
    return rc;
}

/* ------------------------------------------------------------------ devices */

/* Can the monitor's user, who is nobody special on the host, open it? */
static bool is_for_all(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && (st.st_mode & 06) == 06;
}

int jail_rootless_open_devices(struct jail *jail, struct err *err)
{
    for (enum jail_device i = 0; i < JAIL_DEVICES_COUNT; i++) {
        const char *path = jail_device_path(i);
        bool usable =
            jail->rootless.has_own_ids ? access(path, R_OK | W_OK) == 0 : is_for_all(path);
        if (!usable && i == JAIL_DEVICE_KVM)
            return err_set(
                err, -EACCES,
                "--rootless: the monitor's user could not open /dev/kvm. Make the user one "
                "of its group (usermod -aG kvm) and use the user's own --uid and --gid, or "
                "chmod 666 /dev/kvm.");
        if (!usable)
            continue;
        int fd = (int)syscall(SYS_open_tree, AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
        if (fd < 0)
            return err_set(err, -errno, "--rootless: open_tree %s: %s (%s). Linux 5.2 is needed.",
                           path, ERR_OS(errno), err_name(errno));
        jail->rootless.device_fds[i] = fd;
    }
    return 0;
}

int jail_rootless_bind_device(struct jail *jail, enum jail_device device, int dir_fd,
                              const char *name, struct err *err)
{
    const char *path = jail_device_path(device);
    struct stat st;
    if (jail->rootless.device_fds[device] < 0)
        return 0;
    FD_AUTO int made_fd =
        openat(dir_fd, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    int rc = made_fd >= 0 ? jail_undo_note(&jail->undo, dir_fd, name, false, err) : 0;
    if (rc < 0)
        return rc;
    FD_AUTO int place_fd = openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
    if (place_fd < 0 || fstat(place_fd, &st) < 0 || !S_ISREG(st.st_mode))
        return err_set(err, -EEXIST, "Failed to bind %s inside the jail: what is there is no file",
                       path);
    if (syscall(SYS_move_mount, jail->rootless.device_fds[device], "", place_fd, "",
                MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0)
        return err_set(err, -errno, "Failed to bind %s inside the jail: %s (%s)", path,
                       ERR_OS(errno), err_name(errno));
    jail->rootless.bound_devices |= 1u << device;
    return 0;
}
