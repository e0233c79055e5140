/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The world around fuzz_blk's device: guest memory, clock, disk, transport; and what must hold
 * after each step, whatever the driver did. Single thread.
 */
#pragma once

#include <linux/virtio_blk.h>
#include <linux/virtio_ring.h>
#include <string.h>

#include "tests/fuzz/fuzz_blk.h"

#if defined(__SANITIZE_ADDRESS__)
#define FUZZ_HAS_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define FUZZ_HAS_ASAN 1
#endif
#endif
#ifdef FUZZ_HAS_ASAN
#include <sanitizer/asan_interface.h>
#endif

static inline void fuzz_dirty_collect(struct fuzz_blk *fuzz)
{
    for (uint32_t i = 0; i < 2; i++) {
        uint64_t word = 0;
        FUZZ_CHECK(gmem_dirty_take(fuzz->gmem, i, &word, 1) == 0);
        fuzz->dirty[i] |= word;
    }
}

/* The other vCPU's turn. */
static inline void fuzz_flip_maybe(struct fuzz_blk *fuzz)
{
    if (fuzz->flip.countdown == 0 || --fuzz->flip.countdown)
        return;
    fuzz->flip.done = true;
    /* a hole: no change */
    IGNORE_RESULT(gmem_write(fuzz->gmem, gpa(fuzz->flip.addr), &fuzz->flip.value, 1));
}

static inline uint64_t fuzz_now(void *ctx)
{
    struct fuzz_blk *fuzz = ctx;
    fuzz_flip_maybe(fuzz);
    return fuzz->now_ns;
}

/* Is the page of host address `at` marked dirty, when it is in `region` at all? */
static inline bool fuzz_marked(const struct fuzz_blk *fuzz, uint32_t region, const void *at)
{
    struct gmem_region_view view = gmem_region_at(fuzz->gmem, region);
    uintptr_t off = (uintptr_t)at - (uintptr_t)view.host;
    return off >= view.size || (fuzz->dirty[region] >> (off / GMEM_PAGE_SIZE) & 1);
}

/* What the kernel will write is marked before it may do so. */
static inline void fuzz_on_disk_start(void *ctx, const struct disk_req *req)
{
    struct fuzz_blk *fuzz = ctx;
    fuzz_flip_maybe(fuzz);
    fuzz_dirty_collect(fuzz);
    for (uint32_t i = 0; i < req->iov_count && req->op == DISK_READ; i++) {
        const struct iovec *iov = &req->iov[i];
        FUZZ_CHECK(iov->iov_len == 0 ||
                   (fuzz_marked(fuzz, 0, iov->iov_base) && fuzz_marked(fuzz, 1, iov->iov_base)));
    }
}

static inline void fuzz_needs_reset(void *transport)
{
    ((struct fuzz_blk *)transport)->needs_reset = true;
}

static inline void fuzz_kick(void *transport, uint32_t queue_idx)
{
    FUZZ_CHECK(queue_idx == 0);
    ((struct fuzz_blk *)transport)->kick_pending = true;
}

static const struct virtio_transport_ops fuzz_transport_ops = {fuzz_needs_reset, fuzz_kick};

static inline uint8_t *fuzz_host(const struct fuzz_blk *fuzz, uint64_t addr)
{
    struct iovec iov;
    FUZZ_CHECK(gmem_iov(fuzz->gmem, gpa(addr), 1, false, &iov) == 0);
    return iov.iov_base;
}

static inline void fuzz_gmem_create(struct fuzz_blk *fuzz)
{
    const struct gmem_range ranges[] = {{gpa(LOW_BASE), LOW_SIZE}, {gpa(HIGH_BASE), HIGH_SIZE}};
    struct err err = ERR_INIT;
    FUZZ_CHECK(gmem_create(ranges, 2, GMEM_BACKING_HEAP, true, &fuzz->gmem, &err) == 0);
#ifdef FUZZ_HAS_ASAN
    /* A region's mapping goes on for at least a page. */
    ASAN_POISON_MEMORY_REGION(fuzz_host(fuzz, LOW_BASE) + LOW_SIZE, GMEM_PAGE_SIZE);
    ASAN_POISON_MEMORY_REGION(fuzz_host(fuzz, HIGH_BASE) + HIGH_SIZE, GMEM_PAGE_SIZE);
#endif
}

