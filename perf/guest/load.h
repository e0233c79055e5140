/* SPDX-License-Identifier: Apache-2.0 */
/* What the programs share that make load inside a guest; part of perf. */
#pragma once

#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static inline uint64_t now_ns(void)
{
    struct timespec ts;
    if (clock_gettime(CLOCK_MONOTONIC, &ts) < 0)
        err(1, "clock_gettime");
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

/* Interrupts of virtio devices so far, from /proc/interrupts. */
static inline uint64_t device_interrupts(void)
{
    char line[512];
    uint64_t sum = 0;
    FILE *file = fopen("/proc/interrupts", "re");

    if (!file)
        err(1, "/proc/interrupts");
    while (fgets(line, sizeof(line), file)) {
        const char *colon = strchr(line, ':');
        if (colon && strstr(line, "virtio"))
            sum += strtoull(colon + 1, NULL, 10);
    }
    (void)fclose(file);
    return sum;
}

static inline unsigned number(const char *text, unsigned max)
{
    char *end;
    unsigned long value = strtoul(text, &end, 10);

    if (*end || end == text || value == 0 || value > max)
        errx(2, "'%s' is not a number from 1 to %u", text, max);
    return (unsigned)value;
}
