/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk device (virtio 1.2, 5.2; devices.md 3): its life, reset, pause and completions. Under
 * the device's lock, on the vmm thread; a reset comes from a vCPU's.
 */
#include "devices/blk/blk.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"
#include "devices/blk/blk_int.h"

/* Data descriptors of one request: the queue less header and status. */
#define BLK_SEG_MAX (VQ_SIZE_MAX - 2u)

/* Config space, virtio 1.2, 5.2.4: the fields whose features are offered. */
struct blk_wire_config {
    le64_t capacity;
    le32_t size_max;
    le32_t seg_max;
};
static_assert(sizeof(struct blk_wire_config) == 16, "virtio 1.2, 5.2.4");

/* The limiter's timer fired. Thread: vmm. */
static void on_unblocked(void *ctx)
{
    struct blk *blk = ctx;
    (void)pthread_mutex_lock(&blk->dev.lock);
    metric_inc(&blk->metrics->rate_limiter_event_count);
    if (virtio_serves(&blk->dev))
        blk_serve(blk, BLK_PASS_BUDGET);
    (void)pthread_mutex_unlock(&blk->dev.lock);
}

void blk_on_complete(void *ctx)
{
    struct blk *blk = ctx;
    (void)pthread_mutex_lock(&blk->dev.lock);
    blk_reap(blk);
    if (blk->dev.active && !blk->dev.broken) {
        virtio_queue_flush(&blk->dev, BLK_QUEUE);
        if (blk->engine_full && virtio_serves(&blk->dev))
            blk_serve(blk, BLK_PASS_BUDGET);
    }
    (void)pthread_mutex_unlock(&blk->dev.lock);
}

static int activate(struct virtio_dev *dev)
{
    (void)dev; /* everything was acquired at creation */
    return 0;
}

static void reset(struct virtio_dev *dev)
{
    struct blk *blk = blk_of(dev);
    /* Without the lock: the disk may take its time, and the loop must not wait for that. Nothing
     * else starts or closes anything meanwhile (virtio_dev.resetting). */
    (void)pthread_mutex_unlock(&dev->lock);
    int rc = disk_drain(&blk->disk);
    (void)pthread_mutex_lock(&dev->lock);
    if (rc < 0)
        log_guest_error("block engine could not drain at reset: %s", ERR_OS(rc));
    struct gmem *gmem = dev->gmem;
    dev->gmem = NULL; /* completions are dropped: the driver has taken its memory back */
    blk_reap(blk);
    for (uint32_t i = 0; i < ARRAY_LEN(blk->slots); i++)
        blk->slots[i].orphaned = blk->slots[i].with_engine; /* only after a drain that failed */
    dev->gmem = gmem;
    blk->engine_full = false;
}

static int quiesce(struct virtio_dev *dev, uint64_t until_ns)
{
    struct blk *blk = blk_of(dev);
    int rc = disk_drain_until(&blk->disk, until_ns);
    blk_reap(blk);
    if (!dev->broken)
        virtio_queue_flush(dev, BLK_QUEUE);
    return rc;
}

static const struct virtio_dev_ops async_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = blk_on_queue,
    .quiesce = quiesce,
};

static const struct virtio_dev_ops sync_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = blk_on_queue,
    .quiesce = quiesce,
    .on_notify = blk_on_notify,
};

void blk_fill_config(struct blk *blk)
{
    struct blk_wire_config config = {
        .capacity = le64_put(blk->disk.sectors_count),
        .seg_max = le32_put(BLK_SEG_MAX),
    };
    memcpy(blk->dev.config, &config, sizeof(config));
    blk->dev.config_size = sizeof(config);
}

static void limiter_init(struct blk *blk, const struct cfg_rate_limiter *limiter,
                         const struct blk_env *env)
{
    const struct rl_bucket_config configs[RL_KINDS_COUNT] = {
        [RL_BYTES] = blk_bucket_config(&limiter->bandwidth),
        [RL_OPS] = blk_bucket_config(&limiter->ops),
    };
    rl_init(&blk->rl, configs, env->clock, env->loop, on_unblocked, blk);
}

