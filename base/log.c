/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: level, sink, module filter and the line format of cli.md E. Any thread, signal handlers
 * too: the state is atomic words, a line is built on the stack and leaves in one write(). Limits
 * for guest-made lines stand in log_limit.c.
 */
#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "base/log_int.h"
#include "base/metrics.h"

/* Longest thread name and origin path that a line shows. */
#define LOG_THREAD_MAX_LEN 32
#define LOG_PATH_MAX_LEN 160

/* Timestamp, id, thread, level, origin and the marks between them. */
#define LOG_HEAD_MAX_SIZE 384u
#define LOG_LINE_MAX_SIZE (LOG_HEAD_MAX_SIZE + LOG_MSG_MAX_SIZE + 1)

/* This file's path from the source root: what precedes it in __FILE__ precedes every file's
 * path. */
#define LOG_OWN_PATH "base/log.c"

enum {
    LOG_SHOW_LEVEL = 1u << 8,
    LOG_SHOW_ORIGIN = 1u << 9,
    LOG_LEVEL_MASK = 0xffu,
};

/* The log's state (the globals that style.md rule 4 allows). Written by any thread, each word by
 * itself. */
static struct {
    _Atomic uint32_t settings; /* enum log_level | LOG_SHOW_* */
    _Atomic int fd;
    _Atomic char module[LOG_MODULE_MAX_LEN + 1]; /* the last byte stays NUL */
    char id[LOG_ID_MAX_LEN + 1];                 /* written by log_init only */
} state = {.settings = LOG_LEVEL_INFO, .fd = STDOUT_FILENO};

static _Thread_local const char *thread_name;

void log_init(const char *id)
{
    size_t len = strnlen(id, LOG_ID_MAX_LEN);

    memcpy(state.id, id, len);
    state.id[len] = '\0';
    log_zone_init();
}

void log_set(const struct log_settings *settings)
{
    uint32_t word = (uint32_t)settings->level & LOG_LEVEL_MASK;

    word |= settings->show_level ? LOG_SHOW_LEVEL : 0u;
    word |= settings->show_origin ? LOG_SHOW_ORIGIN : 0u;
    atomic_store_explicit(&state.settings, word, memory_order_relaxed);
}

struct log_settings log_get(void)
{
    uint32_t word = atomic_load_explicit(&state.settings, memory_order_relaxed);

    return (struct log_settings){
        .level = (enum log_level)(word & LOG_LEVEL_MASK),
        .show_level = (word & LOG_SHOW_LEVEL) != 0,
        .show_origin = (word & LOG_SHOW_ORIGIN) != 0,
    };
}

void log_set_module(const char *prefix)
{
    size_t len = prefix ? strnlen(prefix, LOG_MODULE_MAX_LEN) : 0;

    /* A line that another thread builds meanwhile may see a mixture; it is kept or dropped
     * wrongly, once. */
    for (size_t i = 0; i < LOG_MODULE_MAX_LEN; i++)
        atomic_store_explicit(&state.module[i], i < len ? prefix[i] : '\0', memory_order_relaxed);
}

int log_open(const char *path, struct err *err)
{
    FD_AUTO int fd =
        open(path, O_RDWR | O_CREAT | O_NONBLOCK | O_APPEND | O_CLOEXEC | O_NOCTTY, 0644);
    if (fd < 0)
        return err_set(err, -errno, "Failed to open target file: %s", ERR_OS(errno));

    int old = atomic_load_explicit(&state.fd, memory_order_relaxed);
    if (old == STDOUT_FILENO) {
        atomic_store_explicit(&state.fd, fd_steal(&fd), memory_order_release);
        return 0;
    }
    /* The number stays: a line on its way in another thread can reach the old or the new file
     * only. */
    if (dup3(fd, old, O_CLOEXEC) < 0)
        return err_set(err, -errno, "Failed to open target file: %s", ERR_OS(errno));
    return 0;
}

void log_name_thread(const char *name)
{
    thread_name = name;
}

const char *log_thread_name(void)
{
    return thread_name ? thread_name : "-";
}

int log_level_from_name(const char *name, enum log_level *ret_level)
{
    static const struct {
        char name[8];
        enum log_level level;
    } names[] = {
        {"Off", LOG_LEVEL_OFF},     {"Trace", LOG_LEVEL_TRACE}, {"Debug", LOG_LEVEL_DEBUG},
        {"Info", LOG_LEVEL_INFO},   {"Warn", LOG_LEVEL_WARN},   {"Warning", LOG_LEVEL_WARN},
        {"Error", LOG_LEVEL_ERROR},
    };

    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (strcasecmp(name, names[i].name) == 0) {
            *ret_level = names[i].level;
            return 0;
        }
    }
    return -EINVAL;
}

