/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk (virtio 1.2, 5.2; devices.md 3, deltas.md 7): one queue, any framing of header, data
 * and status, up to seg_max data descriptors, a rate limiter, a Sync or an Async disk behind it.
 * Everything runs under the virtio device's lock; the disk's completions arrive on the vmm
 * thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "devices/backend/disk.h"
#include "devices/backend/rl.h"
#include "devices/virtio/virtio.h"
#include "vmm/config/cfg.h"
#include "vmm/loop/loop.h"

struct blk;

/* As disk_open; tests pass one that wraps the disk. */
typedef int (*blk_disk_open_fn)(const char *path, bool read_only, struct disk_ring *ring,
                                disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                                struct err *err);

/* What a block device borrows for its life. */
struct blk_env {
    struct loop *loop;
    const struct clock *clock;
    struct disk_ring *ring; /* NULL for a Sync drive */
    blk_disk_open_fn disk_open;
};

/*
 * Opens the drive's file and makes the device; a bad path fails here. drive: read once, not kept.
 * Returns 0 with *ret_blk (blk_free), -ENOSPC (METRICS_INSTANCES_MAX ids have been seen), -ENOMEM
 * or -errno of disk_open; only the last has api.md 7's "Virtio backend error: ..." before it.
 * Thread: vmm.
 */
MUST_CHECK int blk_create(const struct cfg_drive *drive, const struct blk_env *env,
                          struct blk **ret_blk, struct err *err);

/* Finishes what is in flight, flushes a Writeback disk, closes it. NULL is fine. Thread: vmm. */
void blk_free(struct blk *blk);

/*
 * Opens `path` with the mode and engine the device has and swaps it in: what is in flight on the
 * old file completes first, capacity and serial are the new file's, a running driver is told. The
 * same path again re-reads the size. Returns 0, or -errno of disk_open with that prefix, or
 * -ETIMEDOUT or -errno of the engine when that does not complete (30 s); then the old file stays.
 * Thread: vmm. Takes the lock.
 */
MUST_CHECK int blk_replace_file(struct blk *blk, const char *path, struct err *err);

/* Replaces the buckets that are present by fresh ones; one of size or time 0 is no limit. Thread:
 * vmm. Takes the lock. */
void blk_replace_limiter(struct blk *blk, const struct cfg_rate_limiter *limiter);

/* The device for a transport; the blk's. */
struct virtio_dev *blk_virtio(struct blk *blk);

/* The disk behind it; borrowed until the file is replaced. Thread: vmm. */
const struct disk *blk_disk(const struct blk *blk);

/* Bytes at the end of the file that no whole sector holds; 0 when the size is a multiple of 512. */
uint32_t blk_invisible_tail_size(const struct blk *blk);
