/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue as the device sees it (virtio 1.2, 2.7): indirect descriptors, EVENT_IDX.
 * Guest indexes and descriptors are fetched once and checked before use; a chain walk has a
 * budget of the queue's size. Locked by the device that owns the queue (struct virtio_dev.lock).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/mem/gmem.h"

/* Largest size offered; also the longest chain. A power of two. */
#define VQ_SIZE_MAX 256u

/* What the driver programmed; also what a snapshot keeps beside the indexes. */
struct vq_setup {
    uint16_t size; /* 1..VQ_SIZE_MAX, a power of two */
    bool ready;
    uint64_t desc; /* guest-physical */
    uint64_t avail;
    uint64_t used;
};

/* One buffer of a chain; the address is not checked yet. */
struct vq_buf {
    gpa_t addr;
    uint32_t len;
    bool writable; /* by the device */
};

/* A popped chain: device-readable buffers first, then writable ones. */
struct vq_chain {
    uint16_t head;
    uint16_t readable_count; /* bufs[0 .. readable_count) */
    uint16_t bufs_count;     /* all; at most VQ_SIZE_MAX */
    uint64_t readable_len;   /* bytes */
    uint64_t writable_len;   /* bytes */
    struct vq_buf bufs[VQ_SIZE_MAX];
};

struct vq {
    struct vq_setup setup;
    bool active; /* windows are open */
    bool event_idx;
    bool indirect;
    struct gmem *gmem; /* borrowed while active */
    struct gmem_window desc;
    struct gmem_window avail;
    struct gmem_window used;
    uint16_t next_avail;                  /* next avail entry to pop */
    uint16_t seen_avail;                  /* avail index at the last look */
    uint16_t next_used;                   /* next used entry to fill */
    uint16_t published;                   /* used index the guest can see */
    uint16_t signalled;                   /* used index at the last interrupt decision */
    uint64_t in_flight[VQ_SIZE_MAX / 64]; /* heads popped and not pushed */
};

/* Forgets everything; the driver sets up anew. */
void vq_reset(struct vq *vq);

/*
 * Opens the rings the driver programmed. gmem: borrowed until vq_reset. Returns 0, -EINVAL (size
 * or alignment) or
 * -EFAULT (a ring outside guest memory); then the queue stays inactive.
 */
MUST_CHECK int vq_activate(struct vq *vq, struct gmem *gmem, bool event_idx, bool indirect);

/*
 * Takes the next chain. Returns 1 with *ret_chain, 0 when the driver has none now, or negative
 * when the queue is broken: -EPROTO (index, flags, order or length against the rules), -EFAULT
 * (indirect table outside memory).
 */
MUST_CHECK int vq_pop(struct vq *vq, struct vq_chain *ret_chain);

/* Gives the chain popped last back, so that the next vq_pop yields it again. Nothing else was
 * popped since. */
void vq_unpop(struct vq *vq, uint16_t head);

/* Puts a popped head into the used ring; len: bytes the device wrote. Not visible before
 * vq_publish. */
void vq_push_used(struct vq *vq, uint16_t head, uint32_t len);

/* Makes everything pushed visible (one release store); nothing pushed is fine. */
void vq_publish(struct vq *vq);

/* After vq_publish: does the driver want an interrupt for what became visible since the last
 * question? */
MUST_CHECK bool vq_needs_kick(struct vq *vq);

/* Tells the driver not to notify while the queue is being served. */
void vq_notify_off(struct vq *vq);

/* Asks for notifications again. Returns true when entries came in meanwhile: pop again. */
MUST_CHECK bool vq_notify_on(struct vq *vq);

/* Asks to be notified of the next entry that the driver adds, whatever is there already, which is
 * left alone. Returns the avail index as it is. */
uint16_t vq_notify_next(struct vq *vq);

/* How many heads are popped and not pushed. */
uint32_t vq_in_flight_count(const struct vq *vq);

/*
 * Copies `len` bytes at byte offset `off` of the chain's readable (or writable) part, whatever
 * way the driver cut it.
 * Returns 0, -ENODATA (the part is shorter) or -EFAULT.
 */
MUST_CHECK int vq_chain_read(const struct gmem *gmem, const struct vq_chain *chain, uint64_t off,
                             void *dst, size_t len);
MUST_CHECK int vq_chain_write(struct gmem *gmem, const struct vq_chain *chain, uint64_t off,
                              const void *src, size_t len);

/*
 * Host iovecs of [off, off + len) of the readable or writable part. ret_iov: room for iov_max.
 * Returns the number of entries, -ENODATA, -EFAULT or -E2BIG (more than iov_max pieces).
 */
MUST_CHECK int vq_chain_iov(struct gmem *gmem, const struct vq_chain *chain, bool writable,
                            uint64_t off, uint64_t len, struct iovec *ret_iov, uint32_t iov_max);
