/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Limits for what a guest can make the monitor log: a bucket per call site, kept as the one moment
 * at which it would be full again (cli.md E). Any thread; lock-free.
 */
#include <inttypes.h>

#include "base/clock.h"
#include "base/log_int.h"
#include "base/metrics.h"

#define LOG_LIMIT_BURST 10u
#define LOG_LIMIT_REFILL_NS (500ull * NS_PER_MS)

bool log_limit_allow(struct log_limit *limit, uint64_t now_ns, uint32_t *ret_dropped)
{
    uint64_t full_ns = atomic_load_explicit(&limit->full_at_ns, memory_order_relaxed);
    uint64_t next_ns;

    do {
        uint64_t start_ns = full_ns > now_ns ? full_ns : now_ns;
        if (start_ns - now_ns > (LOG_LIMIT_BURST - 1) * LOG_LIMIT_REFILL_NS) {
            atomic_fetch_add_explicit(&limit->dropped, 1, memory_order_relaxed);
            metric_inc(&metrics.logger.rate_limited_log_count);
            return false;
        }
        next_ns = start_ns + LOG_LIMIT_REFILL_NS;
    } while (!atomic_compare_exchange_weak_explicit(&limit->full_at_ns, &full_ns, next_ns,
                                                    memory_order_relaxed, memory_order_relaxed));
    *ret_dropped = atomic_exchange_explicit(&limit->dropped, 0, memory_order_relaxed);
    return true;
}

void log_guest_line(struct log_limit *limit, enum log_level level, const char *file, int line,
                    const char *fmt, ...)
{
    uint32_t dropped;

    if (!log_on(level) || !log_limit_allow(limit, clock_mono_ns(), &dropped))
        return;
    if (dropped > 0)
        log_line(LOG_LEVEL_WARN, file, line,
                 "%" PRIu32 " messages were suppressed due to rate limiting", dropped);

    va_list args;
    va_start(args, fmt);
    log_line_va(level, file, line, fmt, args);
    va_end(args);
}
