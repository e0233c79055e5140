/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --netns of an ordinary user. Joining takes rights in the user namespace that owns it, which are
 * had by whoever made that, and only from outside: so it is entered first, and the jail's own is
 * made below. Spec: ioctl_nsfs(2), setns(2).
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/nsfs.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "jailer/rootless.h"

static int fail(const char *path, int rc, struct err *err)
{
    return err_set(
        err, rc,
        "Failed to join network namespace: netns: %s (%s, %s). An ordinary user joins one "
        "that belongs to a user namespace of the user's own (unshare --user "
        "--map-root-user --net); of others a TAP comes by --keep-fd.",
        ERR_OS(rc), path, err_name(rc));
}

int jail_rootless_join_netns(struct jail *jail, struct err *err)
{
    const char *path = jail->args->netns;
    if (path) {
        FD_AUTO int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
        if (fd < 0)
            return err_set(err, -errno, "Failed to open file %s: %s", path, ERR_OS(errno));
        FD_AUTO int owner_fd = ioctl(fd, NS_GET_USERNS);
        if (owner_fd < 0 || setns(owner_fd, CLONE_NEWUSER) < 0 || setns(fd, CLONE_NEWNET) < 0)
            return fail(path, -errno, err);
    }
    /* As the namespace calls them in which the jail's is made. */
    jail->rootless.outer_uid = geteuid();
    jail->rootless.outer_gid = getegid();
    return 0;
}
