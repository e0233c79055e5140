/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Time as a parameter: code that measures or waits takes a `struct clock`, so that tests bring
 * their own. Any thread; the real clock has no state.
 */
#pragma once

#include <stdint.h>
#include <time.h>

#define NS_PER_US 1000ull
#define NS_PER_MS 1000000ull
#define NS_PER_S 1000000000ull

struct clock {
    uint64_t (*now_ns)(void *ctx); /* monotonic nanoseconds, never 0 on the real clock */
    void *ctx;                     /* borrowed; outlives the clock's users */
};

/* Monotonic nanoseconds since boot of the host. */
uint64_t clock_mono_ns(void);

/* CPU time of this process in nanoseconds. */
uint64_t clock_process_cpu_ns(void);

/* The real monotonic clock; static storage. */
const struct clock *clock_real(void);

/* Now, on whichever clock. */
static inline uint64_t clock_now_ns(const struct clock *clock)
{
    return clock->now_ns(clock->ctx);
}

/* A moment of the monotonic clock as the C library takes it. */
static inline struct timespec clock_timespec(uint64_t ns)
{
    return (struct timespec){.tv_sec = (time_t)(ns / NS_PER_S), .tv_nsec = (long)(ns % NS_PER_S)};
}
