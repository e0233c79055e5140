/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The driver's side of a split virtqueue, for tests: writes descriptors and avail entries, reads
 * the used ring, and can break any rule on purpose. Single thread.
 */
#pragma once

#include <stdint.h>

#include "devices/virtio/queue.h"
#include "vmm/mem/gmem.h"

/* Where a test's rings are; addresses are far enough apart for VQ_SIZE_MAX entries. */
#define VQD_DESC 0x10000ull
#define VQD_AVAIL 0x12000ull
#define VQD_USED 0x13000ull
#define VQD_INDIRECT 0x20000ull

struct vq_driver {
    struct gmem *gmem;
    uint64_t base; /* added to the rings' addresses */
    uint16_t size;
    uint16_t avail_idx;
    uint16_t used_seen;
};

/* Rings of `size` entries at the fixed addresses, zeroed. */
void vqd_init(struct vq_driver *driver, struct gmem *gmem, uint16_t size);
/* The same `base` bytes further on, for a second queue. */
void vqd_init_at(struct vq_driver *driver, struct gmem *gmem, uint16_t size, uint64_t base);

/* What the device is told about them. */
struct vq_setup vqd_setup(const struct vq_driver *driver);

/* Writes descriptor `idx` (of the table at `table`; VQD_DESC, and base, is the ring's own). */
void vqd_desc(struct vq_driver *driver, uint64_t table, uint16_t idx, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t next);

/* Makes a head available. */
void vqd_offer(struct vq_driver *driver, uint16_t head);

/* Sets the avail index to anything. */
void vqd_set_avail_idx(struct vq_driver *driver, uint16_t idx);
void vqd_set_avail_flags(struct vq_driver *driver, uint16_t flags);
void vqd_set_used_event(struct vq_driver *driver, uint16_t event);

/* The device's flags and avail_event. */
uint16_t vqd_used_flags(const struct vq_driver *driver);
uint16_t vqd_avail_event(const struct vq_driver *driver);
uint16_t vqd_used_idx(const struct vq_driver *driver);

/* Next used entry. Returns 1 with id and length, or 0 when there is none. */
int vqd_take_used(struct vq_driver *driver, uint32_t *ret_id, uint32_t *ret_len);
