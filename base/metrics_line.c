/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One metrics line (cli.md F.2). No libc beyond memcpy and clocks: it also runs in fatal signal
 * handlers. Thread: the holder of the flush's `busy` flag.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/metrics_int.h"

static void out_escaped(struct metrics_out *out, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            metrics_out_bytes(out, (char[2]){'\\', (char)c}, 2);
        } else if (c < 0x20) {
            metrics_out_bytes(out, (char[6]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        } else {
            metrics_out_bytes(out, text, 1);
        }
    }
}

/* Notes the value that the line says; returns what it says. */
static uint64_t metric_note(metric_t *metric, char kind)
{
    metric->pending = metric_get(metric);
    return kind == 'S' ? metric->pending : metric->pending - metric->flushed;
}

/* What the line says of the same field of every instance, together. off: of the metric in the
 * group. */
static uint64_t instances_sum(const struct metrics_instance *instances, size_t off)
{
    uint64_t sum = 0;

    for (; instances; instances = instances->next) {
        const metric_t *metric = (const void *)(instances->group + off);
        sum += metric->pending - metric->flushed;
    }
    return sum;
}

/* Renders one group's object and moves the walk behind it. instances: whose deltas are added,
 * rendered before; NULL: none. */
static void out_group(struct metrics_out *out, struct metrics_walk *walk,
                      const struct metrics_instance *instances)
{
    const char *start = walk->slot;
    const char *mark = "{\"";
    struct metrics_field field;

    while (metrics_walk_field(walk, &field)) {
        metric_agg_t *agg = field.kind == 'A' ? field.slot : NULL;
        metric_t *metric = agg ? &agg->sum_us : field.slot;

        assert(metric); /* a walk has a slot for each field */
        metrics_out_text(out, mark);
        mark = ",\"";
        metrics_out_text(out, field.name);
        metrics_out_text(out, "\":");
        if (agg) {
            metrics_out_text(out, "{\"min_us\":");
            metrics_out_u64(out, atomic_load_explicit(&agg->min_us, memory_order_relaxed));
            metrics_out_text(out, ",\"max_us\":");
            metrics_out_u64(out, atomic_load_explicit(&agg->max_us, memory_order_relaxed));
            metrics_out_text(out, ",\"sum_us\":");
        }
        metrics_out_u64(out, metric_note(metric, field.kind) +
                                 instances_sum(instances, (size_t)((const char *)metric - start)));
        if (agg)
            metrics_out_text(out, "}");
    }
    metrics_out_text(out, "}");
}

static void out_line(struct metrics_out *out, const struct metrics_instances *instances,
                     bool new_line, const char *labels)
{
    struct metrics_walk walk = metrics_walk_start();
    struct timespec now = {0};
    const char *group;
    const char *mark = "\"";

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    metrics_out_text(out, new_line ? "\n{\"utc_timestamp_ms\":" : "{\"utc_timestamp_ms\":");
    metrics_out_u64(out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS);
    metrics_out_text(out, ",");
    metrics_out_text(out, labels);
    while ((group = metrics_walk_group(&walk))) {
        const struct metrics_instance *first = metrics_group_instances(instances, group);

        for (const struct metrics_instance *at = first; at; at = at->next) {
            struct metrics_walk inner = metrics_walk_instance(&walk, at);
            metrics_out_text(out, mark);
            mark = ",\"";
            metrics_out_text(out, group);
            metrics_out_text(out, "_");
            out_escaped(out, at->id);
            metrics_out_text(out, "\":");
            out_group(out, &inner, NULL);
        }
        metrics_out_text(out, mark);
        mark = ",\"";
        metrics_out_text(out, group);
        metrics_out_text(out, "\":");
        out_group(out, &walk, first);
    }
    metrics_out_text(out, "}\n");
}

int metrics_line_render(const struct metrics_instances *instances, bool new_line,
                        const char *labels, char *buf, size_t size, size_t *ret_len)
{
    struct metrics_out out = {.buf = buf, .size = size};

    out_line(&out, instances, new_line, labels);
    if (out.cut)
        return -EMSGSIZE;
    *ret_len = out.len;
    return 0;
}

size_t metrics_line_bound(const struct metrics_instances *instances, const char *labels)
{
    struct metrics_out out = {.size = 0};

    out_line(&out, instances, true, labels);
    return out.bound;
}

static void commit_group(struct metrics_walk *walk)
{
    struct metrics_field field;

    while (metrics_walk_field(walk, &field)) {
        metric_t *metric =
            field.kind == 'A' ? &((metric_agg_t *)field.slot)->sum_us : (metric_t *)field.slot;
        metric->flushed = metric->pending;
    }
}

void metrics_line_commit(const struct metrics_instances *instances)
{
    struct metrics_walk walk = metrics_walk_start();
    const char *group;

    while ((group = metrics_walk_group(&walk))) {
        for (const struct metrics_instance *at = metrics_group_instances(instances, group); at;
             at = at->next) {
            struct metrics_walk inner = metrics_walk_instance(&walk, at);
            commit_group(&inner);
        }
        commit_group(&walk);
    }
}
