/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes in a virtio-blk device while the guest runs or is paused (api.md 7, PATCH
 * /drives/{drive_id}): its file and its rate limiter. Thread: vmm.
 */
#include "base/clock.h"
#include "base/metrics.h"
#include "devices/blk/blk_int.h"

/* How long what is in flight on the old file may take, as for a pause. */
#define BLK_REPLACE_MAX_NS (30 * NS_PER_S)

/* Waits until nothing is in flight on the file, and publishes that. Returns 0, -ETIMEDOUT or -errno
 * of the engine; the device serves on. */
static int settle(struct blk *blk)
{
    struct virtio_dev *dev = &blk->dev;
    uint64_t until_ns = clock_mono_ns() + BLK_REPLACE_MAX_NS;
    int rc = virtio_await_reset(dev, until_ns);
    if (rc < 0)
        return rc; /* the requests are that reset's */
    rc = disk_drain_until(&blk->disk, until_ns);
    blk_reap(blk);
    if (dev->active && !dev->broken)
        virtio_queue_flush(dev, BLK_QUEUE);
    return rc;
}

/* Swaps the disks, once the old one's requests are done; the driver learns the new capacity.
 * Returns as settle, and then nothing was swapped. */
static int swap_disk(struct blk *blk, struct disk *fresh)
{
    struct virtio_dev *dev = &blk->dev;
    (void)pthread_mutex_lock(&dev->lock);
    int rc = settle(blk);
    if (rc == 0) {
        blk_flush_file(blk);
        struct disk old = blk->disk;
        blk->disk = *fresh;
        *fresh = old;
        blk_fill_config(blk);
        virtio_config_changed(dev);
        if (virtio_serves(dev))
            virtio_kick_self(dev, BLK_QUEUE);
    }
    (void)pthread_mutex_unlock(&dev->lock);
    return rc;
}

int blk_replace_file(struct blk *blk, const char *path, struct err *err)
{
    struct disk disk = {0};
    int rc = blk->disk_open(path, blk->disk.read_only, blk->ring, blk_on_complete, blk, &disk, err);
    if (rc < 0) {
        (void)err_prefix(err, BLK_OPEN_FAILED);
    } else {
        rc = swap_disk(blk, &disk);
        if (rc < 0)
            rc = err_set(err, rc, "%s: what is in flight on the old file does not finish: %s", path,
                         ERR_OS(rc));
        disk_close(&disk); /* the old one, or the new one that was not taken */
    }
    metric_inc(rc < 0 ? &blk->metrics->update_fails : &blk->metrics->update_count);
    return rc;
}

void blk_replace_limiter(struct blk *blk, const struct cfg_rate_limiter *limiter)
{
    const struct cfg_bucket *buckets[RL_KINDS_COUNT] = {
        [RL_BYTES] = &limiter->bandwidth, [RL_OPS] = &limiter->ops};
    (void)pthread_mutex_lock(&blk->dev.lock);
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        if (!buckets[kind]->present)
            continue;
        const struct rl_bucket_config config = blk_bucket_config(buckets[kind]);
        rl_replace(&blk->rl, (enum rl_kind)kind, &config);
    }
    if (!rl_limits(&blk->rl)) { /* nothing waits any more, and no wait is worth its timer */
        rl_done(&blk->rl);
        if (virtio_serves(&blk->dev))
            virtio_kick_self(&blk->dev, BLK_QUEUE);
    }
    (void)pthread_mutex_unlock(&blk->dev.lock);
}
