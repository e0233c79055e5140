/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The metrics as Prometheus' text (exposition format 0.0.4), and its file. Nothing that a fatal
 * signal handler may not call. Thread: the holder of the flush's `busy` flag.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/metrics_int.h"

static const char *const phase_names[METRICS_PHASES_COUNT] = {
    [METRICS_PHASE_SOCKET] = "socket",
    [METRICS_PHASE_CONFIG] = "config",
    [METRICS_PHASE_FIRST_RUN] = "first_run",
    [METRICS_PHASE_BOOT_TIMER] = "boot_timer",
};

/* One metric of a field: an aggregate is three. */
struct family {
    const char *group;
    const char *field;
    const char *suffix;
    const char *type;
};

static void out_name(struct metrics_out *out, const struct family *family)
{
    metrics_out_text(out, "mayfly_");
    metrics_out_text(out, family->group);
    metrics_out_text(out, "_");
    metrics_out_text(out, family->field);
    metrics_out_text(out, family->suffix);
}

static void out_head(struct metrics_out *out, const struct family *family)
{
    metrics_out_text(out, "# TYPE ");
    out_name(out, family);
    metrics_out_text(out, " ");
    metrics_out_text(out, family->type);
    metrics_out_text(out, "\n");
}

static void out_label(struct metrics_out *out, const char *mark, const char *name,
                      const char *value)
{
    metrics_out_text(out, mark);
    metrics_out_text(out, name);
    metrics_out_text(out, "=\"");
    for (; *value; value++) {
        if (*value == '"' || *value == '\\')
            metrics_out_bytes(out, "\\", 1);
        if (*value == '\n')
            metrics_out_bytes(out, "\\n", 2);
        else
            metrics_out_bytes(out, value, 1);
    }
    metrics_out_text(out, "\"");
}

/* The sample's end: labels, value, line feed. label NULL: the VM's id alone. */
static void out_sample(struct metrics_out *out, const struct metrics_subject *subject,
                       const char *label, const char *label_value, uint64_t value)
{
    out_label(out, "{", "id", subject->id);
    if (label)
        out_label(out, ",", label, label_value);
    metrics_out_text(out, "} ");
    metrics_out_u64(out, value);
    metrics_out_text(out, "\n");
}

/* The family's samples: what belongs to no device, then each device's. off: of the value in the
 * group. */
static void out_family(struct metrics_out *out, const struct metrics_subject *subject,
                       const struct family *family, const void *group,
                       const struct metrics_instance *devices, size_t off)
{
    const char *label = strcmp(family->group, "net") == 0 ? "interface" : "drive";
    const _Atomic uint64_t *value = (const void *)((const char *)group + off);

    out_head(out, family);
    out_name(out, family);
    out_sample(out, subject, NULL, NULL, atomic_load_explicit(value, memory_order_relaxed));
    for (; devices; devices = devices->next) {
        value = (const void *)(devices->group + off);
        out_name(out, family);
        out_sample(out, subject, label, devices->id,
                   atomic_load_explicit(value, memory_order_relaxed));
    }
}

static void out_aggregate(struct metrics_out *out, const struct metrics_subject *subject,
                          struct family family, const void *group,
                          const struct metrics_instance *devices, size_t off)
{
    family.type = "gauge";
    family.suffix = "_min_us";
    out_family(out, subject, &family, group, devices, off + offsetof(metric_agg_t, min_us));
    family.suffix = "_max_us";
    out_family(out, subject, &family, group, devices, off + offsetof(metric_agg_t, max_us));
    family.type = "counter";
    family.suffix = "_sum_us_total";
    out_family(out, subject, &family, group, devices, off + offsetof(metric_agg_t, sum_us));
}

