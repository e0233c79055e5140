/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Serving a virtio-blk queue (virtio 1.2, 5.2.6; devices.md 3): parse, throttle, start, finish; in
 * passes and turns of a budget each. Every popped head leaves by one exit: the used ring, back into
 * the avail ring, or virtio_mark_broken. Under the device's lock, on the vmm thread, but for
 * blk_on_notify.
 */
#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>
#include <stdlib.h>

#include "base/ck.h"
#include "base/log.h"
#include "base/metrics.h"
#include "devices/blk/blk_int.h"

#define BLK_COST_SIZE (64u * 1024)
/* Served on a vCPU's thread before the loop takes over: the guest stands still meanwhile. */
#define BLK_NOTIFY_BUDGET 64u
/* A turn ends with the request that makes it longer than this, which shows a disk that makes its
 * readers wait: for some time the loop serves everything, then a notification tries again. */
#define BLK_NOTIFY_MAX_NS (200 * NS_PER_US)
#define BLK_NOTIFY_PAUSE_NS (1 * NS_PER_S)

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

    if (slot->disk.result == -EFAULT)
        gmem_iov_touch(slot->iov, slot->disk.iov_count);
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

void blk_reap(struct blk *blk)
{
    for (struct disk_req *req; (req = disk_reap(&blk->disk));) {
        if (req == &blk->flush)
            continue; /* blk_sync_file's, which has its result: no slot */
        struct blk_slot *slot = CONTAINER_OF(req, struct blk_slot, disk);
        slot->with_engine = false;
        if (blk->dev.gmem && !blk->dev.broken && !slot->orphaned)
            finish(blk, slot);
        else
            slot_release(slot);
    }
}

void blk_forget_requests(struct blk *blk)
{
    for (uint32_t i = 0; i < ARRAY_LEN(blk->slots); i++)
        slot_release(&blk->slots[i]);
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
    bool transfers = req->op == BLK_OP_READ || req->op == BLK_OP_WRITE;
    return rl_take_both(&blk->rl, transfers ? req->data_len : 0, NULL);
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

void blk_serve(struct blk *blk, uint32_t budget)
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
        blk_reap(blk);
        if (blk->dev.broken)
            return;
        virtio_queue_flush(&blk->dev, BLK_QUEUE);
        if (!drained || !vq_notify_on(vq))
            return;
        /* A look that found nothing costs budget too: a guest may flip the index for ever. */
    } while (budget && --budget);
    virtio_kick_self(&blk->dev, BLK_QUEUE);
}

void blk_on_queue(struct virtio_dev *dev, uint32_t idx)
{
    struct blk *blk = blk_of(dev);
    (void)idx; /* there is one queue */
    metric_inc(&blk->metrics->queue_event_count);
    blk_serve(blk, BLK_PASS_BUDGET);
}

/*
 * A Sync disk: while its file's pages are at hand, the vCPU that asks is the quickest to serve: no
 * thread is woken, and the answer is there when the guest goes on. A limiter's timer belongs to the
 * loop, and so does a limited disk.
 */
bool blk_on_notify(struct virtio_dev *dev, uint32_t idx)
{
    struct blk *blk = blk_of(dev);
    (void)idx; /* there is one queue */
    uint64_t start_ns = clock_now_ns(blk->clock);
    if (start_ns < blk->loop_until_ns || rl_limits(&blk->rl))
        return false;
    metric_inc(&blk->metrics->queue_event_count);
    blk->turn_start_ns = start_ns;
    blk->on_vcpu = true;
    blk_serve(blk, BLK_NOTIFY_BUDGET);
    blk->on_vcpu = false;
    uint64_t end_ns = clock_now_ns(blk->clock);
    if (end_ns - start_ns > BLK_NOTIFY_MAX_NS)
        blk->loop_until_ns = end_ns + BLK_NOTIFY_PAUSE_NS;
    return true;
}
