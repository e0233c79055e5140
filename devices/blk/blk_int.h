/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/blk: the device and its requests. All of it under the virtio device's lock; on the
 * vmm thread, but for a Sync disk's short queues (blk_on_notify).
 */
#pragma once

#include "devices/blk/blk.h"
#include "devices/blk/blk_req.h"

/* Before the sentences of disk_open (api.md 7, drives). */
#define BLK_OPEN_FAILED "Virtio backend error: Error manipulating the backing file: "

#define BLK_QUEUE 0u
#define BLK_INLINE_IOVS 4u
/* What is served before other devices get their turn: a chain costs 1, and 1 for each 64 KiB. */
#define BLK_PASS_BUDGET (4u * VQ_SIZE_MAX)

/* One request between pop and push, in the slot of its head. */
struct blk_slot {
    struct disk_req disk;
    uint64_t start_ns;
    gpa_t status_addr;
    uint16_t head;
    enum blk_op op;
    bool with_engine;  /* from a start that was taken until the reap */
    bool orphaned;     /* a reset could not get it back: its end says nothing to anybody */
    struct iovec *iov; /* inline_iov, or heap for long chains */
    struct iovec inline_iov[BLK_INLINE_IOVS];
};

struct blk {
    struct virtio_dev dev;
    struct disk disk;
    enum cfg_cache cache;
    const struct clock *clock;
    struct disk_ring *ring; /* of an Async disk; else NULL */
    blk_disk_open_fn disk_open;
    struct metrics_block *metrics;
    struct rl rl;
    bool engine_full;                   /* a request was put back because the engine took no more */
    bool on_vcpu;                       /* this pass runs on a vCPU's thread */
    uint64_t turn_start_ns;             /* of that pass */
    uint64_t moved_ns;                  /* when the last transfer was done */
    uint64_t loop_until_ns;             /* until then the loop serves, whoever notifies */
    struct disk_req flush;              /* the last one, at the end */
    struct vq_chain chain;              /* the one being parsed */
    struct blk_slot slots[VQ_SIZE_MAX]; /* by head */
};

static inline struct rl_bucket_config blk_bucket_config(const struct cfg_bucket *bucket)
{
    return rl_bucket_asked(bucket->present, bucket->size, bucket->one_time_burst,
                           bucket->refill_time_ms);
}

static inline struct blk *blk_of(struct virtio_dev *dev)
{
    return CONTAINER_OF(dev, struct blk, dev);
}

static inline struct vq *blk_queue(struct blk *blk)
{
    return &blk->dev.queues[BLK_QUEUE];
}

/* blk_serve.c: pops and starts what the queue holds, for as much as the budget allows; publishes
 * what is done. */
void blk_serve(struct blk *blk, uint32_t budget);
/* Finishes everything the engine has completed. */
void blk_reap(struct blk *blk);
/* Frees what the requests hold that a closed engine never gave back. */
void blk_forget_requests(struct blk *blk);
/* The virtio_dev_ops of serving. */
void blk_on_queue(struct virtio_dev *dev, uint32_t idx);
bool blk_on_notify(struct virtio_dev *dev, uint32_t idx);

/* blk.c: the config space of the disk that the device has now. */
void blk_fill_config(struct blk *blk);
/* The disk_notify_fn of the device's disks. Thread: vmm. Takes the lock. */
void blk_on_complete(void *ctx);
/* Leaves the disk durable, if it can be written. Nothing is in flight. Returns 0 or -errno. */
MUST_CHECK int blk_sync_file(struct blk *blk);
/* The same of a Writeback disk; a failure is logged. */
void blk_flush_file(struct blk *blk);