static void out_group(struct metrics_out *out, const struct metrics_subject *subject,
                      struct metrics_walk *walk, const char *name,
                      const struct metrics_instance *devices)
{
    const char *group = walk->slot;
    struct metrics_field field;

    while (metrics_walk_field(walk, &field)) {
        struct family family = {.group = name, .field = field.name, .suffix = "", .type = "gauge"};
        size_t off = (size_t)((const char *)field.slot - group);
        if (field.kind == 'A') {
            out_aggregate(out, subject, family, group, devices, off);
            continue;
        }
        if (field.kind == 'D') {
            family.suffix = "_total";
            family.type = "counter";
        }
        out_family(out, subject, &family, group, devices, off + offsetof(metric_t, value));
    }
}

/* Only what was reached: a time of 0 would be a lie. A text that is only measured has them all. */
static void out_phases(struct metrics_out *out, const struct metrics_subject *subject)
{
    const struct family family = {"startup", "us", "", "gauge"};

    out_head(out, &family);
    for (size_t i = 0; i < METRICS_PHASES_COUNT; i++) {
        uint64_t at_ns = atomic_load_explicit(&subject->phases_ns[i], memory_order_relaxed);
        if (at_ns == 0 && out->buf)
            continue;
        uint64_t us = at_ns > subject->start_ns ? (at_ns - subject->start_ns) / NS_PER_US : 0;
        out_name(out, &family);
        out_sample(out, subject, "phase", phase_names[i], us);
    }
}

static void out_policy(struct metrics_out *out, const struct metrics_subject *subject)
{
    const struct family family = {"policy", "total", "", "counter"};

    if (subject->policy_count == 0)
        return;
    out_head(out, &family);
    for (size_t i = 0; i < subject->policy_count; i++) {
        out_name(out, &family);
        out_sample(out, subject, "counter", subject->policy_names[i], subject->policy_values[i]);
    }
}

static void out_all(struct metrics_out *out, const struct metrics_instances *instances,
                    const struct metrics_subject *subject)
{
    struct metrics_walk walk = metrics_walk_start();
    const char *group;

    out_phases(out, subject);
    out_policy(out, subject);
    while ((group = metrics_walk_group(&walk)))
        out_group(out, subject, &walk, group, metrics_group_instances(instances, group));
}

int metrics_prometheus_render(const struct metrics_instances *instances,
                              const struct metrics_subject *subject, char *buf, size_t size,
                              size_t *ret_len)
{
    struct metrics_out out = {.buf = buf, .size = size};

    out_all(&out, instances, subject);
    if (out.cut)
        return -EMSGSIZE;
    *ret_len = out.len;
    return 0;
}

size_t metrics_prometheus_bound(const struct metrics_instances *instances,
                                const struct metrics_subject *subject)
{
    struct metrics_out out = {.size = 0};

    out_all(&out, instances, subject);
    return out.bound;
}

/* As a write, but a limit of the file's size is an error like others and not a signal. */
static int write_within_limit(int fd, const char *buf, size_t len)
{
    static const struct timespec at_once = {0};
    sigset_t xfsz;
    sigset_t before;
    sigemptyset(&xfsz);
    sigaddset(&xfsz, SIGXFSZ);
    (void)pthread_sigmask(SIG_BLOCK, &xfsz, &before); /* valid arguments: cannot fail */
    int rc = fd_write_full(fd, buf, len);
    if (rc == -EFBIG && !sigismember(&before, SIGXFSZ))
        (void)sigtimedwait(&xfsz, NULL, &at_once); /* takes the signal away */
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    return rc;
}

int metrics_prometheus_write(const char *path, const char *temp_path, const char *buf, size_t len)
{
    (void)unlink(temp_path); /* whatever somebody has put there; if it stays, the open says so */
    FD_AUTO int fd = open(temp_path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd < 0)
        return -errno;
    int rc = write_within_limit(fd, buf, len);
    if (rc == 0 && rename(temp_path, path) < 0)
        rc = -errno;
    if (rc < 0)
        (void)unlink(temp_path); /* what was wrong is told; this is only tidiness */
    return rc;
}
