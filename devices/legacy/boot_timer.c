/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot timer (cli.md G): one magic byte from the guest, one log line with the time since the
 * start of the VM. vCPU threads; reads its struct only. Anything else is ignored, as the reference
 * does.
 */
#include "devices/legacy/boot_timer.h"

#include <inttypes.h>
#include <string.h>

#include "base/log.h"
#include "base/metrics.h"

static void on_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    (void)ctx;
    (void)off;
    memset(data, 0, len);
}

static void on_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    const struct boot_timer *timer = ctx;
    uint8_t value;
    if (off != 0 || len != 1)
        return;
    memcpy(&value, data, 1);
    if (value != BOOT_TIMER_VALUE)
        return;
    metrics_phase_reached(METRICS_PHASE_BOOT_TIMER);
    uint64_t wall_us = (clock_now_ns(timer->clock) - timer->start_ns) / NS_PER_US;
    uint64_t cpu_us = (clock_process_cpu_ns() - timer->start_cpu_ns) / NS_PER_US;
    /* The guest can write as often as it likes: limited like every line that it can cause. */
    log_guest_info("Guest-boot-time = %6" PRIu64 " us %" PRIu64 " ms, %6" PRIu64 " CPU us %" PRIu64
                   " CPU ms",
                   wall_us, wall_us / 1000, cpu_us, cpu_us / 1000);
}

const struct bus_ops boot_timer_bus_ops = {
    .read = on_bus_read,
    .write = on_bus_write,
};