static inline void fuzz_memory_save(struct fuzz_blk *fuzz)
{
    memcpy(fuzz->before.memory, fuzz_host(fuzz, LOW_BASE), LOW_SIZE);
    memcpy(fuzz->before.memory + LOW_SIZE, fuzz_host(fuzz, HIGH_BASE), HIGH_SIZE);
}

/* One page before and now. */
static inline void fuzz_page_check(const struct fuzz_blk *fuzz, uint32_t region, uint64_t off,
                                   bool changed, bool may_change)
{
    FUZZ_CHECK(!changed || may_change);
    FUZZ_CHECK(!changed || (fuzz->dirty[region] >> (off / GMEM_PAGE_SIZE) & 1));
}

/* Every page that changed is marked dirty (G8); a broken device changes none. */
static inline void fuzz_memory_check(struct fuzz_blk *fuzz, bool may_change)
{
    const uint64_t bases[] = {LOW_BASE, HIGH_BASE};
    const uint64_t sizes[] = {LOW_SIZE, HIGH_SIZE};
    const uint8_t *before = fuzz->before.memory;
    fuzz_dirty_collect(fuzz);
    for (uint32_t region = 0; region < 2; region++) {
        const uint8_t *now = fuzz_host(fuzz, bases[region]);
        for (uint64_t off = 0; off < sizes[region]; off += GMEM_PAGE_SIZE) {
            bool changed = memcmp(before + off, now + off, GMEM_PAGE_SIZE) != 0;
            fuzz_page_check(fuzz, region, off, changed && !FUZZ_SCRIBBLES, may_change);
        }
        before += sizes[region];
    }
}

static inline struct virtio_dev *fuzz_dev(const struct fuzz_blk *fuzz)
{
    return blk_virtio(fuzz->blk);
}

static inline struct vq *fuzz_vq(const struct fuzz_blk *fuzz)
{
    return &fuzz_dev(fuzz)->queues[0];
}

static inline void fuzz_before_step(struct fuzz_blk *fuzz)
{
    struct virtio_dev *dev = fuzz_dev(fuzz);
    struct fuzz_before *before = &fuzz->before;
    before->vq = *fuzz_vq(fuzz);
    before->in_flight = vq_in_flight_count(fuzz_vq(fuzz));
    before->broken = dev->broken;
    before->starts = fuzz->disk.starts;
    fuzz->flip.done = false;
    fuzz_memory_save(fuzz);
    fuzz_dirty_collect(fuzz);
    memset(fuzz->dirty, 0, sizeof(fuzz->dirty));
    if (!dev->broken)
        atomic_store(&dev->irq_bits, 0);
}

/* A slot comes back once, with a status and a length that its buffers hold. */
static inline void fuzz_used_check(struct fuzz_blk *fuzz)
{
    uint32_t id;
    uint32_t len;
    while (vqd_take_used(&fuzz->driver, &id, &len) == 1) {
        FUZZ_CHECK(id % SLOT_DESCS == 0 && id / SLOT_DESCS < fuzz->slots_count);
        struct fuzz_slot *slot = &fuzz->slots[id / SLOT_DESCS];
        FUZZ_CHECK(slot->outstanding);
        FUZZ_CHECK(len >= 1 && len <= slot->writable_len);
        FUZZ_CHECK(!slot->own_status ||
                   *fuzz_host(fuzz, STATUS_BASE + id / SLOT_DESCS) <= VIRTIO_BLK_S_UNSUPP);
        slot->outstanding = false;
    }
}

