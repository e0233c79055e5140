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
#include <stdlib.h>
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

/* What is read: heap, the thread's. */
struct prefetch {
    int fd;
    off_t size;
    struct thread_entry entry;
};

static void *prefetch_main(void *arg)
{
    struct prefetch *prefetch = arg;
    off_t hole = 0;
    (void)prctl(PR_SET_NAME, "fc_prefetch"); /* cannot fail */
    thread_enter(&prefetch->entry);
    while (hole < prefetch->size) {
        off_t data = lseek(prefetch->fd, hole, SEEK_DATA);
        hole = data < 0 || data >= prefetch->size ? -1 : lseek(prefetch->fd, data, SEEK_HOLE);
        if (hole < 0)
            break;
        read_ahead(prefetch->fd, data, hole < prefetch->size ? hole : prefetch->size);
    }
    fd_close(&prefetch->fd);
    free(prefetch);
    return NULL;
}

static int start(struct prefetch *prefetch)
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
        rc = -pthread_create(&thread, &attr, prefetch_main, prefetch);
    (void)pthread_attr_destroy(&attr);
    return rc;
}

void snap_prefetch_start(int fd, uint64_t size, const struct thread_entry *entry)
{
    sigset_t all;
    sigset_t before;
    struct prefetch *prefetch = calloc(1, sizeof(*prefetch));
    int rc = prefetch ? 0 : -ENOMEM;
    if (rc == 0) {
        *prefetch = (struct prefetch){fcntl(fd, F_DUPFD_CLOEXEC, 0), (off_t)size, *entry};
        rc = prefetch->fd < 0 ? -errno : 0;
    }
    if (rc == 0) {
        (void)sigfillset(&all);
        (void)sigdelset(&all, SIGSYS);                     /* as in snap_watch.c */
        (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail with these */
        rc = start(prefetch);
        (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    if (rc == 0)
        return;
    if (prefetch)
        fd_close(&prefetch->fd);
    free(prefetch);
    log_warn("The memory file is not read ahead: %s", ERR_OS(rc));
}
