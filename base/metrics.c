/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: counting, the per-device groups and the flush (cli.md F). Counting: any thread.
 * Flushing: the vmm thread or a fatal signal handler; `busy` keeps them apart by giving up, never
 * by waiting in a handler, and nothing is allocated while flushing. The line is made by
 * metrics_line.c.
 */
#include "base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/metrics_int.h"

struct metrics metrics;

/* The flush's state; part of the globals that style.md rule 4 allows. Belongs to the holder of
 * `busy`. */
static struct {
    atomic_flag busy;
    _Atomic int fd;
    struct metrics_instances instances;
    const char *labels;
    char *line;
    size_t line_size;
    bool torn; /* the last write ended inside a line */
} state = {.busy = ATOMIC_FLAG_INIT, .fd = FD_NONE, .labels = ""};

static bool busy_try(void)
{
    return !atomic_flag_test_and_set_explicit(&state.busy, memory_order_acquire);
}

/* Never in a signal handler: the interrupted thread may hold it. */
static void busy_wait(void)
{
    while (!busy_try())
        sched_yield();
}

static void busy_release(void)
{
    atomic_flag_clear_explicit(&state.busy, memory_order_release);
}

void metric_agg_record(metric_agg_t *agg, uint64_t us)
{
    uint64_t seen = atomic_load_explicit(&agg->min_us, memory_order_relaxed);
    while ((seen == 0 || us < seen) &&
           !atomic_compare_exchange_weak_explicit(&agg->min_us, &seen, us, memory_order_relaxed,
                                                  memory_order_relaxed))
        ;
    seen = atomic_load_explicit(&agg->max_us, memory_order_relaxed);
    while (us > seen && !atomic_compare_exchange_weak_explicit(
                            &agg->max_us, &seen, us, memory_order_relaxed, memory_order_relaxed))
        ;
    metric_add(&agg->sum_us, us);
}

/* Makes the line buffer large enough for every group there is now. Returns 0 or -ENOMEM. */
static int line_reserve(void)
{
    size_t size = metrics_line_bound(&state.instances) + strlen(state.labels);
    if (size <= state.line_size)
        return 0;

    char *line = malloc(size);
    if (!line)
        return -ENOMEM;
    free(state.line);
    state.line = line;
    state.line_size = size;
    return 0;
}

/* The group of device `id` in the list at `head`, made at need; the list stays sorted by id. */
static void *instance_of(struct metrics_instance **head, const char *id, size_t group_size)
{
    struct metrics_instance **link = head;
    size_t count = 0;
    int order = 1;

    for (struct metrics_instance *at = *head; at; at = at->next)
        count++;
    while (*link && (order = strcmp((*link)->id, id)) < 0)
        link = &(*link)->next;
    if (*link && order == 0)
        return (*link)->group;
    if (count >= METRICS_INSTANCES_MAX)
        return NULL;

    size_t id_size = strlen(id) + 1;
    struct metrics_instance *fresh = calloc(1, sizeof(*fresh) + group_size + id_size);
    if (!fresh)
        return NULL;
    fresh->id = memcpy((char *)fresh->group + group_size, id, id_size);
    fresh->next = *link;
    *link = fresh;
    if (atomic_load_explicit(&state.fd, memory_order_relaxed) != FD_NONE && line_reserve() < 0) {
        *link = fresh->next;
        free(fresh);
        return NULL;
    }
    return fresh->group;
}

struct metrics_block *metrics_block_of(const char *id)
{
    busy_wait();
    void *group = instance_of(&state.instances.block, id, sizeof(struct metrics_block));
    busy_release();
    return group;
}

struct metrics_net *metrics_net_of(const char *id)
{
    busy_wait();
    void *group = instance_of(&state.instances.net, id, sizeof(struct metrics_net));
    busy_release();
    return group;
}

static int open_locked(const char *path, struct err *err)
{
    static const char what[] = "Cannot initialize the metrics system due to bad user input";

    if (atomic_load_explicit(&state.fd, memory_order_relaxed) != FD_NONE)
        return err_set(err, -EALREADY, "%s: Reinitialization of metrics not allowed.", what);
    if (line_reserve() < 0)
        return err_set(err, -ENOMEM, "%s: %s", what, ERR_OS(ENOMEM));

    int fd = open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return err_set(err, -errno, "%s: %s", what, ERR_OS(errno));
    atomic_store_explicit(&state.fd, fd, memory_order_release);
    return 0;
}

int metrics_set_labels(const char *text)
{
    busy_wait();
    const char *before = state.labels;
    state.labels = text;
    int rc = line_reserve();
    if (rc < 0)
        state.labels = before;
    busy_release();
    return rc;
}

int metrics_open(const char *path, struct err *err)
{
    busy_wait();
    int rc = open_locked(path, err);
    busy_release();
    return rc;
}

/* Writes the bytes in one go. Returns 0, or -errno with *ret_torn telling whether a part was
 * written. */
static int write_once(int fd, const char *buf, size_t len, bool *ret_torn)
{
    ssize_t n;

    do {
        n = write(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)len)
        return 0;
    *ret_torn = n > 0;
    return n < 0 ? -errno : -EIO;
}

static int flush_locked(int fd)
{
    size_t len;
    int rc = metrics_line_render(&state.instances, state.torn, state.labels, state.line,
                                 state.line_size, &len);
    if (rc < 0) {
        metric_inc(&metrics.logger.metrics_fails);
        return rc;
    }

    bool torn = false;
    rc = write_once(fd, state.line, len, &torn);
    if (rc < 0) {
        /* Half a line stands in the file: the next one starts with a line feed of its own. */
        state.torn = state.torn || torn;
        metric_inc(&metrics.logger.missed_metrics_count);
        return rc;
    }
    state.torn = false;
    metrics_line_commit(&state.instances);
    return 0;
}

int metrics_flush(struct err *err)
{
    int fd = atomic_load_explicit(&state.fd, memory_order_acquire);
    if (fd == FD_NONE)
        return 0;

    int rc = -EBUSY;
    if (busy_try()) {
        rc = flush_locked(fd);
        busy_release();
    } else {
        metric_inc(&metrics.logger.missed_metrics_count);
    }
    return rc < 0 ? err_set(err, rc, "Failed to write the metrics line: %s", ERR_OS(rc)) : 0;
}
