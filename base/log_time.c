/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local time for log lines (cli.md E). Any thread, signal handlers too. libc's localtime_r takes a
 * lock, so only one thread at a time asks it, never one that interrupted another inside, and only
 * when a quarter of an hour begins (zones change there and nowhere else); between, the offset is
 * one cached word.
 */
#include "base/log_int.h"

#include <stdio.h>
#include <time.h>

/* No zone has ever changed its offset at another multiple in modern times. */
#define LOG_ZONE_STEP_S 900
#define LOG_DAY_S 86400

/* Part of the log's state (style.md rule 4). */
static struct {
    _Atomic int64_t offset_s;
    _Atomic int64_t step; /* the quarter of an hour since 1970 that offset_s belongs to */
    atomic_flag asking;
} zone = {.asking = ATOMIC_FLAG_INIT};

static int64_t zone_offset_s(int64_t utc_s)
{
    int64_t step = utc_s / LOG_ZONE_STEP_S;

    if (atomic_load_explicit(&zone.step, memory_order_acquire) != step &&
        !atomic_flag_test_and_set_explicit(&zone.asking, memory_order_acquire)) {
        time_t now = (time_t)utc_s;
        struct tm local;
        /* Without tzset libc reads the zone file on the first call only. */
        if (localtime_r(&now, &local))
            atomic_store_explicit(&zone.offset_s, local.tm_gmtoff, memory_order_relaxed);
        atomic_store_explicit(&zone.step, step, memory_order_release);
        atomic_flag_clear_explicit(&zone.asking, memory_order_release);
    }
    return atomic_load_explicit(&zone.offset_s, memory_order_relaxed);
}

void log_zone_init(void)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    (void)zone_offset_s(now.tv_sec);
}

/* Days from 1970-01-01 to the first day of `year`, 1970 or later. */
static int64_t days_before_year(int64_t year)
{
    int64_t past = year - 1;
    int64_t leap_days = past / 4 - past / 100 + past / 400 - (1969 / 4 - 1969 / 100 + 1969 / 400);

    return (year - 1970) * 365 + leap_days;
}

/* Turns days since 1970-01-01 into a date; a moment before 1970 shows as that day. */
static void date_from_days(int64_t days, int64_t *ret_year, unsigned *ret_month, unsigned *ret_day)
{
    static const uint8_t month_days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (days < 0)
        days = 0;

    /* Never too late, and early by two years at most for centuries to come: a short loop. */
    int64_t year = 1970 + days / 366;
    while (days_before_year(year + 1) <= days)
        year++;
    int64_t rest = days - days_before_year(year);
    bool leap = days_before_year(year + 1) - days_before_year(year) == 366;

    unsigned month = 0;
    while (month < 11) {
        int64_t len = month_days[month] + (month == 1 && leap ? 1 : 0);
        if (rest < len)
            break;
        rest -= len;
        month++;
    }
    *ret_year = year;
    *ret_month = month + 1;
    *ret_day = (unsigned)rest + 1;
}

size_t log_time_format(int64_t utc_s, uint32_t ns, int64_t offset_s, char *buf, size_t size)
{
    int64_t local_s = utc_s + offset_s;
    int64_t days = local_s / LOG_DAY_S;
    int64_t rest_s = local_s % LOG_DAY_S;
    if (rest_s < 0) {
        rest_s += LOG_DAY_S;
        days--;
    }

    int64_t year;
    unsigned month;
    unsigned day;
    date_from_days(days, &year, &month, &day);
    unsigned in_day_s = (unsigned)rest_s;
    int n = snprintf(buf, size, "%04u-%02u-%02uT%02u:%02u:%02u.%09u", (unsigned)year % 10000u,
                     month, day, in_day_s / 3600u, in_day_s / 60u % 60u, in_day_s % 60u, ns);
    return n > 0 && (size_t)n < size ? (size_t)n : 0;
}

size_t log_time_put(char *buf, size_t size)
{
    struct timespec now = {0};

    (void)clock_gettime(CLOCK_REALTIME, &now); /* cannot fail for this clock */
    return log_time_format(now.tv_sec, (uint32_t)now.tv_nsec, zone_offset_s(now.tv_sec), buf, size);
}
