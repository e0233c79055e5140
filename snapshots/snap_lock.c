/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of memory files. Any thread.
 */
#include "snapshots/snap_lock.h"

#include <errno.h>
#include <sys/file.h>

/* Any other failure says that there are no locks (ENOLCK, EOPNOTSUPP; NFS: EBADF). */
static int lock(int fd, int operation)
{
    return flock(fd, operation | LOCK_NB) < 0 && errno == EWOULDBLOCK ? -EBUSY : 0;
}

int snap_lock_shared(int fd)
{
    return lock(fd, LOCK_SH);
}

int snap_lock_alone(int fd)
{
    return lock(fd, LOCK_EX);
}
