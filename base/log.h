/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The log: one line, one write(), Firecracker's line format (cli.md E). Any thread may log;
 * nothing is allocated and no lock is held across the write, so a signal handler may log too.
 * Rule 29: only app, ctl, api and jail main log failures; other rooms return them. What a guest
 * can trigger uses log_guest_*, which is limited per call site.
 */
#pragma once

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

enum log_level {
    LOG_LEVEL_OFF,
    LOG_LEVEL_ERROR,
    LOG_LEVEL_WARN,
    LOG_LEVEL_INFO,
    LOG_LEVEL_DEBUG,
    LOG_LEVEL_TRACE,
};

/* One line's longest message; longer ones are cut with "...". */
#define LOG_MSG_MAX_SIZE 4096u

/* Longest instance id, in bytes without the NUL (cli.md A.2). */
#define LOG_ID_MAX_LEN 64u

struct log_settings {
    enum log_level level;
    bool show_level;
    bool show_origin;
};

/*
 * Starts the log with stdout as sink, level Info, no level and no origin shown. id: instance id,
 * at most LOG_ID_MAX_LEN bytes, copied. Reads the time zone once, so that no later line opens a
 * file. Call once, before the second thread.
 */
void log_init(const char *id);

/* Replaces level and shown fields; takes effect for the next line. Any thread. */
void log_set(const struct log_settings *settings);
struct log_settings log_get(void);

/* Keeps only lines whose file path begins with `prefix` (copied); NULL or "" keeps all. A prefix is
 * cut to LOG_MODULE_MAX_LEN bytes, which changes nothing: no file's path is as long, so that it
 * keeps no line either way, as in the reference. */
#define LOG_MODULE_MAX_LEN 128u
void log_set_module(const char *prefix);

/*
 * Sends lines to the file or FIFO `path`: opened read-write, create, non-blocking, append, no
 * truncate (cli.md E, deltas.md 4). On failure the old sink stays. Returns 0 or -errno.
 */
MUST_CHECK int log_open(const char *path, struct err *err);

/* Names the calling thread in log lines ("main", "fc_api", "fc_vcpu 0"); `name` is borrowed for
 * ever. */
void log_name_thread(const char *name);

/* That name, or "-". Safe in a signal's handler. */
const char *log_thread_name(void);

/* "Off|Trace|Debug|Info|Warn|Warning|Error", any case. Returns 0 with *ret_level, or -EINVAL. */
MUST_CHECK int log_level_from_name(const char *name, enum log_level *ret_level);

/* Per call site: burst of 10, then one line in 500 ms; what is dropped is counted and said
 * later. */
struct log_limit {
    _Atomic uint64_t full_at_ns; /* time at which the bucket would be full again */
    _Atomic uint32_t dropped;
};

/* Does one call site may log now? Counts logger.rate_limited_log_count when not. *ret_dropped:
 * lines dropped since the last allowed one. now_ns: monotonic. Any thread. */
MUST_CHECK bool log_limit_allow(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_dropped);

/*
 * Writes one line, if its level is on and the module filter lets `file` pass; use the macros below,
 * which name file and line. fmt: printf's; a message above LOG_MSG_MAX_SIZE is cut. A line that the
 * sink does not take counts as logger.missed_log_count. Keeps errno. Any thread, signal handlers
 * too.
 */
void log_line(enum log_level level, const char *file, int line, const char *fmt, ...)
    PRINTF_LIKE(4, 5);

/* The same for what a guest can cause: at most what `limit`, of the call site, allows; says first
 * how many lines were dropped. Any thread. */
void log_guest_line(struct log_limit *limit, enum log_level level, const char *file, int line,
                    const char *fmt, ...) PRINTF_LIKE(5, 6);

/* Is a line of this level written at all? For callers whose arguments cost something. */
bool log_on(enum log_level level);

#define log_error(...) log_line(LOG_LEVEL_ERROR, __FILE__, __LINE__, __VA_ARGS__)
#define log_warn(...) log_line(LOG_LEVEL_WARN, __FILE__, __LINE__, __VA_ARGS__)
#define log_info(...) log_line(LOG_LEVEL_INFO, __FILE__, __LINE__, __VA_ARGS__)
#define log_debug(...) log_line(LOG_LEVEL_DEBUG, __FILE__, __LINE__, __VA_ARGS__)

#define LOG_GUEST_(level, ...)                                                                     \
    do {                                                                                           \
        static struct log_limit log_limit_here_;                                                   \
        log_guest_line(&log_limit_here_, (level), __FILE__, __LINE__, __VA_ARGS__);                \
    } while (0)
#define log_guest_error(...) LOG_GUEST_(LOG_LEVEL_ERROR, __VA_ARGS__)
#define log_guest_warn(...) LOG_GUEST_(LOG_LEVEL_WARN, __VA_ARGS__)
#define log_guest_info(...) LOG_GUEST_(LOG_LEVEL_INFO, __VA_ARGS__)

/*
 * Quotes a string from outside for a log line: printable ASCII stays, the rest becomes \xNN, cut
 * after `size` - 1 bytes with "...". Returns buf.
 */
const char *log_quote(const char *text, size_t len, char *buf, size_t size);
