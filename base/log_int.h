/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside the log: what log.c, log_limit.c and log_time.c share. Any thread.
 */
#pragma once

#include <stdarg.h>
#include <stddef.h>

#include "base/log.h"

/* log_line with its arguments in a list. */
__attribute__((format(printf, 4, 0))) void log_line_va(enum log_level level, const char *file,
                                                       int line, const char *fmt, va_list args);

/* Room for log_time_put's text, NUL included. */
#define LOG_TIME_SIZE 30u

/* Reads the time zone, so that no later line opens a file. */
void log_zone_init(void);

/* Puts "YYYY-MM-DDTHH:MM:SS.nnnnnnnnn" for now, in local time, into `buf` of at least LOG_TIME_SIZE
 * bytes. Returns the length without the NUL. */
size_t log_time_put(char *buf, size_t size);

/* The same for a given moment: seconds and nanoseconds since 1970 UTC, offset_s east of it. */
size_t log_time_format(int64_t utc_s, uint32_t ns, int64_t offset_s, char *buf, size_t size);