bool log_on(enum log_level level)
{
    return level != LOG_LEVEL_OFF && level <= log_get().level;
}

static const char *level_name(enum log_level level)
{
    switch (level) {
    case LOG_LEVEL_OFF:
        return "OFF";
    case LOG_LEVEL_ERROR:
        return "ERROR";
    case LOG_LEVEL_WARN:
        return "WARN";
    case LOG_LEVEL_INFO:
        return "INFO";
    case LOG_LEVEL_DEBUG:
        return "DEBUG";
    case LOG_LEVEL_TRACE:
        return "TRACE";
    }
    return "?";
}

/* The path from the source root, whatever build directory the compiler was called in. */
static const char *path_from_root(const char *file)
{
    size_t root_len = sizeof(__FILE__) - sizeof(LOG_OWN_PATH);

    if (strncmp(file, __FILE__, root_len) == 0)
        file += root_len;
    while (strncmp(file, "../", 3) == 0)
        file += 3;
    return file;
}

static bool has_module_prefix(const char *path)
{
    for (size_t i = 0; i < LOG_MODULE_MAX_LEN; i++) {
        char want = atomic_load_explicit(&state.module[i], memory_order_relaxed);
        if (want == '\0')
            return true;
        if (path[i] != want)
            return false;
    }
    return true;
}

/* "src/" is shown but no folder: a prefix may be written with it or without. */
static bool module_passes(const char *path)
{
    char shown[LOG_PATH_MAX_LEN + 8];

    if (has_module_prefix(path))
        return true;
    (void)snprintf(shown, sizeof(shown), "src/%s", path);
    return has_module_prefix(shown);
}

/* Writes the line's head, up to and with the blank before the message; returns its length. */
static size_t head_put(char *buf, size_t size, enum log_level level, const char *path, int line)
{
    struct log_settings shown = log_get();
    const char *thread = log_thread_name();
    size_t len = log_time_put(buf, size);
    int n = snprintf(buf + len, size - len, " [%s:%.*s%s%s", state.id, LOG_THREAD_MAX_LEN, thread,
                     shown.show_level ? ":" : "", shown.show_level ? level_name(level) : "");

    len += n > 0 ? (size_t)n : 0;
    if (shown.show_origin) {
        n = snprintf(buf + len, size - len, ":src/%.*s:%d", LOG_PATH_MAX_LEN, path, line);
        len += n > 0 ? (size_t)n : 0;
    }
    buf[len++] = ']';
    buf[len++] = ' ';
    return len;
}

void log_line_va(enum log_level level, const char *file, int line, const char *fmt, va_list args)
{
    if (!log_on(level))
        return;
    const char *path = path_from_root(file);
    if (!module_passes(path))
        return;

    int saved = errno;
    char buf[LOG_LINE_MAX_SIZE];
    size_t len = head_put(buf, LOG_HEAD_MAX_SIZE, level, path, line);
    size_t room = LOG_MSG_MAX_SIZE;
    int wanted = vsnprintf(buf + len, room, fmt, args);
    if (wanted < 0)
        wanted = 0;
    if ((size_t)wanted >= room) {
        memcpy(buf + len + room - 4, "...", 3);
        wanted = (int)room - 1;
    }
    len += (size_t)wanted;
    buf[len++] = '\n';

    int fd = atomic_load_explicit(&state.fd, memory_order_acquire);
    ssize_t written;
    do {
        written = write(fd, buf, len);
    } while (written < 0 && errno == EINTR);
    if (written != (ssize_t)len)
        metric_inc(&metrics.logger.missed_log_count);
    errno = saved;
}

void log_line(enum log_level level, const char *file, int line, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    log_line_va(level, file, line, fmt, args);
    va_end(args);
}

const char *log_quote(const char *text, size_t len, char *buf, size_t size)
{
    static const char hex[] = "0123456789abcdef";
    size_t used = 0;
    size_t keep = 0; /* where "..." still fits behind */

    if (size == 0)
        return buf;
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)text[i];
        size_t need = c >= 0x20 && c < 0x7f ? 1 : 4;
        if (used + need > size - 1) {
            size_t dots = size - 1 < 3 ? size - 1 : 3;
            memcpy(buf + keep, "...", dots);
            buf[keep + dots] = '\0';
            return buf;
        }
        if (need == 1) {
            buf[used] = (char)c;
        } else {
            memcpy(buf + used, (char[4]){'\\', 'x', hex[c >> 4], hex[c & 15]}, 4);
        }
        used += need;
        if (used + 3 <= size - 1)
            keep = used;
    }
    buf[used] = '\0';
    return buf;
}
