/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-blk device (virtio 1.2, 5.2; devices.md 3). Parse, throttle, start, finish. Every popped
 * head leaves by one exit: the used ring, back into the avail ring, or virtio_mark_broken. Under
 * the device's lock; on the vmm thread, but for a Sync disk's short queues (on_notify).
 */
#include "devices/blk/blk.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <linux/virtio_ids.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/blk/blk_req.h"

#define BLK_QUEUE 0u
/* Data descriptors of one request: the queue less header and status. */
#define BLK_SEG_MAX (VQ_SIZE_MAX - 2u)
/* What is served before other devices get their turn: a chain costs 1, and 1 for each 64 KiB. */
#define BLK_PASS_BUDGET (4u * VQ_SIZE_MAX)
#define BLK_COST_SIZE (64u * 1024)
/* Served on a vCPU's thread before the loop takes over: the guest stands still meanwhile. */
#define BLK_NOTIFY_BUDGET 64u
/* A turn ends with the request that makes it longer than this, which shows a disk that makes its
 * readers wait: for some time the loop serves everything, then a notification tries again. */
#define BLK_NOTIFY_MAX_NS (200 * NS_PER_US)
#define BLK_NOTIFY_PAUSE_NS (1 * NS_PER_S)
#define BLK_INLINE_IOVS 4u

/* Config space, virtio 1.2, 5.2.4: the fields whose features are offered. */
struct blk_wire_config {
    le64_t capacity;
    le32_t size_max;
    le32_t seg_max;
};
static_assert(sizeof(struct blk_wire_config) == 16, "virtio 1.2, 5.2.4");

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

static struct blk *blk_of(struct virtio_dev *dev)
{
    return CONTAINER_OF(dev, struct blk, dev);
}

static struct vq *blk_queue(struct blk *blk)
{
    return &blk->dev.queues[BLK_QUEUE];
}

/* Writes the status byte and pushes the head; data_written: payload bytes the guest got. */
static void complete(struct blk *blk, uint16_t head, gpa_t status_addr, uint8_t status,
                     uint32_t data_written)
{
    if (gmem_write(blk->dev.gmem, status_addr, &status, sizeof(status)) < 0) {
        metric_inc(&blk->metrics->execute_fails);
        virtio_mark_broken(&blk->dev, "block request: status byte outside guest memory", -EFAULT);
        return;
    }
    vq_push_used(blk_queue(blk), head, data_written + BLK_STATUS_SIZE);
}

static void count_transfer(struct blk *blk, const struct blk_slot *slot, uint64_t bytes)
{
    blk->moved_ns = clock_now_ns(blk->clock);
    uint64_t us = (blk->moved_ns - slot->start_ns) / NS_PER_US;
    if (slot->op == BLK_OP_READ) {
        metric_inc(&blk->metrics->read_count);
        metric_add(&blk->metrics->read_bytes, bytes);
        metric_agg_record(&blk->metrics->read_agg, us);
    } else {
        metric_inc(&blk->metrics->write_count);
        metric_add(&blk->metrics->write_bytes, bytes);
        metric_agg_record(&blk->metrics->write_agg, us);
    }
}

static void slot_release(struct blk_slot *slot)
{
    if (slot->iov != slot->inline_iov)
        free(slot->iov);
    slot->iov = NULL;
}

/* A request the engine is done with: result → status byte → used ring. */
static void finish(struct blk *blk, struct blk_slot *slot)
{
    bool moved_all = slot->disk.result == (int64_t)slot->disk.len;
    uint32_t to_guest = 0;

    if (slot->op == BLK_OP_FLUSH) {
        metric_inc(&blk->metrics->flush_count);
    } else if (slot->disk.result >= 0) {
        count_transfer(blk, slot, (uint64_t)slot->disk.result);
        if (slot->op == BLK_OP_READ)
            to_guest = (uint32_t)slot->disk.result;
    }
    if (!moved_all) {
        metric_inc(&blk->metrics->invalid_reqs_count);
        log_guest_error("block request of %llu bytes at %llu failed: %s",
                        (unsigned long long)slot->disk.len, (unsigned long long)slot->disk.off,
                        slot->disk.result < 0 ? ERR_OS((int)slot->disk.result) : "short transfer");
    }
    slot_release(slot);
    complete(blk, slot->head, slot->status_addr, moved_all ? VIRTIO_BLK_S_OK : VIRTIO_BLK_S_IOERR,
             to_guest);
}

/* Finishes everything the engine has completed. */
static void reap(struct blk *blk)
{
    for (struct disk_req *req; (req = disk_reap(&blk->disk));) {
        struct blk_slot *slot = CONTAINER_OF(req, struct blk_slot, disk);
        slot->with_engine = false;
        if (blk->dev.gmem && !blk->dev.broken && !slot->orphaned)
            finish(blk, slot);
        else
            slot_release(slot);
    }
}

