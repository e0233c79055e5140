/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: Firecracker 1.16's groups and fields (cli.md F.2) as structs of atomic values, made
 * from one table (base/metrics_table.h) that also drives rendering. Any thread may count; one
 * thread flushes. A delta field is written as the difference since the last successful flush; a
 * store field as it is. Beside that line there is Prometheus' text, with values that only grow.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "base/metrics_table.h"

/* One value. `flushed` (in a line that was written) and `pending` (in the line at hand) belong to
 * the flushing thread. */
typedef struct {
    _Atomic uint64_t value;
    uint64_t flushed;
    uint64_t pending;
} metric_t;

/* min/max in microseconds are stores for the whole life (min 0: no sample above 0 yet), sum is a
 * delta. */
typedef struct {
    _Atomic uint64_t min_us;
    _Atomic uint64_t max_us;
    metric_t sum_us;
} metric_agg_t;

/* struct metrics_uart { metric_t error_count; ... }; and so on for every group of the table. */
#define METRIC_MEMBER_D_(name) metric_t name;
#define METRIC_MEMBER_S_(name) metric_t name;
#define METRIC_MEMBER_A_(name) metric_agg_t name;
#define METRIC_GROUP_STRUCT_(group)                                                                \
    struct metrics_##group {                                                                       \
        METRICS_FIELDS_##group(METRIC_MEMBER_D_, METRIC_MEMBER_S_, METRIC_MEMBER_A_)               \
    };
METRICS_GROUPS(METRIC_GROUP_STRUCT_)

/* One group of each kind. block and net count what belongs to no device; the line's groups of
 * these names are that plus the sum over all devices, so nobody counts a device's event here as
 * well. */
#define METRIC_GROUP_MEMBER_(group) struct metrics_##group group;
struct metrics {
    METRICS_GROUPS(METRIC_GROUP_MEMBER_)
};

/* The process's metrics: the one allowed mutable global beside the log's state (style.md rule
 * 4). */
extern struct metrics metrics;

/* Adds n (relaxed; counters order nothing). Any thread. */
static inline void metric_add(metric_t *metric, uint64_t n)
{
    atomic_fetch_add_explicit(&metric->value, n, memory_order_relaxed);
}

static inline void metric_inc(metric_t *metric)
{
    metric_add(metric, 1);
}

/* Replaces a store metric. Any thread. */
static inline void metric_store(metric_t *metric, uint64_t value)
{
    atomic_store_explicit(&metric->value, value, memory_order_relaxed);
}

/* Current value since process start. */
static inline uint64_t metric_get(const metric_t *metric)
{
    return atomic_load_explicit(&metric->value, memory_order_relaxed);
}

/* Records one sample of `us` microseconds. Any thread. */
void metric_agg_record(metric_agg_t *agg, uint64_t us);

/*
 * Per-device groups "block_<id>" and "net_<id>": they live until the process ends, and asking
 * again for an id yields the same counters (cli.md F.2). id: copied. Return 0, -ENOMEM, or -ENOSPC
 * when METRICS_INSTANCES_MAX is reached. Thread: vmm.
 */
#define METRICS_INSTANCES_MAX 64u
MUST_CHECK int metrics_block_of(const char *id, struct metrics_block **ret_block);
MUST_CHECK int metrics_net_of(const char *id, struct metrics_net **ret_net);

/*
 * Opens the metrics file or FIFO (read-write, create, non-blocking, append); only once per process.
 * Returns 0, -EALREADY when open already, or -errno.
 */
MUST_CHECK int metrics_open(const char *path, struct err *err);

/*
 * What each line says of this VM behind its time, from now on: JSON members with a comma behind
 * each, such as `"id":"a",`. text: borrowed for ever. Returns 0 or -ENOMEM. Thread: vmm.
 */
MUST_CHECK int metrics_set_labels(const char *text);

/* Milestones of a start; how long each took since the process began is in the Prometheus text. */
enum metrics_phase {
    METRICS_PHASE_SOCKET,     /* the API's socket takes connections */
    METRICS_PHASE_CONFIG,     /* all is configured, the VM is to be built */
    METRICS_PHASE_FIRST_RUN,  /* a vCPU is about to enter the guest */
    METRICS_PHASE_BOOT_TIMER, /* the guest says that it has booted */
};
#define METRICS_PHASES_COUNT (METRICS_PHASE_BOOT_TIMER + 1)

/* Notes the time, the first time that a phase is reached. Any thread. */
void metrics_phase_reached(enum metrics_phase phase);

/*
 * Makes the Prometheus text: `mayfly_<group>_<field>`, deltas as counters since the process began
 * (`_total`), stores as gauges, a device's values beside its group's with a label of their own, and
 * `mayfly_startup_us`. path: a file to be replaced at every flush, or NULL: on demand only. id: the
 * label of all. Both borrowed for ever. start_ns: monotonic, when the process began. Once, before
 * other threads are there. Returns 0 or -errno: the file is written here, so that a wrong path
 * fails here.
 */
MUST_CHECK int metrics_prometheus_open(const char *path, const char *id, uint64_t start_ns,
                                       struct err *err);

/*
 * Counters that somebody else counts, shown in the Prometheus text alone, as
 * `mayfly_policy_total{counter="NAME"}`. names, values: `count` of each, borrowed for ever. Once,
 * before metrics_prometheus_open.
 */
void metrics_prometheus_show(const char *const *names, const volatile uint64_t *values,
                             size_t count);

/* The text as it is now, NUL-terminated; ret_text: the caller frees. Any thread, not in a signal
 * handler. Returns 0 or -ENOMEM. */
MUST_CHECK int metrics_prometheus_text(char **ret_text, size_t *ret_len);

/*
 * Writes one JSON line with every group, and the Prometheus file; what is not open is left out. On
 * a failed write no delta is lost, logger.missed_metrics_count counts it. A text that could not be
 * written is only said in the log. Thread: vmm, or a fatal signal handler. Returns 0, -EBUSY in a
 * signal handler that has interrupted a flush (then that one's line tells), or -errno of the write.
 * A file ends in a whole line in any case; in a FIFO that took half a line the next begins with a
 * line feed.
 */
MUST_CHECK int metrics_flush(struct err *err);