/* The ring interrupt comes exactly when the driver asked for it. */
static inline void fuzz_irq_check(struct fuzz_blk *fuzz)
{
    const struct vq *vq = fuzz_vq(fuzz);
    uint16_t was = fuzz->before.vq.published;
    const uint8_t *avail = fuzz_host(fuzz, VQD_AVAIL);
    le16_t flags;
    le16_t event;
    memcpy(&flags, avail, sizeof(flags));
    memcpy(&event, avail + 4 + 2ull * fuzz->driver.size, sizeof(event));
    bool wanted = vq->event_idx ? vring_need_event(le16_get(event), vq->published, was)
                                : !(le16_get(flags) & VRING_AVAIL_F_NO_INTERRUPT);
    wanted = wanted && vq->published != was;
    FUZZ_CHECK(wanted == !!(atomic_load(&fuzz_dev(fuzz)->irq_bits) & VIRTIO_IRQ_RING));
}

static inline void fuzz_after_step(struct fuzz_blk *fuzz)
{
    const struct virtio_dev *dev = fuzz_dev(fuzz);
    const struct vq *vq = fuzz_vq(fuzz);
    const struct fuzz_before *before = &fuzz->before;
    uint32_t in_flight = vq_in_flight_count(vq);
    uint32_t engine = fuzz->disk.pending_count + fuzz->disk.done_count;
    uint16_t popped = (uint16_t)(vq->next_avail - before->vq.next_avail);
    uint16_t pushed = (uint16_t)(vq->next_used - before->vq.next_used);

    FUZZ_CHECK(dev->active);
    FUZZ_CHECK(dev->broken == fuzz->needs_reset);
    if (before->broken) {
        FUZZ_CHECK(dev->broken && popped == 0 && pushed == 0);
        FUZZ_CHECK(vq->published == before->vq.published && in_flight == before->in_flight);
        FUZZ_CHECK(fuzz->disk.starts == before->starts);
    } else if (dev->broken) {
        FUZZ_CHECK(atomic_load(&dev->irq_bits) & VIRTIO_IRQ_CONFIG);
        FUZZ_CHECK(fuzz->may_break || !fuzz->exact);
    } else {
        FUZZ_CHECK(pushed == (uint16_t)(popped + before->in_flight - in_flight));
        FUZZ_CHECK(vq->published == vq->next_used);
        FUZZ_CHECK(in_flight == engine);
        FUZZ_CHECK((uint16_t)(vq->seen_avail - vq->next_avail) <= vq->setup.size);
    }
    FUZZ_CHECK(in_flight >= engine);
    FUZZ_CHECK(in_flight <= vq->setup.size);
    fuzz_memory_check(fuzz, !before->broken || fuzz->flip.done);
    if (fuzz->exact)
        fuzz_used_check(fuzz);
    if (fuzz->exact && !dev->broken)
        fuzz_irq_check(fuzz);
}

/* One call into the device, as its transport, its disk or the loop would make it. */
static inline void fuzz_step(struct fuzz_blk *fuzz, enum fuzz_step step)
{
    struct virtio_dev *dev = fuzz_dev(fuzz);
    if (!dev->active)
        return;
    fuzz_before_step(fuzz);
    switch (step) {
    case STEP_QUEUE:
        fuzz->kick_pending = false;
        fuzz->owes_kick = false;
        (void)pthread_mutex_lock(&dev->lock);
        if (!dev->broken)
            dev->ops->on_queue(dev, 0);
        (void)pthread_mutex_unlock(&dev->lock);
        break;
    case STEP_NOTIFY:
        fuzz->disk.notify(fuzz->disk.notify_ctx);
        break;
    case STEP_TIMER:
        FUZZ_CHECK(loop_turn(fuzz->loop, 0) >= 0);
        break;
    }
    fuzz_after_step(fuzz);
}
