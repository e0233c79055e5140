/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What changes in a virtio-blk device while the guest runs or is paused (api.md 7, PATCH
 * /drives/{drive_id}): its file and its rate limiter. Thread: vmm.
 */
#include "base/log.h"
#include "base/metrics.h"
#include "devices/blk/blk_int.h"

/* Swaps the disks: the old one's requests are done, the driver learns the new capacity. */
static void swap_disk(struct blk *blk, struct disk *fresh)
{
    struct virtio_dev *dev = &blk->dev;
    (void)pthread_mutex_lock(&dev->lock);
    virtio_await_reset(dev);
    int rc = disk_drain(&blk->disk);
    if (rc < 0)
        log_error("block engine could not drain before a new file: %s", ERR_OS(rc));
    blk_reap(blk);
    if (dev->active && !dev->broken)
        virtio_queue_flush(dev, BLK_QUEUE);
    blk_flush_file(blk);
    struct disk old = blk->disk;
    blk->disk = *fresh;
    *fresh = old;
    blk_fill_config(blk);
    virtio_config_changed(dev);
    if (virtio_serves(dev))
        virtio_kick_self(dev, BLK_QUEUE);
    (void)pthread_mutex_unlock(&dev->lock);
}

int blk_replace_file(struct blk *blk, const char *path, struct err *err)
{
    struct disk disk = {0};
    int rc = blk->disk_open(path, blk->disk.read_only, blk->ring, blk_on_complete, blk, &disk, err);
    if (rc < 0) {
        metric_inc(&blk->metrics->update_fails);
        return rc;
    }
    swap_disk(blk, &disk);
    disk_close(&disk);
    metric_inc(&blk->metrics->update_count);
    return 0;
}

void blk_replace_limiter(struct blk *blk, const struct cfg_rate_limiter *limiter)
{
    const struct cfg_bucket *buckets[RL_KINDS_COUNT] = {
        [RL_BYTES] = &limiter->bandwidth, [RL_OPS] = &limiter->ops};
    (void)pthread_mutex_lock(&blk->dev.lock);
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        if (!buckets[kind]->present)
            continue;
        const struct rl_bucket_config config = {buckets[kind]->size, buckets[kind]->one_time_burst,
                                                buckets[kind]->refill_time_ms};
        rl_replace(&blk->rl, (enum rl_kind)kind, &config);
    }
    (void)pthread_mutex_unlock(&blk->dev.lock);
}