/* For ever: of what can be opened only. */
static int metrics_of(const char *drive_id, struct metrics_block **ret_block, struct err *err)
{
    int rc = metrics_block_of(drive_id, ret_block);
    if (rc == -ENOSPC)
        return err_set(err, rc, "no room for the metrics of block device %s: more than %u ids",
                       drive_id, METRICS_INSTANCES_MAX);
    if (rc < 0)
        return err_set(err, rc, "no memory for the metrics of block device %s", drive_id);
    return 0;
}

int blk_create(const struct cfg_drive *drive, const struct blk_env *env, struct blk **ret_blk,
               struct err *err)
{
    struct blk *blk = calloc(1, sizeof(*blk));
    if (!blk)
        return err_set(err, -ENOMEM, "no memory for block device %s", drive->drive_id);
    bool is_async = drive->io_engine == CFG_IO_ENGINE_ASYNC;
    int rc = virtio_dev_init(&blk->dev, is_async ? &async_ops : &sync_ops, VIRTIO_ID_BLOCK, 1);
    if (rc < 0) {
        (void)err_set(err, rc, "block device %s: %s", drive->drive_id, ERR_OS(rc));
        goto err_free;
    }
    blk->ring = is_async ? env->ring : NULL;
    blk->disk_open = env->disk_open;
    rc = blk->disk_open(drive->path_on_host, drive->is_read_only, blk->ring, blk_on_complete, blk,
                        &blk->disk, err);
    if (rc < 0) {
        (void)err_prefix(err, BLK_OPEN_FAILED);
        goto err_free;
    }
    rc = metrics_of(drive->drive_id, &blk->metrics, err);
    if (rc < 0)
        goto err_close;
    blk->dev.activate_fails = &blk->metrics->activate_fails;
    blk->dev.cfg_fails = &blk->metrics->cfg_fails;
    blk->cache = drive->cache_type;
    blk->clock = env->clock;
    if (drive->is_read_only)
        blk->dev.offered |= 1ull << VIRTIO_BLK_F_RO;
    if (drive->cache_type == CFG_CACHE_WRITEBACK)
        blk->dev.offered |= 1ull << VIRTIO_BLK_F_FLUSH;
    blk->dev.offered |= 1ull << VIRTIO_BLK_F_SEG_MAX;
    blk_fill_config(blk);
    limiter_init(blk, &drive->rate_limiter, env);
    *ret_blk = blk;
    return 0;

err_close:
    disk_close(&blk->disk);
err_free:
    virtio_dev_done(&blk->dev);
    free(blk);
    return rc;
}

int blk_sync_file(struct blk *blk)
{
    if (blk->disk.read_only)
        return 0;
    blk->flush = (struct disk_req){.op = DISK_FLUSH};
    int rc = disk_start(&blk->disk, &blk->flush);
    if (rc == 0) {
        rc = disk_kick(&blk->disk);
        if (rc == 0)
            rc = disk_drain(&blk->disk);
    }
    if (rc >= 0 && blk->flush.result < 0)
        rc = (int)blk->flush.result;
    return rc < 0 ? rc : 0;
}

void blk_flush_file(struct blk *blk)
{
    int rc = blk->cache == CFG_CACHE_WRITEBACK ? blk_sync_file(blk) : 0;
    if (rc < 0)
        log_error("flushing a block device's file failed: %s", ERR_OS(rc));
}

void blk_free(struct blk *blk)
{
    if (!blk)
        return;
    rl_done(&blk->rl);
    blk_flush_file(blk);
    disk_close(&blk->disk);
    blk_forget_requests(blk);
    virtio_dev_done(&blk->dev);
    free(blk);
}

struct virtio_dev *blk_virtio(struct blk *blk)
{
    return &blk->dev;
}

const struct disk *blk_disk(const struct blk *blk)
{
    return &blk->disk;
}

uint32_t blk_invisible_tail_size(const struct blk *blk)
{
    return (uint32_t)(blk->disk.size % DISK_SECTOR_SIZE);
}
