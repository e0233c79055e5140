/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A virtqueue driver for tests (virtio 1.2, 2.7). Single thread; a failure to write is a broken
 * test and aborts.
 */
#include "tests/lib/vq_driver.h"

#include <stdlib.h>

#include "base/le.h"

static void put(struct vq_driver *driver, uint64_t addr, const void *bytes, size_t len)
{
    if (gmem_write(driver->gmem, gpa(addr), bytes, len) < 0)
        abort();
}

static void put16(struct vq_driver *driver, uint64_t addr, uint16_t value)
{
    le16_t wire = le16_put(value);
    put(driver, addr, &wire, sizeof(wire));
}

/* Through an iovec, so that scribbling builds do not change what the device reads next. */
static void peek(const struct vq_driver *driver, uint64_t addr, void *bytes, size_t len)
{
    struct iovec iov;
    if (gmem_iov(driver->gmem, gpa(addr), len, false, &iov) < 0)
        abort();
    for (size_t i = 0; i < len; i++)
        ((uint8_t *)bytes)[i] = ((const uint8_t *)iov.iov_base)[i];
}

static uint16_t get16(const struct vq_driver *driver, uint64_t addr)
{
    le16_t wire;
    peek(driver, addr, &wire, sizeof(wire));
    return le16_get(wire);
}

void vqd_init(struct vq_driver *driver, struct gmem *gmem, uint16_t size)
{
    vqd_init_at(driver, gmem, size, 0);
}

void vqd_init_at(struct vq_driver *driver, struct gmem *gmem, uint16_t size, uint64_t base)
{
    *driver = (struct vq_driver){.gmem = gmem, .base = base, .size = size};
    if (gmem_zero(gmem, gpa(base + VQD_DESC), VQD_INDIRECT - VQD_DESC) < 0)
        abort();
}

struct vq_setup vqd_setup(const struct vq_driver *driver)
{
    return (struct vq_setup){driver->size, true, driver->base + VQD_DESC, driver->base + VQD_AVAIL,
                             driver->base + VQD_USED};
}

void vqd_desc(struct vq_driver *driver, uint64_t table, uint16_t idx, uint64_t addr, uint32_t len,
              uint16_t flags, uint16_t next)
{
    struct {
        le64_t addr;
        le32_t len;
        le16_t flags;
        le16_t next;
    } wire = {le64_put(addr), le32_put(len), le16_put(flags), le16_put(next)};
    put(driver, table + idx * sizeof(wire), &wire, sizeof(wire));
}

void vqd_offer(struct vq_driver *driver, uint16_t head)
{
    put16(driver, driver->base + VQD_AVAIL + 4 + 2ull * (driver->avail_idx % driver->size), head);
    vqd_set_avail_idx(driver, (uint16_t)(driver->avail_idx + 1));
}

void vqd_set_avail_idx(struct vq_driver *driver, uint16_t idx)
{
    driver->avail_idx = idx;
    put16(driver, driver->base + VQD_AVAIL + 2, idx);
}

void vqd_set_avail_flags(struct vq_driver *driver, uint16_t flags)
{
    put16(driver, driver->base + VQD_AVAIL, flags);
}

void vqd_set_used_event(struct vq_driver *driver, uint16_t event)
{
    put16(driver, driver->base + VQD_AVAIL + 4 + 2ull * driver->size, event);
}

uint16_t vqd_used_flags(const struct vq_driver *driver)
{
    return get16(driver, driver->base + VQD_USED);
}

uint16_t vqd_avail_event(const struct vq_driver *driver)
{
    return get16(driver, driver->base + VQD_USED + 4 + 8ull * driver->size);
}

uint16_t vqd_used_idx(const struct vq_driver *driver)
{
    return get16(driver, driver->base + VQD_USED + 2);
}

int vqd_take_used(struct vq_driver *driver, uint32_t *ret_id, uint32_t *ret_len)
{
    struct {
        le32_t id;
        le32_t len;
    } wire;
    if (driver->used_seen == vqd_used_idx(driver))
        return 0;
    peek(driver, driver->base + VQD_USED + 4 + 8ull * (driver->used_seen % driver->size), &wire,
         sizeof(wire));
    driver->used_seen++;
    *ret_id = le32_get(wire.id);
    *ret_len = le32_get(wire.len);
    return 1;
}
