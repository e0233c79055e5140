/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The walk over all metrics, for whoever renders them, driven by the schema of
 * base/metrics_table.h: one string that is walked beside the structs, so that it needs no
 * relocating at start. Thread: the holder of the flush's `busy` flag.
 */
#include <assert.h>
#include <string.h>

#include "base/ck.h"
#include "base/metrics_int.h"

/* Kind and name, NUL-terminated: 'G' group, then its fields 'D' delta, 'S' store, 'A' aggregate.
 * The NUL that ends the whole string is the end mark. */
#define SCHEMA_D_(name) "D" #name "\0"
#define SCHEMA_S_(name) "S" #name "\0"
#define SCHEMA_A_(name) "A" #name "\0"
#define SCHEMA_GROUP_(group) "G" #group "\0" METRICS_FIELDS_##group(SCHEMA_D_, SCHEMA_S_, SCHEMA_A_)

static const char walk_schema[] = METRICS_GROUPS(SCHEMA_GROUP_);

/* Fields follow each other without a gap, or the walk would lose its way. */
#define SIZE_METRIC_(name) +sizeof(metric_t)
#define SIZE_AGG_(name) +sizeof(metric_agg_t)
#define SIZE_GROUP_(group) METRICS_FIELDS_##group(SIZE_METRIC_, SIZE_METRIC_, SIZE_AGG_)
static_assert(sizeof(struct metrics) == METRICS_GROUPS(SIZE_GROUP_), "no padding between fields");

struct metrics_walk metrics_walk_start(void)
{
    return (struct metrics_walk){.schema = walk_schema, .slot = (char *)&metrics};
}

bool metrics_walk_field(struct metrics_walk *walk, struct metrics_field *ret_field)
{
    char kind = *walk->schema;
    if (kind == 'G' || kind == '\0')
        return false;

    *ret_field = (struct metrics_field){.kind = kind, .name = walk->schema + 1, .slot = walk->slot};
    walk->schema += strlen(walk->schema) + 1;
    walk->slot += kind == 'A' ? sizeof(metric_agg_t) : sizeof(metric_t);
    return true;
}

const char *metrics_walk_group(struct metrics_walk *walk)
{
    if (*walk->schema != 'G')
        return NULL;
    const char *name = walk->schema + 1;
    walk->schema += strlen(walk->schema) + 1;
    return name;
}

const struct metrics_instance *metrics_group_instances(const struct metrics_instances *instances,
                                                       const char *group)
{
    if (strcmp(group, "block") == 0)
        return instances->block;
    if (strcmp(group, "net") == 0)
        return instances->net;
    return NULL;
}

struct metrics_walk metrics_walk_instance(const struct metrics_walk *at,
                                          const struct metrics_instance *instance)
{
    /* The list is const here, the metrics in it are not. */
    return (struct metrics_walk){.schema = at->schema, .slot = (char *)(uintptr_t)instance->group};
}

void metrics_out_bytes(struct metrics_out *out, const char *bytes, size_t len)
{
    out->bound += len;
    if (!out->buf || !ck_range(out->len, len, out->size)) {
        out->cut = true;
        return;
    }
    memcpy(out->buf + out->len, bytes, len);
    out->len += len;
}

void metrics_out_text(struct metrics_out *out, const char *text)
{
    metrics_out_bytes(out, text, strlen(text));
}

void metrics_out_u64(struct metrics_out *out, uint64_t value)
{
    char digits[METRICS_DIGITS_MAX];
    size_t at = sizeof(digits);

    do {
        digits[--at] = (char)('0' + value % 10);
        value /= 10;
    } while (value > 0);
    out->bound += at;
    metrics_out_bytes(out, digits + at, sizeof(digits) - at);
}
