/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the metrics: the per-device groups, the walk over all fields and what is rendered of them.
 * Thread: the holder of the flush's `busy` flag in metrics.c.
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

/* Digits of the largest value. */
#define METRICS_DIGITS_MAX 20u

struct metrics_field {
    char kind; /* 'D' delta, 'S' store, 'A' aggregate */
    const char *name;
    void *slot; /* metric_t, or metric_agg_t for 'A' */
};

/* Where a walk stands in the schema and in the struct. */
struct metrics_walk {
    const char *schema;
    char *slot;
};

/* From the first group of the process's metrics. */
struct metrics_walk metrics_walk_start(void);

/* The name of the group that begins here, or NULL at the end. */
const char *metrics_walk_group(struct metrics_walk *walk);

/* The next field of the group, or false at the group's end. */
bool metrics_walk_field(struct metrics_walk *walk, struct metrics_field *ret_field);

/* The devices that have a group of this name each; NULL: none. */
const struct metrics_instance *metrics_group_instances(const struct metrics_instances *instances,
                                                       const char *group);

/* From where `at` stands, over the device's own group. */
struct metrics_walk metrics_walk_instance(const struct metrics_walk *at,
                                          const struct metrics_instance *instance);

/* Text being made in the caller's buffer. */
struct metrics_out {
    char *buf;
    size_t size;
    size_t len;
    size_t bound; /* bytes that would have held it, whatever the numbers' values */
    bool cut;     /* something did not fit and was left out */
};

void metrics_out_bytes(struct metrics_out *out, const char *bytes, size_t len);
void metrics_out_text(struct metrics_out *out, const char *text);
void metrics_out_u64(struct metrics_out *out, uint64_t value);

/* Bytes that no line with these instances and labels exceeds, whatever the values. */
size_t metrics_line_bound(const struct metrics_instances *instances, const char *labels);

/*
 * Renders one line with its line feed into `buf` and notes in every metric what it says
 * (`pending`). new_line: begin with a line feed. labels: as metrics_set_labels. Returns 0 with
 * *ret_len, or -EMSGSIZE when `size` is too small.
 */
MUST_CHECK int metrics_line_render(const struct metrics_instances *instances, bool new_line,
                                   const char *labels, char *buf, size_t size, size_t *ret_len);

/* The line was written: later deltas count from what it said. */
void metrics_line_commit(const struct metrics_instances *instances);

/* Who is shown, and since when: what the Prometheus text says beside the counters. */
struct metrics_subject {
    const char *id;    /* value of the label "id" */
    uint64_t start_ns; /* monotonic; 0 of the phases */
    /* Monotonic, METRICS_PHASES_COUNT of them; 0: not reached. */
    const _Atomic uint64_t *phases_ns;
    /* Counters of the network policy; policy_count 0: there is none. */
    const char *const *policy_names;
    const volatile uint64_t *policy_values;
    size_t policy_count;
};

/* Bytes that no text of these instances exceeds, whatever the values. */
size_t metrics_prometheus_bound(const struct metrics_instances *instances,
                                const struct metrics_subject *subject);

/* Renders Prometheus' text format (metrics.h says what is in it) without a NUL. Returns 0 with
 * *ret_len, or -EMSGSIZE when `size` is too small. */
MUST_CHECK int metrics_prometheus_render(const struct metrics_instances *instances,
                                         const struct metrics_subject *subject, char *buf,
                                         size_t size, size_t *ret_len);

/* Replaces the file at `path` in one step, by way of one at `temp_path`. Returns 0 or -errno;
 * the old file is there then. */
MUST_CHECK int metrics_prometheus_write(const char *path, const char *temp_path, const char *buf,
                                        size_t len);
