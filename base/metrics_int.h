/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the metrics: the per-device groups and the rendering of one line. Thread: the holder of
 * the flush's `busy` flag in metrics.c.
 */
#pragma once

#include "base/metrics.h"

/* One device's group: a struct metrics_block or metrics_net, with the id behind it. */
struct metrics_instance {
    struct metrics_instance *next;
    const char *id; /* inside the same allocation */
    _Alignas(metric_t) char group[];
};

/* Sorted by id. */
struct metrics_instances {
    struct metrics_instance *block;
    struct metrics_instance *net;
};

/* Bytes that no line with these instances exceeds, whatever the values. */
size_t metrics_line_bound(const struct metrics_instances *instances);

/*
 * Renders one line with its line feed into `buf` and notes in every metric what it says
 * (`pending`). new_line: begin with a line feed. Returns 0 with *ret_len, or -EMSGSIZE when `size`
 * is too small. labels: as metrics_set_labels, not in metrics_line_bound.
 */
MUST_CHECK int metrics_line_render(const struct metrics_instances *instances, bool new_line,
                                   const char *labels, char *buf, size_t size, size_t *ret_len);

/* The line was written: later deltas count from what it said. */
void metrics_line_commit(const struct metrics_instances *instances);