/* Guest address of byte `off` of the writable part; it exists, since parse found room for it. */
static gpa_t writable_addr(const struct vq_chain *chain, uint64_t off)
{
    for (uint32_t i = chain->readable_count; i < chain->bufs_count; i++) {
        uint64_t addr;
        if (off < chain->bufs[i].len) /* a wrapping address is one that no region holds */
            return gpa(ck_add(chain->bufs[i].addr.v, off, &addr) ? addr : UINT64_MAX);
        off -= chain->bufs[i].len;
    }
    assert(false);
    return gpa(UINT64_MAX);
}

/* Iovecs of the payload into the slot. Returns 0, -EFAULT (payload outside memory) or -ENOMEM. */
static int slot_map(struct blk *blk, struct blk_slot *slot, const struct blk_request *req)
{
    const struct vq_chain *chain = &blk->chain;
    bool writable = req->op == BLK_OP_READ;
    uint32_t iov_max = BLK_INLINE_IOVS;

    slot->iov = slot->inline_iov;
    if (chain->bufs_count > BLK_INLINE_IOVS) {
        iov_max = chain->bufs_count;
        slot->iov = malloc(iov_max * sizeof(*slot->iov));
        if (!slot->iov)
            return -ENOMEM;
    }
    int count = vq_chain_iov(blk->dev.gmem, chain, writable, writable ? 0 : BLK_HEADER_SIZE,
                             req->data_len, slot->iov, iov_max);
    if (count < 0) {
        slot_release(slot);
        return count;
    }
    slot->disk = (struct disk_req){
        .op = writable ? DISK_READ : DISK_WRITE,
        .off = req->off,
        .iov = slot->iov,
        .iov_count = (uint32_t)count,
        .len = req->data_len,
    };
    return 0;
}

/* Takes what the request costs. False: denied and nothing taken. */
static bool limiter_take(struct blk *blk, const struct blk_request *req)
{
    if (!rl_take(&blk->rl, RL_OPS, 1))
        return false;
    bool transfers = req->op == BLK_OP_READ || req->op == BLK_OP_WRITE;
    if (transfers && !rl_take(&blk->rl, RL_BYTES, req->data_len)) {
        rl_refund(&blk->rl, RL_OPS, 1);
        return false;
    }
    return true;
}

/* Completes at once what needs no engine. */
static void finish_at_once(struct blk *blk, const struct blk_request *req, uint8_t status)
{
    uint32_t written = 0;
    if (status != VIRTIO_BLK_S_OK) {
        metric_inc(status == VIRTIO_BLK_S_UNSUPP ? &blk->metrics->invalid_reqs_count
                                                 : &blk->metrics->execute_fails);
    } else if (req->op == BLK_OP_GET_ID) {
        if (vq_chain_write(blk->dev.gmem, &blk->chain, 0, blk->disk.serial, DISK_SERIAL_SIZE) < 0)
            status = VIRTIO_BLK_S_IOERR;
        else
            written = DISK_SERIAL_SIZE;
    }
    complete(blk, blk->chain.head, writable_addr(&blk->chain, req->status_off), status, written);
}

/* Hands a transfer or flush to the engine. Returns 1 going or done, 0 put back because the engine
 * is full. */
static int slot_start(struct blk *blk, const struct blk_request *req)
{
    struct blk_slot *slot = &blk->slots[blk->chain.head];
    if (slot->with_engine) { /* orphaned: the engine may still use what it holds */
        finish_at_once(blk, req, VIRTIO_BLK_S_IOERR);
        return 1;
    }
    slot->orphaned = false;
    slot->head = blk->chain.head;
    slot->op = req->op;
    slot->status_addr = writable_addr(&blk->chain, req->status_off);
    slot->start_ns = clock_now_ns(blk->clock);
    slot->iov = slot->inline_iov;
    slot->disk = (struct disk_req){.op = DISK_FLUSH};
    if (req->op != BLK_OP_FLUSH && slot_map(blk, slot, req) < 0) {
        finish_at_once(blk, req, VIRTIO_BLK_S_IOERR);
        return 1;
    }
    int rc = disk_start(&blk->disk, &slot->disk);
    if (rc == -EBUSY) {
        slot_release(slot);
        return 0;
    }
    if (rc < 0) {
        slot->disk.result = rc;
        rc = 1;
    }
    slot->with_engine = rc == 0;
    if (rc == 1)
        finish(blk, slot);
    return 1;
}

/* May this pass serve a request of that cost? On a vCPU's thread nothing larger than what is left
 * of its turn, and no flush, which may take a disk's whole write-back time. */
