/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading ahead (posix_fadvise(2)). Thread: its own, with signals blocked; it has a descriptor of
 * its own and touches nothing else, so nobody has to wait for it.
 */
#include "snapshots/snap_prefetch.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "base/err.h"
#include "base/fd.h"
#include "base/log.h"

/* Linux reads ahead by no more than a device's limit, which is hardly ever below this. */
#define CHUNK_SIZE (128 * 1024)
#define STACK_SIZE (64u * 1024)

static void read_ahead(int fd, off_t from, off_t end)
{
    for (off_t at = from; at < end; at += CHUNK_SIZE)
        (void)posix_fadvise(fd, at, end - at < CHUNK_SIZE ? end - at : CHUNK_SIZE,
                            POSIX_FADV_WILLNEED); /* advice: who takes it not reads when it must */
}

static void *prefetch_main(void *arg)
{
    int fd = (int)(intptr_t)arg;
    off_t hole = 0;
    (void)prctl(PR_SET_NAME, "fc_prefetch"); /* cannot fail */
    for (;;) {
        off_t data = lseek(fd, hole, SEEK_DATA);
        hole = data < 0 ? -1 : lseek(fd, data, SEEK_HOLE);
        if (hole < 0)
            break;
        read_ahead(fd, data, hole);
    }
    fd_close(&fd);
    return NULL;
}

static int start(int fd)
{
    pthread_attr_t attr;
    pthread_t thread;
    int rc = -pthread_attr_init(&attr);
    if (rc < 0)
        return rc;
    rc = -pthread_attr_setstacksize(&attr, STACK_SIZE);
    if (rc == 0)
        rc = -pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
    if (rc == 0)
        rc = -pthread_create(&thread, &attr, prefetch_main, (void *)(intptr_t)fd);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

void snap_prefetch_start(int fd)
{
    sigset_t all;
    sigset_t before;
    int own = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    int rc = own < 0 ? -errno : 0;
    if (rc == 0) {
        (void)sigfillset(&all);
        (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail with these */
        rc = start(own);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc == 0)
        return;
    fd_close(&own);
    log_warn("The memory file is not read ahead: %s", ERR_OS(rc));
}
