/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The real clocks, straight from the vDSO. Any thread; no state.
 */
#include "base/clock.h"

#include <stddef.h>
#include <time.h>

static uint64_t read_clock_ns(clockid_t id)
{
    struct timespec ts = {0};

    /* Both ids exist on every Linux that has KVM: the call cannot fail. */
    (void)clock_gettime(id, &ts);
    return (uint64_t)ts.tv_sec * NS_PER_S + (uint64_t)ts.tv_nsec;
}

uint64_t clock_mono_ns(void)
{
    return read_clock_ns(CLOCK_MONOTONIC);
}

uint64_t clock_process_cpu_ns(void)
{
    return read_clock_ns(CLOCK_PROCESS_CPUTIME_ID);
}

static uint64_t real_now_ns(void *ctx)
{
    (void)ctx;
    uint64_t now_ns = clock_mono_ns();
    return now_ns ? now_ns : 1;
}

const struct clock *clock_real(void)
{
    static const struct clock real = {.now_ns = real_now_ns, .ctx = NULL};
    return &real;
}
