/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics: counting, the per-device groups and the flush (cli.md F). Counting: any thread.
 * Flushing: the vmm thread or a fatal signal handler; `busy` keeps them apart by giving up, never
 * by waiting without end in a handler, and nothing is allocated while flushing. The line is made by
 * metrics_line.c.
 */
#include "base/metrics.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/log.h"
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
    /* Held with `busy` while a group is put into a list, and alone by who renders a text beside a
     * flush: that one never makes a flush give up. */
    pthread_mutex_t list_lock;
    /* The Prometheus text. All but its file is set before there are other threads. */
    struct metrics_subject subject; /* id NULL: nobody wants it */
    const char *text_path;          /* NULL: no file */
    bool text_failed;               /* it was said */
    char *text_temp_path;
    char *text;
    size_t text_size;
    _Atomic uint64_t phases_ns[METRICS_PHASES_COUNT];
} state = {
    .busy = ATOMIC_FLAG_INIT, .fd = FD_NONE, .labels = "", .list_lock = PTHREAD_MUTEX_INITIALIZER};

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

/* Makes a buffer at least `size` bytes large. Returns 0 or -ENOMEM. */
static int reserve(char **buf, size_t *buf_size, size_t size)
{
    if (size <= *buf_size)
        return 0;
    char *fresh = malloc(size);
    if (!fresh)
        return -ENOMEM;
    free(*buf);
    *buf = fresh;
    *buf_size = size;
    return 0;
}

static int line_reserve(void)
{
    return reserve(&state.line, &state.line_size,
                   metrics_line_bound(&state.instances, state.labels));
}

static int text_reserve(void)
{
    return reserve(&state.text, &state.text_size,
                   metrics_prometheus_bound(&state.instances, &state.subject));
}

/* Room in what is written for every group that there is now: a flush allocates nothing. */
static int reserve_all(void)
{
    int rc = 0;
    if (atomic_load_explicit(&state.fd, memory_order_relaxed) != FD_NONE)
        rc = line_reserve();
    if (rc == 0 && state.text_path)
        rc = text_reserve();
    return rc;
}

/* The group of device `id` in the list at `head`, made at need; the list stays sorted by id. */
static int instance_of(struct metrics_instance **head, const char *id, size_t group_size,
                       void **ret_group)
{
    struct metrics_instance **link = head;
    size_t count = 0;
    int order = 1;

    for (struct metrics_instance *at = *head; at; at = at->next)
        count++;
    while (*link && (order = strcmp((*link)->id, id)) < 0)
        link = &(*link)->next;
    if (*link && order == 0) {
        *ret_group = (*link)->group;
        return 0;
    }
    if (count >= METRICS_INSTANCES_MAX)
        return -ENOSPC;

    size_t id_size = strlen(id) + 1;
    struct metrics_instance *fresh = calloc(1, sizeof(*fresh) + group_size + id_size);
    if (!fresh)
        return -ENOMEM;
    fresh->id = memcpy((char *)fresh->group + group_size, id, id_size);
    fresh->next = *link;
    *link = fresh;
    if (reserve_all() < 0) {
        *link = fresh->next;
        free(fresh);
        return -ENOMEM;
    }
    *ret_group = fresh->group;
    return 0;
}

static int instance_of_locked(struct metrics_instance **head, const char *id, size_t group_size,
                              void **ret_group)
{
    busy_wait();
    (void)pthread_mutex_lock(&state.list_lock);
    int rc = instance_of(head, id, group_size, ret_group);
    (void)pthread_mutex_unlock(&state.list_lock);
    busy_release();
    return rc;
}

int metrics_block_of(const char *id, struct metrics_block **ret_block)
{
    void *group;
    int rc = instance_of_locked(&state.instances.block, id, sizeof(struct metrics_block), &group);
    if (rc == 0)
        *ret_block = group;
    return rc;
}

int metrics_net_of(const char *id, struct metrics_net **ret_net)
{
    void *group;
    int rc = instance_of_locked(&state.instances.net, id, sizeof(struct metrics_net), &group);
    if (rc == 0)
        *ret_net = group;
    return rc;
}

