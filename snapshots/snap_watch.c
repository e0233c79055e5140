/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Watching a page-fault handler by its pidfd and its connection (pidfd_open(2), unix(7)). Both have
 * to be at their end: a handler may close the connection as soon as it has the descriptor, and one
 * that was forked by whoever listened keeps it open when that one ends. Thread: its own, with
 * signals blocked; the phase is shared with vmm.
 */
#include "snapshots/snap_watch.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"

/* Linux 6.5; older headers lack it. */
#ifndef SO_PEERPIDFD
#define SO_PEERPIDFD 77
#endif

#define WATCH_FAILED "Failed to watch the page-fault handler: "
#define STACK_SIZE (128u * 1024) /* its news may end the process, which writes the metrics */
#define SLOW_LOAD_MS 5000
#define NAME_MAX_SIZE 48u

enum phase {
    PHASE_LOADING,
    PHASE_LOADED,
    PHASE_LOST, /* pages were missed that nobody serves */
    PHASE_STOPPED,
};

struct snap_watch {
    struct snap_watch_news news;
    bool ends;
    pid_t pid;   /* 0: of another PID namespace, or not to be had */
    int pid_fd;  /* FD_NONE: not to be had */
    int peer_fd; /* this one, and uffd, are duplicates: the memory may be gone before the watch */
    int uffd;
    int wake_fd; /* the phase is another */
    struct uffdio_range ranges[GMEM_REGIONS_MAX];
    uint32_t ranges_count;
    _Atomic enum phase phase;
    bool started;
    pthread_t thread;
};

static const char *name_of(const struct snap_watch *watch, char ret_name[static NAME_MAX_SIZE])
{
    if (watch->pid > 0)
        (void)snprintf(ret_name, NAME_MAX_SIZE, "process %d", (int)watch->pid);
    else
        (void)snprintf(ret_name, NAME_MAX_SIZE, "whose process id cannot be seen");
    return ret_name;
}

static enum phase phase_of(struct snap_watch *watch)
{
    return atomic_load_explicit(&watch->phase, memory_order_acquire);
}

/* From LOADING to `next`. Returns whether it was so. */
static bool leave_loading(struct snap_watch *watch, enum phase next)
{
    enum phase was = PHASE_LOADING;
    return atomic_compare_exchange_strong(&watch->phase, &was, next);
}

static void wake(struct snap_watch *watch)
{
    const uint64_t one = 1;
    IGNORE_RESULT(write(watch->wake_fd, &one, sizeof(one)) < 0); /* full: it is awake already */
}

static void take_wake(struct snap_watch *watch)
{
    uint64_t count;
    IGNORE_RESULT(read(watch->wake_fd, &count, sizeof(count)) < 0); /* the phase says it all */
}

static void for_all_ranges(const struct snap_watch *watch, unsigned long request)
{
    for (uint32_t i = 0; i < watch->ranges_count; i++) {
        struct uffdio_range range = watch->ranges[i];
        /* A failure is of a region that is gone again: nobody waits for its pages. */
        (void)ioctl(watch->uffd, request, &range);
    }
}

/* ------------------------------------------------------------------ the thread */

static void warn_of_slow_load(const struct snap_watch *watch)
{
    char name[NAME_MAX_SIZE];
    log_warn("The snapshot's load has taken %d s: it seems to wait for pages of the page-fault "
             "handler (%s). It goes on when they are served, and fails when that process ends",
             SLOW_LOAD_MS / 1000, name_of(watch, name));
}

