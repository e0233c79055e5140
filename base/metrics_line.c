/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One metrics line (cli.md F.2), driven by the schema of base/metrics_table.h. The schema is one
 * string that is walked beside the structs, so it needs no relocating at start. No libc beyond
 * memcpy and clocks: it also runs in fatal signal handlers. Thread: the holder of the flush's
 * `busy` flag.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>
#include <time.h>

#include "base/ck.h"
#include "base/metrics_int.h"

/* Kind and name, NUL-terminated: 'G' group, then its fields 'D' delta, 'S' store, 'A' aggregate.
 * The NUL that ends the whole string is the end mark. */
#define SCHEMA_D_(name) "D" #name "\0"
#define SCHEMA_S_(name) "S" #name "\0"
#define SCHEMA_A_(name) "A" #name "\0"
#define SCHEMA_GROUP_(group) "G" #group "\0" METRICS_FIELDS_##group(SCHEMA_D_, SCHEMA_S_, SCHEMA_A_)

static const char line_schema[] = METRICS_GROUPS(SCHEMA_GROUP_);

/* Fields follow each other without a gap, or the walk would lose its way. */
#define SIZE_METRIC_(name) +sizeof(metric_t)
#define SIZE_AGG_(name) +sizeof(metric_agg_t)
#define SIZE_GROUP_(group) METRICS_FIELDS_##group(SIZE_METRIC_, SIZE_METRIC_, SIZE_AGG_)
static_assert(sizeof(struct metrics) == METRICS_GROUPS(SIZE_GROUP_), "no padding between fields");

/* Digits of the largest value. */
#define LINE_DIGITS_MAX 20u
/* Longest rendering of one byte of an id: \u001f. */
#define LINE_ESCAPE_MAX 6u
/* `"":,` and a group's braces; the same for each value; what frames an aggregate. */
#define LINE_MARKS_MAX 8u
#define LINE_AGG_MAX (3 * (LINE_DIGITS_MAX + LINE_MARKS_MAX + sizeof("min_us")) + LINE_MARKS_MAX)

struct line_field {
    char kind;
    const char *name;
    void *slot; /* metric_t, or metric_agg_t for 'A' */
};

/* Where a walk stands in the schema and in the struct. */
struct line_walk {
    const char *schema;
    char *slot;
};

struct line_out {
    char *buf;
    size_t size;
    size_t len;
    bool cut;
};

/* The next field of the group, or false at the group's end. */
static bool walk_field(struct line_walk *walk, struct line_field *ret_field)
{
    char kind = *walk->schema;
    if (kind == 'G' || kind == '\0')
        return false;

    *ret_field = (struct line_field){.kind = kind, .name = walk->schema + 1, .slot = walk->slot};
    walk->schema += strlen(walk->schema) + 1;
    walk->slot += kind == 'A' ? sizeof(metric_agg_t) : sizeof(metric_t);
    return true;
}

/* The name of the group that begins here, or NULL at the end. */
static const char *walk_group(struct line_walk *walk)
{
    if (*walk->schema != 'G')
        return NULL;
    const char *name = walk->schema + 1;
    walk->schema += strlen(walk->schema) + 1;
    return name;
}

/* The devices that have a group of this name each. */
static const struct metrics_instance *group_instances(const struct metrics_instances *instances,
                                                      const char *group)
{
    if (strcmp(group, "block") == 0)
        return instances->block;
    if (strcmp(group, "net") == 0)
        return instances->net;
    return NULL;
}

static struct line_walk walk_instance(const struct line_walk *at,
                                      const struct metrics_instance *instance)
{
    /* The list is const here, the metrics in it are not. */
    return (struct line_walk){.schema = at->schema, .slot = (char *)(uintptr_t)instance->group};
}

static void out_bytes(struct line_out *out, const char *bytes, size_t len)
{
    if (!ck_range(out->len, len, out->size)) {
        out->cut = true;
        return;
    }
    memcpy(out->buf + out->len, bytes, len);
    out->len += len;
}

static void out_text(struct line_out *out, const char *text)
{
    out_bytes(out, text, strlen(text));
}

