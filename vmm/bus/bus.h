/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Address → handler, for port IO and for MMIO: one bus each. A bus is filled while one thread
 * builds the machine and is read-only afterwards, so vCPU threads look up without a lock.
 * Handlers lock themselves (order: bus, then device).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

/* Accesses are 1, 2, 4 or 8 bytes wide. `off` is relative to the range; [off, off + len) lies
 * inside it. read fills all `len` bytes. vCPU threads, any number at once. */
struct bus_ops {
    void (*read)(void *ctx, uint64_t off, void *data, uint32_t len);
    void (*write)(void *ctx, uint64_t off, const void *data, uint32_t len);
};

struct bus_range {
    uint64_t base;
    uint64_t size; /* bytes, at least 1 */
    const struct bus_ops *ops;
    void *ctx;        /* borrowed; outlives the bus */
    const char *name; /* for errors; borrowed for ever */
};

#define BUS_RANGES_MAX 64u

struct bus {
    struct bus_range ranges[BUS_RANGES_MAX]; /* sorted by base, disjoint */
    uint32_t ranges_count;
};

/* Empties a bus in the caller's storage. */
void bus_init(struct bus *bus);

/* Adds a range. Returns 0, -EINVAL (empty or wrapping range), -EEXIST (overlap; the sentence
 * names both) or
 * -ENOSPC (BUS_RANGES_MAX). */
MUST_CHECK int bus_insert(struct bus *bus, const struct bus_range *range, struct err *err);

/* Forwards one access to the range that holds all of [addr, addr + len). A read that no range
 * holds yields zero bytes. Returns true when a range took it. len: 1, 2, 4 or 8. */
bool bus_read(const struct bus *bus, uint64_t addr, void *data, uint32_t len);
bool bus_write(const struct bus *bus, uint64_t addr, const void *data, uint32_t len);