/* Waits for the handler's end. Returns false when the watch's came first. */
static bool wait_for_end(struct snap_watch *watch)
{
    enum { WAKE, PID, PEER, FDS_COUNT };
    struct pollfd fds[FDS_COUNT] = {
        [WAKE] = {.fd = watch->wake_fd, .events = POLLIN},
        [PID] = {.fd = watch->pid_fd, .events = POLLIN},
        [PEER] = {.fd = watch->peer_fd}, /* its hang-up */
    };
    bool warned = false;
    while (fds[PID].fd >= 0 || fds[PEER].fd >= 0) {
        bool waits = !warned && phase_of(watch) == PHASE_LOADING;
        int count = poll(fds, FDS_COUNT, waits ? SLOW_LOAD_MS : -1);
        if (count < 0)
            continue; /* EINTR, of a stop; or no memory, for now */
        if (count == 0 && phase_of(watch) == PHASE_LOADING) {
            warn_of_slow_load(watch);
            warned = true;
        }
        if (fds[WAKE].revents)
            take_wake(watch);
        if (phase_of(watch) == PHASE_STOPPED)
            return false;
        for (int i = PID; i < FDS_COUNT; i++)
            if (fds[i].revents)
                fds[i].fd = FD_NONE; /* over; poll leaves it out */
    }
    return true;
}

/*
 * The handler has ended; what it had copied before may be all that the load needs. Returns true
 * when that is so. Else the load's own thread waits for a page: it gets a zero for it, so that it
 * can see that the load has failed.
 */
static bool outlives_load(struct snap_watch *watch)
{
    enum { WAKE, MISSED, FDS_COUNT };
    struct pollfd fds[FDS_COUNT] = {
        [WAKE] = {.fd = watch->wake_fd, .events = POLLIN},
        [MISSED] = {.fd = watch->uffd, .events = POLLIN},
    };
    /* What the handler has read and not served is asked for again, and so seen here. */
    for_all_ranges(watch, UFFDIO_WAKE);
    while (phase_of(watch) == PHASE_LOADING) {
        if (poll(fds, FDS_COUNT, -1) < 0)
            continue;
        if (fds[WAKE].revents)
            take_wake(watch);
        if (fds[MISSED].revents && leave_loading(watch, PHASE_LOST))
            for_all_ranges(watch, UFFDIO_UNREGISTER);
    }
    return phase_of(watch) == PHASE_LOADED;
}

static void tell(struct snap_watch *watch)
{
    char name[NAME_MAX_SIZE];
    struct err err = ERR_INIT;
    const char *what =
        watch->pid_fd == FD_NONE ? "has closed its connection, and may have ended" : "has ended";
    (void)name_of(watch, name);
    if (watch->ends)
        IGNORE_RESULT(err_set(&err, -EPIPE,
                              "The page-fault handler (%s) %s, and mem_backend.on_handler_exit is "
                              "\"exit\": this process ends with it. Load the snapshot again with a "
                              "handler that lives as long as its VMs",
                              name, what));
    else
        IGNORE_RESULT(err_set(&err, -EPIPE,
                              "The page-fault handler (%s) %s: nobody serves what is missing of "
                              "the guest's memory, and who touches it stands still. If it had not "
                              "served all, end this process (SIGTERM) and load the snapshot again "
                              "with a handler that lives as long as its VMs",
                              name, what));
    watch->news.ended(watch->news.ctx, watch->ends, &err);
}

static void *watch_main(void *arg)
{
    struct snap_watch *watch = arg;
    (void)prctl(PR_SET_NAME, "fc_uffd"); /* cannot fail */
    log_name_thread("fc_uffd");
    thread_enter(&watch->news.entry);
    if (wait_for_end(watch) && (phase_of(watch) == PHASE_LOADED || outlives_load(watch)))
        tell(watch);
    return NULL;
}

/* ------------------------------------------------------------------ the vmm thread */

/* Who listened. Before SO_PEERPIDFD by its number: it may have ended and another have got that
 * since, which only a handler sees that left its listening socket to somebody else. */
