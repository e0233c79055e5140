/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the legacy devices share: register access, counting of interrupt edges, the log
 * as text.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "tests/unit/unit.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"

static inline uint8_t reg_get(const struct bus_ops *ops, void *ctx, uint64_t off)
{
    uint8_t value = 0xee;
    ops->read(ctx, off, &value, 1);
    return value;
}

static inline void reg_put(const struct bus_ops *ops, void *ctx, uint64_t off, uint8_t value)
{
    ops->write(ctx, off, &value, 1);
}

/* Edges on the line since the last call. */
static inline uint64_t irq_edges(const struct irq_line *irq)
{
    uint64_t count = 0;
    return read(irq->fd, &count, sizeof(count)) == sizeof(count) ? count : 0;
}

/* Every width at every offset of a range: writes of all ones, then reads. Only shows crashes and
 * leaks of host bytes: a read must fill exactly its width. */
static inline void hit_every_access(const struct bus_ops *ops, void *ctx, uint64_t size)
{
    static const uint32_t widths[] = {2, 4, 8};
    for (size_t i = 0; i < sizeof(widths) / sizeof(widths[0]); i++) {
        for (uint64_t off = 0; off + widths[i] <= size; off++) {
            uint8_t data[9];
            memset(data, 0xff, sizeof(data));
            ops->write(ctx, off, data, widths[i]);
            ops->read(ctx, off, data, widths[i]);
            assert_int_equal(data[widths[i]], 0xff);
        }
    }
}

/* Sends the log to a fresh file; `path` gets its name. */
static inline void log_capture(char path[32])
{
    struct err err = ERR_INIT;
    (void)snprintf(path, 32, "/tmp/legacy-log-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    log_init("unit");
    assert_int_equal(log_open(path, &err), 0);
}

/* How many lines of the captured log hold `text`. */
static inline uint32_t log_count(const char *path, const char *text)
{
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char line[512];
    uint32_t count = 0;
    while (fgets(line, sizeof(line), file) != NULL)
        count += strstr(line, text) != NULL;
    (void)fclose(file);
    return count;
}
