/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The bus: a sorted array of disjoint ranges. Filled by the thread that builds the machine, read by
 * the vCPU threads without a lock afterwards.
 */
#include "vmm/bus/bus.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

void bus_init(struct bus *bus)
{
    memset(bus, 0, sizeof(*bus));
}

/* Index of the first range that begins above addr; ranges_count when none does. */
static uint32_t find_above(const struct bus *bus, uint64_t addr)
{
    uint32_t low = 0;
    uint32_t high = bus->ranges_count;

    while (low < high) {
        uint32_t mid = low + (high - low) / 2;
        if (bus->ranges[mid].base > addr)
            high = mid;
        else
            low = mid + 1;
    }
    return low;
}

static int refuse_overlap(const struct bus_range *range, const struct bus_range *other,
                          struct err *err)
{
    return err_set(err, -EEXIST,
                   "Cannot place %s at 0x%" PRIx64 ", %" PRIu64 " bytes: %s is at 0x%" PRIx64
                   ", %" PRIu64 " bytes",
                   range->name, range->base, range->size, other->name, other->base, other->size);
}

int bus_insert(struct bus *bus, const struct bus_range *range, struct err *err)
{
    /* The last byte's address is compared, so that a range may end at the very top. */
    if (range->size == 0 || range->base > UINT64_MAX - (range->size - 1))
        return err_set(err, -EINVAL,
                       "Cannot place %s at 0x%" PRIx64 ": %" PRIu64 " bytes are no range there",
                       range->name, range->base, range->size);

    uint32_t at = find_above(bus, range->base);
    if (at > 0 && range->base - bus->ranges[at - 1].base < bus->ranges[at - 1].size)
        return refuse_overlap(range, &bus->ranges[at - 1], err);
    if (at < bus->ranges_count && bus->ranges[at].base - range->base < range->size)
        return refuse_overlap(range, &bus->ranges[at], err);
    if (bus->ranges_count == BUS_RANGES_MAX)
        return err_set(err, -ENOSPC, "Cannot place %s: the bus holds %u ranges already",
                       range->name, BUS_RANGES_MAX);

    memmove(&bus->ranges[at + 1], &bus->ranges[at],
            (bus->ranges_count - at) * sizeof(bus->ranges[0]));
    bus->ranges[at] = *range;
    bus->ranges_count++;
    return 0;
}

/* The range that holds every byte of the access, or NULL. */
static const struct bus_range *find_holder(const struct bus *bus, uint64_t addr, uint32_t len)
{
    uint32_t above = find_above(bus, addr);
    if (above == 0)
        return NULL;

    const struct bus_range *range = &bus->ranges[above - 1];
    uint64_t off = addr - range->base;
    return off < range->size && len <= range->size - off ? range : NULL;
}

bool bus_read(const struct bus *bus, uint64_t addr, void *data, uint32_t len)
{
    const struct bus_range *range = find_holder(bus, addr, len);
    if (!range) {
        memset(data, 0, len);
        return false;
    }
    range->ops->read(range->ctx, addr - range->base, data, len);
    return true;
}

bool bus_write(const struct bus *bus, uint64_t addr, const void *data, uint32_t len)
{
    const struct bus_range *range = find_holder(bus, addr, len);
    if (!range)
        return false;
    range->ops->write(range->ctx, addr - range->base, data, len);
    return true;
}