static void find_process(struct snap_watch *watch)
{
    struct ucred peer = {.pid = 0};
    socklen_t len = sizeof(peer);
    if (getsockopt(watch->peer_fd, SOL_SOCKET, SO_PEERCRED, &peer, &len) < 0)
        peer.pid = 0;
    len = sizeof(watch->pid_fd);
    if (getsockopt(watch->peer_fd, SOL_SOCKET, SO_PEERPIDFD, &watch->pid_fd, &len) < 0)
        watch->pid_fd = peer.pid > 0 ? (int)syscall(SYS_pidfd_open, peer.pid, 0) : FD_NONE;
    if (watch->pid_fd < 0)
        watch->pid_fd = FD_NONE;
    watch->pid = peer.pid;
}

static int open_fds(struct snap_watch *watch, int uffd, int peer_fd)
{
    watch->uffd = fcntl(uffd, F_DUPFD_CLOEXEC, 0);
    watch->peer_fd = fcntl(peer_fd, F_DUPFD_CLOEXEC, 0);
    watch->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    return watch->uffd < 0 || watch->peer_fd < 0 || watch->wake_fd < 0 ? -errno : 0;
}

static int start_thread(struct snap_watch *watch)
{
    pthread_attr_t attr;
    sigset_t all;
    sigset_t before;
    int rc = -pthread_attr_init(&attr);
    if (rc < 0)
        return rc;
    rc = -pthread_attr_setstacksize(&attr, STACK_SIZE);
    (void)sigfillset(&all);
    (void)sigdelset(&all, SIGSYS); /* a call that is not allowed is to be told as on any thread */
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* cannot fail with these */
    if (rc == 0)
        rc = -pthread_create(&watch->thread, &attr, watch_main, watch);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    (void)pthread_attr_destroy(&attr);
    watch->started = rc == 0;
    return rc;
}

int snap_watch_create(const struct gmem *gmem, int uffd, int peer_fd, bool ends,
                      const struct snap_watch_news *news, struct snap_watch **ret_watch,
                      struct err *err)
{
    struct snap_watch *watch = calloc(1, sizeof(*watch));
    if (!watch)
        return err_set(err, -ENOMEM, WATCH_FAILED "%s", ERR_OS(ENOMEM));
    watch->news = *news;
    watch->ends = ends;
    watch->pid_fd = watch->peer_fd = watch->uffd = watch->wake_fd = FD_NONE;
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        const struct gmem_region_view view = gmem_region_at(gmem, i);
        watch->ranges[watch->ranges_count++] =
            (struct uffdio_range){.start = (uintptr_t)view.host, .len = view.size};
    }
    int rc = open_fds(watch, uffd, peer_fd);
    if (rc == 0) {
        find_process(watch);
        rc = start_thread(watch);
    }
    if (rc < 0) {
        snap_watch_free(watch);
        return err_set(err, rc, WATCH_FAILED "%s", ERR_OS(rc));
    }
    *ret_watch = watch;
    return 0;
}

int snap_watch_end_load(struct snap_watch *watch, const char *path, int rc, struct err *err)
{
    char name[NAME_MAX_SIZE];
    /* What has failed otherwise is told by the reply, which the watch must not outrun. */
    if (leave_loading(watch, rc < 0 ? PHASE_STOPPED : PHASE_LOADED)) {
        wake(watch);
        return rc;
    }
    return err_set(err, -EPIPE,
                   "The page-fault handler (%s) ended before it had served the pages that the load "
                   "itself needs (%s). See why it ended, start it anew, and load the snapshot in a "
                   "new process",
                   name_of(watch, name), path);
}

void snap_watch_free(struct snap_watch *watch)
{
    if (!watch)
        return;
    if (watch->started) {
        atomic_store_explicit(&watch->phase, PHASE_STOPPED, memory_order_release);
        wake(watch);
        (void)pthread_join(watch->thread, NULL);
    }
    fd_close(&watch->pid_fd);
    fd_close(&watch->peer_fd);
    fd_close(&watch->uffd);
    fd_close(&watch->wake_fd);
    free(watch);
}
