/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One jail: what was asked for, checked; what has been made. The steps in their order are main.c's;
 * a file a step. A step returns 0, or -errno with the sentence of what failed; what it has made by
 * then is noted and taken back by jail_take_back. Thread: main, the only one; behind a fork the
 * child that goes on. Spec: cli.md I.
 */
#pragma once

#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"
#include "jailer/args.h"
#include "jailer/cgroup.h"
#include "jailer/policy/policy.h"
#include "jailer/undo.h"

/* Device nodes of a jail. */
enum jail_device {
    JAIL_DEVICE_TUN,
    JAIL_DEVICE_KVM,
    JAIL_DEVICE_URANDOM,
    JAIL_DEVICE_USERFAULTFD,
    JAIL_DEVICES_COUNT,
};

/* What a jail without root has besides. */
struct jail_rootless {
    uint32_t host_uid; /* what the host calls the monitor's user and group */
    uint32_t host_gid;
    uint32_t outer_uid; /* the user and group, as the namespace around the jail's calls them */
    uint32_t outer_gid;
    bool has_own_ids;          /* the user's own */
    char own_cgroup[PATH_MAX]; /* the jailer's, relative to the hierarchy */
    char home_path[PATH_MAX];  /* its directory */
    char start_path[PATH_MAX]; /* the first on the way to leaf_path that is the user's */
    char leaf_path[PATH_MAX];  /* the monitor's */
    bool wants_cgroup;
    bool is_delegated;                  /* start_path is the user's */
    struct jail_undo cgroup_undo;       /* the first process's alone: it is in there */
    int device_fds[JAIL_DEVICES_COUNT]; /* mounts of the host's; FD_NONE: there is none */
    uint32_t bound_devices;             /* bits by device */
};

struct jail {
    const struct jail_args *args;
    char exec_path[PATH_MAX]; /* canonical */
    dev_t exec_dev;           /* its file, when it was judged: a user namespace hides the owner */
    ino_t exec_ino;
    bool exec_is_safe;        /* only root may write it, or the user whose --rootless this is */
    bool exec_is_users;       /* it is that user's */
    const char *exec_name;    /* its last component, in exec_path */
    char base_path[PATH_MAX]; /* canonical */
    char root_path[PATH_MAX]; /* base/exec_name/id/root */
    uint32_t uid;
    uint32_t gid;
    struct jail_limits limits;
    struct jail_cgroups cgroups;
    int userfault_minor; /* of /dev/userfaultfd; -1: the host has none */
    int root_fd;         /* the jail's root */
    int tree_fd;         /* a mount of the executable, for the jail; FD_NONE: it is copied */
    int copy_fd;         /* the copy (O_PATH); FD_NONE: it is bound */
    int null_fd;         /* the host's /dev/null, with --daemonize */
    struct pol_policy policy;
    int counters_fd;        /* of the policy, which the monitor may read; FD_NONE: there is none */
    struct pol_hook hook;   /* of the policy, attached by this run */
    unsigned kept_fds;      /* descriptors from 3 on that the monitor gets */
    uint64_t start_us;      /* monotonic, at the jailer's own start */
    uint64_t forked_cpu_us; /* CPU time of jailer processes before this one */
    bool is_rooted;         /* the root is bound onto itself */
    bool is_bound;          /* the executable, over its place */
    bool is_inside;         /* the jail's root is the root */
    struct jail_rootless rootless; /* with --rootless */
    struct jail_undo undo;
};

/* Judges what was asked for, in the reference's order; nothing is changed. jail: zeroed, its fds
 * FD_NONE. Returns 0 or -errno with the sentence. */
MUST_CHECK int jail_check(struct jail *jail, const struct jail_args *args, struct err *err);

/* Directories down to the jail's root, which no other jailer may be at work in until exec. */
MUST_CHECK int jail_make_tree(struct jail *jail, struct err *err);

/* Is there a pid file of another monitor's? Before anything of its is changed. */
MUST_CHECK int jail_check_pid_file(const struct jail *jail, struct err *err);

/* The monitor's file in the jail: a place for its inode to be bound to, or a copy. */
MUST_CHECK int jail_place_executable(struct jail *jail, struct err *err);

/* The network namespace that the monitor will be in. */
MUST_CHECK int jail_join_netns(const struct jail *jail, struct err *err);

/* The limits of resources by which it will be bound. */
MUST_CHECK int jail_set_limits(const struct jail *jail, struct err *err);

/* fsize is for good with exec only: a step that fails is told to a file as well. */
MUST_CHECK int jail_seal_limits(const struct jail *jail, struct err *err);

/* Has fsize's soft limit as high as it goes again: a sentence has to be written. */
void jail_lift_limits(void);

/* The file of the network policy, judged before anything is changed. */
MUST_CHECK int jail_check_policy(struct jail *jail, struct err *err);

/* Loads the policy, attaches it and pins it, while the bpf file system is in sight. */
MUST_CHECK int jail_attach_policy(struct jail *jail, struct err *err);

/* Takes it off again when a later step has failed. */
void jail_detach_policy(struct jail *jail);

/* A mount namespace whose root is the jail's. */
MUST_CHECK int jail_enter_root(struct jail *jail, struct err *err);

/* Takes this namespace's mounts away again that would hold what is to be removed. */
void jail_leave_root(const struct jail *jail);

/* All that this run has made, in reverse: mounts that hold places, the policy, files. */
void jail_take_back(struct jail *jail);

/* Another process has taken all of it back. */
void jail_forget(struct jail *jail);

/* Where a device stands, on the host as in the jail. Static. */
const char *jail_device_path(enum jail_device device);

/* Has the host such a device? */
bool jail_device_is_there(const struct jail *jail, enum jail_device device);

/* Is that the number of /dev/net/tun? */
bool jail_device_is_tun(dev_t number);

/* Directories and device nodes in it. */
MUST_CHECK int jail_make_devices(struct jail *jail, struct err *err);

/* Says on stdout what the jail shares with the host, if anything. */
void jail_tell_shared(const struct jail *jail);

/* Becomes the monitor: in the background, in a PID namespace, as asked for; writes the pid file.
 * Returns only -errno with the sentence: in the process that is to tell it. */
MUST_CHECK int jail_run(struct jail *jail, int argc, char *const *argv, struct err *err);