/* Is what is open there the file at `path`? */
static bool is_file(int fd, const char *path)
{
    struct stat open_st;
    return fd != FD_NONE && fstat(fd, &open_st) == 0 && fd_is_file_at(&open_st, path);
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
    if (state.text_path && is_file(fd, state.text_path)) {
        fd_close(&fd);
        return err_set(err, -EEXIST, "%s: %s is the file of --prometheus-path", what, path);
    }
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

static ssize_t write_some(int fd, const char *buf, size_t len)
{
    ssize_t n;

    do {
        n = write(fd, buf, len);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Takes the last n bytes out of a file again, where it is one and they are its end. */
static bool take_back(int fd, size_t n)
{
    off_t end = lseek(fd, 0, SEEK_CUR);
    return end >= (off_t)n && lseek(fd, 0, SEEK_END) == end && ftruncate(fd, end - (off_t)n) == 0;
}

/* Why a file took only a part: its limit, beyond which another write would be a signal, or its
 * disk. */
static int part_reason(int fd)
{
    struct rlimit limit;
    off_t end = lseek(fd, 0, SEEK_END);
    bool at_limit =
        getrlimit(RLIMIT_FSIZE, &limit) == 0 && end >= 0 && (rlim_t)end >= limit.rlim_cur;
    return at_limit ? -EFBIG : -ENOSPC;
}

/* Writes the bytes in one go. What a file took of them is taken back; a FIFO keeps it. Returns
 * 0, or -errno with *ret_torn telling whether a part was written and stays. */
static int write_line(int fd, const char *buf, size_t len, bool *ret_torn)
{
    ssize_t n = write_some(fd, buf, len);

    if (n == (ssize_t)len)
        return 0;
    if (n <= 0)
        return n < 0 ? (int)n : -EIO;
    int rc = part_reason(fd);
    *ret_torn = !take_back(fd, (size_t)n);
    return *ret_torn ? -EAGAIN : rc;
}

static int line_flush_locked(int fd)
{
    size_t len;
    int rc = metrics_line_render(&state.instances, state.torn, state.labels, state.line,
                                 state.line_size, &len);
    if (rc < 0) {
        metric_inc(&metrics.logger.metrics_fails);
        return rc;
    }

    bool torn = false;
    rc = write_line(fd, state.line, len, &torn);
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

static int text_write_locked(void)
{
    size_t len = 0;
    int rc = metrics_prometheus_render(&state.instances, &state.subject, state.text,
                                       state.text_size, &len);
    if (rc == 0)
        rc = metrics_prometheus_write(state.text_path, state.text_temp_path, state.text, len);
    return rc;
}

/* Nobody is told but the log, and that once: the line is what was asked for. */
static void text_flush_locked(void)
{
    int rc = text_write_locked();
    if (rc < 0 && !state.text_failed)
        log_error("Failed to write the Prometheus metrics to %s: %s", state.text_path, ERR_OS(rc));
    if (rc == 0 && state.text_failed)
        log_info("The Prometheus metrics are written to %s again.", state.text_path);
    state.text_failed = rc < 0;
}

int metrics_prometheus_text(char **ret_text, size_t *ret_len)
{
    int rc = -ENOMEM;

    (void)pthread_mutex_lock(&state.list_lock);
    size_t size = metrics_prometheus_bound(&state.instances, &state.subject);
    char *text = malloc(size + 1);
    size_t len = 0;
    if (text)
        rc = metrics_prometheus_render(&state.instances, &state.subject, text, size, &len);
    (void)pthread_mutex_unlock(&state.list_lock);
    if (rc < 0) {
        free(text);
        return -ENOMEM;
    }
    text[len] = '\0';
    *ret_text = text;
    *ret_len = len;
    return 0;
}

void metrics_phase_reached(enum metrics_phase phase)
{
    uint64_t never = 0;
    atomic_compare_exchange_strong_explicit(&state.phases_ns[phase], &never, clock_mono_ns(),
                                            memory_order_relaxed, memory_order_relaxed);
}

static int check_text_path(const char *path, struct err *err)
{
    struct stat st;
    if (stat(path, &st) == 0 && !S_ISREG(st.st_mode))
        return err_set(err, -EEXIST,
                       "%s is there and no regular file (a socket is asked for by unix:PATH)",
                       path);
    if (is_file(state.fd, path))
        return err_set(err, -EEXIST, "%s is the file of the JSON lines", path);
    if (asprintf(&state.text_temp_path, "%s.tmp", path) < 0)
        return err_set(err, -ENOMEM, "no memory");
    return 0;
}

void metrics_prometheus_show(const char *const *names, const volatile uint64_t *values,
                             size_t count)
{
    state.subject.policy_names = names;
    state.subject.policy_values = values;
    state.subject.policy_count = count;
}

int metrics_prometheus_open(const char *path, const char *id, uint64_t start_ns, struct err *err)
{
    static const char what[] = "Cannot write the Prometheus metrics";
    int rc = path ? check_text_path(path, err) : 0;
    if (rc < 0)
        return err_prefix(err, "%s: ", what);
    state.subject.id = id;
    state.subject.start_ns = start_ns;
    state.subject.phases_ns = state.phases_ns;
    state.text_path = path;
    if (path)
        rc = text_reserve();
    if (rc == 0 && path)
        rc = text_write_locked();
    return rc < 0 ? err_set(err, rc, "%s%s%s: %s", what, path ? " to " : "", path ? path : "",
                            ERR_OS(rc))
                  : 0;
}

int metrics_flush(struct err *err)
{
    int fd = atomic_load_explicit(&state.fd, memory_order_acquire);
    if (fd == FD_NONE && !state.text_path)
        return 0;

    if (!busy_try()) {
        metric_inc(&metrics.logger.missed_metrics_count);
        return err_set(err, -EBUSY, "Failed to write the metrics line: %s", ERR_OS(EBUSY));
    }
    int rc = fd != FD_NONE ? line_flush_locked(fd) : 0;
    if (state.text_path)
        text_flush_locked();
    busy_release();
    return rc < 0 ? err_set(err, rc, "Failed to write the metrics line: %s", ERR_OS(rc)) : 0;
}