static bool may_serve(struct blk *blk, const struct blk_request *req, uint64_t cost,
                      uint32_t budget)
{
    if (blk->on_vcpu && (req->op == BLK_OP_FLUSH || cost > budget)) {
        virtio_kick_self(&blk->dev, BLK_QUEUE);
        return false;
    }
    if (!blk->on_vcpu && !limiter_take(blk, req)) {
        metric_inc(&blk->metrics->rate_limiter_throttled_events);
        return false;
    }
    return true;
}

/* One popped chain. Returns 1 served, 0 put back (limiter, engine or thread). */
static int serve_chain(struct blk *blk, uint32_t *budget)
{
    struct vq *vq = blk_queue(blk);
    struct blk_limits limits = {blk->disk.sectors_count, blk->disk.read_only};
    struct blk_request req;
    uint8_t status;

    int rc = blk_req_parse(blk->dev.gmem, &blk->chain, &limits, &req, &status);
    if (rc < 0) {
        metric_inc(&blk->metrics->execute_fails);
        virtio_mark_broken(&blk->dev, "block request without header or status byte", rc);
        return 1;
    }
    uint64_t cost = req.data_len / BLK_COST_SIZE;
    if (!may_serve(blk, &req, cost, *budget)) {
        vq_unpop(vq, blk->chain.head);
        return 0;
    }
    *budget -= cost < *budget ? (uint32_t)cost : *budget;
    if (rc == 0 || req.op == BLK_OP_GET_ID) {
        finish_at_once(blk, &req, status);
        return 1;
    }
    if (slot_start(blk, &req) == 0) {
        rl_refund(&blk->rl, RL_OPS, 1);
        if (req.data_len)
            rl_refund(&blk->rl, RL_BYTES, req.data_len);
        metric_inc(&blk->metrics->io_engine_throttled_events);
        blk->engine_full = true;
        vq_unpop(vq, blk->chain.head);
        return 0;
    }
    return 1;
}

/* Has a turn on a vCPU's thread taken its time? */
static bool turn_is_long(const struct blk *blk)
{
    return blk->on_vcpu && blk->moved_ns > blk->turn_start_ns + BLK_NOTIFY_MAX_NS;
}

/* Pops and starts until the ring is empty (1), something must be waited for (0), or the budget is
 * spent (0, with a kick to oneself). */
static int serve_pass(struct blk *blk, uint32_t *budget)
{
    struct vq *vq = blk_queue(blk);
    while (!blk->dev.broken) {
        if (!blk->on_vcpu && rl_blocked(&blk->rl))
            return 0;
        if (*budget == 0 || turn_is_long(blk)) {
            virtio_kick_self(&blk->dev, BLK_QUEUE);
            return 0;
        }
        int rc = vq_pop(vq, &blk->chain);
        if (rc == 0)
            return 1;
        if (rc < 0) {
            metric_inc(&blk->metrics->event_fails);
            virtio_mark_broken(&blk->dev, "block queue: bad index, descriptor or chain", rc);
            return 0;
        }
        --*budget;
        if (serve_chain(blk, budget) == 0)
            return 0;
    }
    return 0;
}