static void out_u64(struct line_out *out, uint64_t value)
{
    char digits[LINE_DIGITS_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    out_bytes(out, digits + at, sizeof(digits) - at);
}

static void out_escaped(struct line_out *out, const char *text)
{
    static const char hex[] = "0123456789abcdef";

    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            out_bytes(out, (char[2]){'\\', (char)c}, 2);
        } else if (c < 0x20) {
            out_bytes(out, (char[6]){'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]}, 6);
        } else {
            out_bytes(out, text, 1);
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
static void out_group(struct line_out *out, struct line_walk *walk,
                      const struct metrics_instance *instances)
{
    const char *start = walk->slot;
    const char *mark = "{\"";
    struct line_field field;

    while (walk_field(walk, &field)) {
        metric_agg_t *agg = field.kind == 'A' ? field.slot : NULL;
        metric_t *metric = agg ? &agg->sum_us : field.slot;

        out_text(out, mark);
        mark = ",\"";
        out_text(out, field.name);
        out_text(out, "\":");
        if (agg) {
            out_text(out, "{\"min_us\":");
            out_u64(out, atomic_load_explicit(&agg->min_us, memory_order_relaxed));
            out_text(out, ",\"max_us\":");
            out_u64(out, atomic_load_explicit(&agg->max_us, memory_order_relaxed));
            out_text(out, ",\"sum_us\":");
        }
        out_u64(out, metric_note(metric, field.kind) +
                         instances_sum(instances, (size_t)((const char *)metric - start)));
        if (agg)
            out_text(out, "}");
    }
    out_text(out, "}");
}

int metrics_line_render(const struct metrics_instances *instances, bool new_line,
                        const char *labels, char *buf, size_t size, size_t *ret_len)
{
    struct line_out out = {.buf = buf, .size = size};
    struct line_walk walk = {.schema = line_schema, .slot = (char *)&metrics};
    struct timespec now = {0};
    const char *group;
    const char *mark = "\"";

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    out_text(&out, new_line ? "\n{\"utc_timestamp_ms\":" : "{\"utc_timestamp_ms\":");
    out_u64(&out, (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS);
    out_text(&out, ",");
    out_text(&out, labels);
    while ((group = walk_group(&walk))) {
        const struct metrics_instance *first = group_instances(instances, group);

        for (const struct metrics_instance *at = first; at; at = at->next) {
            struct line_walk inner = walk_instance(&walk, at);
            out_text(&out, mark);
            mark = ",\"";
            out_text(&out, group);
            out_text(&out, "_");
            out_escaped(&out, at->id);
            out_text(&out, "\":");
            out_group(&out, &inner, NULL);
        }
        out_text(&out, mark);
        mark = ",\"";
        out_text(&out, group);
        out_text(&out, "\":");
        out_group(&out, &walk, first);
    }
    out_text(&out, "}\n");
    if (out.cut)
        return -EMSGSIZE;
    *ret_len = out.len;
    return 0;
}

static void commit_group(struct line_walk *walk)
{
    struct line_field field;

    while (walk_field(walk, &field)) {
        metric_t *metric =
            field.kind == 'A' ? &((metric_agg_t *)field.slot)->sum_us : (metric_t *)field.slot;
        metric->flushed = metric->pending;
    }
}

void metrics_line_commit(const struct metrics_instances *instances)
{
    struct line_walk walk = {.schema = line_schema, .slot = (char *)&metrics};
    const char *group;

    while ((group = walk_group(&walk))) {
        for (const struct metrics_instance *at = group_instances(instances, group); at;
             at = at->next) {
            struct line_walk inner = walk_instance(&walk, at);
            commit_group(&inner);
        }
        commit_group(&walk);
    }
}

/* Longest rendering of the fields of one group; moves the walk behind it. */
static size_t group_bound(struct line_walk *walk)
{
    struct line_field field;
    size_t bound = LINE_MARKS_MAX;

    while (walk_field(walk, &field))
        bound += strlen(field.name) + LINE_MARKS_MAX +
                 (field.kind == 'A' ? LINE_AGG_MAX : LINE_DIGITS_MAX);
    return bound;
}

size_t metrics_line_bound(const struct metrics_instances *instances)
{
    struct line_walk walk = {.schema = line_schema, .slot = (char *)&metrics};
    size_t bound = sizeof("utc_timestamp_ms") + LINE_DIGITS_MAX + 2 * LINE_MARKS_MAX;
    const char *group;

    while ((group = walk_group(&walk))) {
        size_t name_len = strlen(group) + LINE_MARKS_MAX;
        for (const struct metrics_instance *at = group_instances(instances, group); at;
             at = at->next) {
            struct line_walk inner = walk_instance(&walk, at);
            bound += group_bound(&inner) + name_len + LINE_ESCAPE_MAX * strlen(at->id);
        }
        bound += group_bound(&walk) + name_len;
    }
    return bound;
}
