/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest of the targets whose queues are served on the loop: two regions of memory, room for the
 * rings at the bottom, and addresses in, beside and across them. Single thread.
 */
#pragma once

#include "devices/virtio/virtio.h"
#include "tests/fuzz/fuzz_bytes.h"
#include "tests/fuzz/fuzz_check.h"

#define FUZZ_LOW_SIZE (1024u * 1024)
#define FUZZ_HIGH_BASE 0x400000ull
#define FUZZ_HIGH_SIZE (256u * 1024)
#define FUZZ_BUFFERS 0x80000ull

static inline struct gmem *fuzz_guest_create(void)
{
    const struct gmem_range ranges[] = {{gpa(0), FUZZ_LOW_SIZE},
                                        {gpa(FUZZ_HIGH_BASE), FUZZ_HIGH_SIZE}};
    struct gmem *gmem;
    struct err err = ERR_INIT;

    FUZZ_CHECK(gmem_create(ranges, 2, GMEM_BACKING_HEAP, false, &gmem, &err) == 0);
    return gmem;
}

/* Of a buffer: mostly a good one. */
static inline uint64_t fuzz_guest_addr(struct fuzz_bytes *in)
{
    static const uint64_t odd[] = {0,
                                   FUZZ_LOW_SIZE - 50,
                                   FUZZ_LOW_SIZE,
                                   FUZZ_HIGH_BASE,
                                   FUZZ_HIGH_BASE + FUZZ_HIGH_SIZE - 20,
                                   FUZZ_HIGH_BASE + FUZZ_HIGH_SIZE,
                                   UINT64_MAX,
                                   1ull << 63};
    uint32_t choice = fuzz_u8(in);

    return choice < 8 ? odd[choice] : FUZZ_BUFFERS + choice * 2048ull;
}

/* The driver's notification. */
static inline void fuzz_guest_kick(struct virtio_dev *dev, uint32_t queue)
{
    (void)pthread_mutex_lock(&dev->lock);
    if (virtio_serves(dev))
        dev->ops->on_queue(dev, queue);
    (void)pthread_mutex_unlock(&dev->lock);
}