static void serve(struct blk *blk, uint32_t budget)
{
    struct vq *vq = blk_queue(blk);
    bool drained;

    blk->engine_full = false;
    do {
        vq_notify_off(vq);
        drained = serve_pass(blk, &budget) == 1;
        int rc = disk_kick(&blk->disk);
        if (rc < 0)
            log_guest_error("block engine could not submit: %s", ERR_OS(rc));
        reap(blk);
        if (blk->dev.broken)
            return;
        virtio_queue_flush(&blk->dev, BLK_QUEUE);
        if (!drained || !vq_notify_on(vq))
            return;
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (budget && --budget);
    virtio_kick_self(&blk->dev, BLK_QUEUE);
}

static void on_queue(struct virtio_dev *dev, uint32_t idx)
{
    struct blk *blk = blk_of(dev);
    (void)idx; /* there is one queue */
    metric_inc(&blk->metrics->queue_event_count);
    serve(blk, BLK_PASS_BUDGET);
}

/*
 * A Sync disk: while its file's pages are at hand, the vCPU that asks is the quickest to serve: no
 * thread is woken, and the answer is there when the guest goes on. A limiter's timer belongs to the
 * loop, and so does a limited disk.
 */
static bool on_notify(struct virtio_dev *dev, uint32_t idx)
{
    struct blk *blk = blk_of(dev);
    (void)idx; /* there is one queue */
    uint64_t start_ns = clock_now_ns(blk->clock);
    if (start_ns < blk->loop_until_ns || rl_limits(&blk->rl))
        return false;
    metric_inc(&blk->metrics->queue_event_count);
    blk->turn_start_ns = start_ns;
    blk->on_vcpu = true;
    serve(blk, BLK_NOTIFY_BUDGET);
    blk->on_vcpu = false;
    uint64_t end_ns = clock_now_ns(blk->clock);
    if (end_ns - start_ns > BLK_NOTIFY_MAX_NS)
        blk->loop_until_ns = end_ns + BLK_NOTIFY_PAUSE_NS;
    return true;
}

/* The limiter's timer fired. Thread: vmm. */
static void on_unblocked(void *ctx)
{
    struct blk *blk = ctx;
    (void)pthread_mutex_lock(&blk->dev.lock);
    metric_inc(&blk->metrics->rate_limiter_event_count);
    if (blk->dev.active && !blk->dev.broken)
        serve(blk, BLK_PASS_BUDGET);
    (void)pthread_mutex_unlock(&blk->dev.lock);
}

/* The engine completed something. Thread: vmm. */
static void on_disk_complete(void *ctx)
{
    struct blk *blk = ctx;
    (void)pthread_mutex_lock(&blk->dev.lock);
    reap(blk);
    if (blk->dev.active && !blk->dev.broken) {
        virtio_queue_flush(&blk->dev, BLK_QUEUE);
        if (blk->engine_full)
            serve(blk, BLK_PASS_BUDGET);
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
    reap(blk);
    for (uint32_t i = 0; i < ARRAY_LEN(blk->slots); i++)
        blk->slots[i].orphaned = blk->slots[i].with_engine; /* only after a drain that failed */
    dev->gmem = gmem;
    blk->engine_full = false;
}

static const struct virtio_dev_ops async_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = on_queue,
};

static const struct virtio_dev_ops sync_ops = {
    .activate = activate,
    .reset = reset,
    .on_queue = on_queue,
    .on_notify = on_notify,
};

static void config_fill(struct blk *blk)
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
    struct rl_bucket_config configs[RL_KINDS_COUNT] = {0};
    if (limiter->present) {
        const struct cfg_bucket *bytes = &limiter->bandwidth;
        const struct cfg_bucket *ops = &limiter->ops;
        if (bytes->present)
            configs[RL_BYTES] = (struct rl_bucket_config){bytes->size, bytes->one_time_burst,
                                                          bytes->refill_time_ms};
        if (ops->present)
            configs[RL_OPS] =
                (struct rl_bucket_config){ops->size, ops->one_time_burst, ops->refill_time_ms};
    }
    rl_init(&blk->rl, configs, env->clock, env->loop, on_unblocked, blk);
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
    blk->metrics = metrics_block_of(drive->drive_id);
    if (!blk->metrics) {
        rc = err_set(err, -ENOMEM, "no memory for the metrics of block device %s", drive->drive_id);
        goto err_free;
    }
    rc = env->disk_open(drive->path_on_host, drive->is_read_only, is_async ? env->ring : NULL,
                        on_disk_complete, blk, &blk->disk, err);
    if (rc < 0)
        goto err_free;
    blk->dev.activate_fails = &blk->metrics->activate_fails;
    blk->cache = drive->cache_type;
    blk->clock = env->clock;
    if (drive->is_read_only)
        blk->dev.offered |= 1ull << VIRTIO_BLK_F_RO;
    if (drive->cache_type == CFG_CACHE_WRITEBACK)
        blk->dev.offered |= 1ull << VIRTIO_BLK_F_FLUSH;
    blk->dev.offered |= 1ull << VIRTIO_BLK_F_SEG_MAX;
    config_fill(blk);
    limiter_init(blk, &drive->rate_limiter, env);
    *ret_blk = blk;
    return 0;

err_free:
    virtio_dev_done(&blk->dev);
    free(blk);
    return rc;
}

/* A Writeback disk is left durable. */
static void flush_at_close(struct blk *blk)
{
    blk->flush = (struct disk_req){.op = DISK_FLUSH};
    int rc = disk_start(&blk->disk, &blk->flush);
    if (rc == 0) {
        rc = disk_kick(&blk->disk);
        if (rc == 0)
            rc = disk_drain(&blk->disk);
    }
    if (rc >= 0 && blk->flush.result < 0)
        rc = (int)blk->flush.result;
    if (rc < 0)
        log_guest_error("flushing a block device at its end failed: %s", ERR_OS(rc));
}

void blk_free(struct blk *blk)
{
    if (!blk)
        return;
    rl_done(&blk->rl);
    if (blk->cache == CFG_CACHE_WRITEBACK && !blk->disk.read_only)
        flush_at_close(blk);
    disk_close(&blk->disk);
    for (uint32_t i = 0; i < ARRAY_LEN(blk->slots); i++)
        slot_release(&blk->slots[i]); /* what the closed engine never gave back */
    virtio_dev_done(&blk->dev);
    free(blk);
}

struct virtio_dev *blk_virtio(struct blk *blk)
{
    return &blk->dev;
}

uint32_t blk_invisible_tail_size(const struct blk *blk)
{
    return (uint32_t)(blk->disk.size % DISK_SECTOR_SIZE);
}
