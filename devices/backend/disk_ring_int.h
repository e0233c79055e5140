/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the Async engine: the process's ring and its disks. Only the backend room (and its tests)
 * see liburing. Thread: vmm, the one that opened the ring; drains come from vCPU threads too.
 */
#pragma once

#include <liburing.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "devices/backend/disk.h"
#include "devices/backend/disk_int.h"
#include "vmm/loop/loop.h"

/* Requests in flight on the ring, all disks together: submission entries; the completion ring is
 * twice that, so it cannot overflow. */
#define RING_OPS_MAX 128u
/* Registered files: every virtio device could be a disk, and one more while a disk is being
 * replaced. */
#define RING_FILES_MAX 32u
/* Kernel threads for what cannot be done at submission (reads from slow file systems, fsync), of
 * each of the kernel's two kinds. */
#define RING_WORKERS_MAX 4u

/*
 * One Async disk. A write goes through the page cache at once while that is quick, and over the
 * ring while it is not (disk_async.c).
 */
struct disk_async {
    struct disk_ring *ring;
    int fd;
    uint32_t slot;
    disk_notify_fn notify;
    void *notify_ctx;
    struct disk_req_list done;   /* completed; under the ring's lock */
    struct disk_req_list reaped; /* taken from `done`; under the device's lock */
    uint32_t in_flight;          /* started, not completed */
    bool starved;                /* was told -EBUSY; to be notified when an op is free */
    bool abandoned;              /* closed although the kernel still owns requests */
    bool kernel_writes_inline; /* the file system can say "would block": leave writes to the ring */
    bool nowait_refused;       /* it cannot */
    uint32_t watched_writes;   /* how many more to watch for waits */
    uint64_t inline_since_ns;  /* start of the present time of inline writes */
    uint64_t ring_until_ns;    /* until then writes go over the ring */
    uint64_t backoff_ns;       /* length of the last such time */
};

/* A request in flight. */
struct ring_op {
    struct disk_req *req;
    struct disk_async *disk;
};

/*
 * Requests are started and submitted on the thread that opened the ring (the kernel insists), but a
 * vCPU that resets a device drains its disk: `lock` guards everything here that changes after open,
 * and the disks' done, in_flight, starved and abandoned. Lock order:
 * vmm/machine/machine.h; no callback is called with it held.
 */
struct disk_ring {
    pthread_mutex_t lock;
    pthread_cond_t moved;    /* completions were taken, and drainers wait */
    uint32_t drainers_count; /* on other threads than the owner */
    pthread_t owner;
    struct io_uring uring;
    struct loop *loop;
    const struct clock *clock;
    uint64_t (*thread_waits)(void);
    int event_fd;
    struct loop_src src;
    struct disk_async *disks[RING_FILES_MAX]; /* by registered-file slot; NULL: free */
    uint32_t slots_used;                      /* all slots from here on were never taken */
    struct ring_op ops[RING_OPS_MAX];
    uint8_t free_ops[RING_OPS_MAX]; /* stack of indexes into ops */
    uint32_t free_ops_count;
    bool slots_lost[RING_FILES_MAX]; /* abandoned disks' */
    bool refused;                    /* the last submit was, for the moment */
    int broken;                      /* -errno of a submit that can never succeed; else 0 */
};

/* What tests choose and production leaves alone. */
struct disk_ring_options {
    const struct clock *clock;      /* times inline writes */
    uint64_t (*thread_waits)(void); /* tells waiting from running */
    bool plain;                     /* as a 5.10 kernel: no optional set-up flag */
};

/* How often the calling thread has waited in the kernel so far: its voluntary context switches. */
uint64_t disk_async_thread_waits(void);

/* As disk_ring_open, with options. */
MUST_CHECK int disk_ring_open_with(struct loop *loop, const struct disk_ring_options *options,
                                   struct disk_ring **ret_ring, struct err *err);

/* What the loop calls for the ring's eventfd; src->ctx is the ring. Notifies disks, without the
 * lock. Thread: vmm. */
void disk_ring_on_event(struct loop_src *src, uint32_t revents);

/* Takes a registered-file slot for the disk and puts its fd there. Returns 0 or -errno. */
MUST_CHECK int disk_ring_attach(struct disk_ring *ring, struct disk_async *disk);

/* Gives the slot back. Nothing of the disk may be in flight. */
void disk_ring_detach(struct disk_ring *ring, struct disk_async *disk);

/* For a disk whose requests cannot be waited for: its slot stays taken, completions are dropped
 * unseen. */
void disk_ring_abandon(struct disk_ring *ring, struct disk_async *disk);

/* Queues one request of the disk for the next submit. Returns 0, -EBUSY (the disk will be
 * notified), or -errno when the ring is beyond use. */
MUST_CHECK int disk_ring_queue(struct disk_ring *ring, struct disk_async *disk,
                               struct disk_req *req);

/* Takes all completed requests of the disk. */
void disk_ring_reap(struct disk_ring *ring, struct disk_async *disk,
                    struct disk_req_list *ret_reqs);

/* Submits what is queued, one syscall, and takes the completions that are there already: those of
 * `disk` for it to reap, those of others announced on the loop. Returns 0 or -errno. */
MUST_CHECK int disk_ring_submit(struct disk_ring *ring, const struct disk_async *disk);

/* Waits until nothing of the disk is in flight, or until `until_ns` (monotonic). Any thread; on the
 * owner's it submits first. Returns 0, -ETIMEDOUT or -errno. */
MUST_CHECK int disk_ring_drain(struct disk_ring *ring, const struct disk_async *disk,
                               uint64_t until_ns);
