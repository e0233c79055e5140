/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attempts on files: what is outside the jail, device nodes, mounts, roots, programs. Data.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include "tests/security/inject/inject.h"

#define OPEN(path, flags) CALL(openat, ARGS(N(AT_FDCWD), path, N(flags)), .undo = UNDO_CLOSE)
#define Q_GET_INFO 0x80000500u /* QCMD(Q_GETINFO, USRQUOTA) */
#define DEV_MEM 0x101          /* 1:1 */

/* A handle of a file that is not there: refused before it is looked for, or ESTALE. */
static const struct {
    uint32_t size;
    int32_t type;
    uint8_t bytes[8];
} handle = {.size = 8, .type = 1};

static const struct attempt list[] = {
    {"open-proc1-root", "the host's files, through its init's root",
     .steps = {OPEN(T("/proc/1/root/etc/passwd"), O_RDONLY)}},
    {"open-etc", "the host's configuration", .steps = {OPEN(T("/etc/shadow"), O_RDONLY)}},
    {"open-outside", "files of others that are open to all are read",
     .steps = {OPEN(K("outside_file"), O_RDONLY)}},
    {"open-dotdot", "`..` leads out of the root", .steps = {OPEN(K("outside_dotdot"), O_RDONLY)}},
    {"open-symlink", "a symbolic link in the jail leads out of it",
     .steps = {OPEN(K("inside_out"), O_RDONLY)}},
    {"open-race", "a directory that becomes a symbolic link leads out", .special = race_open},
    {"open-race-dotdot", "likewise, and `..` from there", .special = race_dotdot},
    {"list-outside", "what the host has is known",
     .steps = {OPEN(K("outside"), O_RDONLY | O_DIRECTORY),
               CALL(getdents64, ARGS(R, Z(1024), N(1024)))}},
    {"write-outside", "files of others are changed", .steps = {OPEN(K("outside_file"), O_WRONLY)}},
    {"create-outside", "files are left on the host",
     .steps = {OPEN(K("outside_new"), O_WRONLY | O_CREAT | O_EXCL)}},
    {"mkdir-outside", "likewise",
     .steps = {CALL(mkdirat, ARGS(N(AT_FDCWD), K("outside_new"), N(0700)))}},
    {"create-setuid", "its user is lent to whoever is on the host",
     .steps = {CALL(
         openat,
         ARGS(N(AT_FDCWD), K("inside_new"), N(O_WRONLY | O_CREAT | O_EXCL), N(S_ISUID | 0700)),
         .undo = UNDO_CLOSE)},
     .after = {CALL(unlinkat, ARGS(N(AT_FDCWD), K("inside_new"), N(0)))}},
    {"chmod-setuid", "likewise",
     .steps = {CALL(openat,
                    ARGS(N(AT_FDCWD), K("inside_new"), N(O_WRONLY | O_CREAT | O_EXCL), N(0600)),
                    .undo = UNDO_CLOSE),
               CALL(fchmod, ARGS(R, N(S_ISUID | 0700)))},
     .after = {CALL(unlinkat, ARGS(N(AT_FDCWD), K("inside_new"), N(0)))}},
    {"link-out", "a file of the host gets a name in the jail",
     .steps = {CALL(linkat, ARGS(N(AT_FDCWD), K("outside_file"), N(AT_FDCWD), K("inside_new")))}},
    {"symlink-outside", "a trap for others is laid",
     .steps = {CALL(symlinkat, ARGS(T("/etc/shadow"), N(AT_FDCWD), K("outside_new")))}},
    {"rename-outside", "files of others get lost",
     .steps = {CALL(renameat,
                    ARGS(N(AT_FDCWD), K("outside_from"), N(AT_FDCWD), K("outside_new")))}},
    {"rename-in", "a file of the host is taken into the jail",
     .steps = {CALL(renameat, ARGS(N(AT_FDCWD), K("outside_from"), N(AT_FDCWD), K("inside_new")))}},
    {"unlink-outside", "likewise",
     .steps = {CALL(unlinkat, ARGS(N(AT_FDCWD), K("outside_from"), N(0)))}},
    {"chmod-outside", "rights of others' files are changed",
     .steps = {CALL(fchmodat, ARGS(N(AT_FDCWD), K("outside_file"), N(0666)))}},
    {"open-by-handle", "any file of the file system, past all directories",
     .steps = {CALL(open_by_handle_at, ARGS(N(AT_FDCWD), B(handle), N(O_RDONLY)),
                    .passes = {ESTALE, EOPNOTSUPP})}},
    {"mknod", "a device node of one's own choice",
     .steps = {CALL(mknodat, ARGS(N(AT_FDCWD), K("inside_new"), N(S_IFCHR | 0600), N(DEV_MEM)))}},
    {"open-loop", "new block devices", .steps = {OPEN(T("/dev/loop-control"), O_RDWR)}},
    {"open-mem", "the machine's memory", .steps = {OPEN(T("/dev/mem"), O_RDONLY)}},
    {"open-kmsg", "the kernel's log", .steps = {OPEN(T("/dev/kmsg"), O_RDONLY)}},
    {"open-sysrq", "the machine's emergency key",
     .steps = {OPEN(T("/proc/sysrq-trigger"), O_WRONLY)}},
    {"open-core-pattern", "the kernel starts a program of one's choice as root",
     .steps = {OPEN(T("/proc/sys/kernel/core_pattern"), O_WRONLY)}},
    {"open-cgroup", "one's own limits", .steps = {OPEN(K("cgroup_file"), O_WRONLY)}},
    {"open-own-mem", "read-only and executable memory is rewritten",
     .steps = {OPEN(T("/proc/self/mem"), O_RDWR)}},
    {"mount", "a file system over one's own files",
     .steps = {CALL(mount, ARGS(T("none"), K("mount_point"), T("tmpfs"), N(0), N(0)))},
     .after = {CALL(umount2, ARGS(K("mount_point"), N(MNT_DETACH)))}},
    {"umount", "what lies below a mount",
     /* Root, never expired: refused before it is looked at who asks, or EINVAL. */
     .steps = {CALL(umount2, ARGS(T("/"), N(MNT_EXPIRE | MNT_FORCE)), .passes = {EINVAL})}},
    {"fsopen", "a file system is configured",
     .steps = {CALL(fsopen, ARGS(T("tmpfs"), N(1)), .undo = UNDO_CLOSE)}},
    {"open-tree", "mounts are copied",
     .steps = {CALL(open_tree, ARGS(N(AT_FDCWD), T("/"), N(1 /* OPEN_TREE_CLONE */)),
                    .undo = UNDO_CLOSE)}},
    {"chroot", "another root, and by it the way out of this one",
     .steps = {CALL(chroot, ARGS(T("/")))}},
    {"pivot-root", "likewise",
     .steps = {CALL(pivot_root, ARGS(T("/"), T("/")), .passes = {EINVAL, EBUSY})}},
    {"unshare", "namespaces of one's own", .steps = {CALL(unshare, ARGS(N(CLONE_NEWUTS)))}},
    {"setns", "the host's namespaces",
     .steps = {OPEN(T("/proc/1/ns/uts"), O_RDONLY), CALL(setns, ARGS(R, N(CLONE_NEWUTS)))}},
    {"fanotify", "what others do with files is watched",
     .steps = {CALL(fanotify_init, ARGS(N(0), N(O_RDONLY)), .undo = UNDO_CLOSE)}},
    {"quotactl", "others' quotas",
     .steps = {CALL(quotactl, ARGS(N(Q_GET_INFO), T("/dev/loop0"), N(0), Z(64)))}},
    /* Its arguments are at no address: EFAULT is met only behind all checks of the file. */
    {"execve", "another program, with this process's rights",
     .steps = {CALL(execve, ARGS(K("program"), N(1), N(0)), .passes = {EFAULT})}},
    {"execve-memfd", "a program that no file system has seen",
     .steps = {CALL(memfd_create, ARGS(T("escape"), N(0)), .undo = UNDO_CLOSE),
               CALL(execveat, ARGS(R, T(""), N(1), N(0), N(AT_EMPTY_PATH)), .passes = {EFAULT})}},
};

const struct attempt_list attempts_files = {list, ARRAY_LEN(list)};
