/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Locks of memory files. Any thread.
 */
#include "snapshots/snap_lock.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <unistd.h>

enum byte { BYTE_LIFE, BYTE_WRITER };

static struct flock lock_of(short type, enum byte byte)
{
    return (struct flock){.l_type = type, .l_whence = SEEK_SET, .l_start = byte, .l_len = 1};
}

/* Any other failure says that there are no locks (ENOLCK, EOPNOTSUPP). Returns 0 or -EBUSY. */
static int take(int fd, short type, enum byte byte)
{
    struct flock lock = lock_of(type, byte);
    bool fails = fcntl(fd, F_OFD_SETLK, &lock) < 0;
    return fails && (errno == EAGAIN || errno == EACCES) ? -EBUSY : 0;
}

/* Would that lock be refused, for what somebody else has? */
static bool is_taken(int fd, short type, enum byte byte)
{
    struct flock lock = lock_of(type, byte);
    return fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type != F_UNLCK;
}

int snap_lock_live(int fd)
{
    int rc = take(fd, F_RDLCK, BYTE_LIFE);
    if (rc < 0 || !is_taken(fd, F_RDLCK, BYTE_WRITER))
        return rc;
    (void)take(fd, F_UNLCK, BYTE_LIFE);
    return -EBUSY;
}

int snap_lock_write(int fd, int own_fd)
{
    int rc = take(fd, F_WRLCK, BYTE_WRITER);
    if (rc < 0 || !is_taken(own_fd, F_WRLCK, BYTE_LIFE))
        return rc;
    (void)take(fd, F_UNLCK, BYTE_WRITER);
    return -EBUSY;
}
