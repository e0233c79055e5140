/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI power-off and reset (deltas.md 7; ACPI 6.5, 4.8.3.6 and 4.8.3.7). vCPU threads; stateless.
 * A guest clears the wake status before it sleeps, so that write is expected and does nothing.
 */
#include "devices/legacy/pm.h"

#include <stdint.h>
#include <string.h>

#include "base/log.h"

#define OFF_SLEEP_CONTROL (PM_SLEEP_CONTROL_PORT - PM_PORT_BASE)
#define OFF_SLEEP_STATUS (PM_SLEEP_STATUS_PORT - PM_PORT_BASE)
#define OFF_RESET (PM_RESET_PORT - PM_PORT_BASE)

#define SLP_EN 0x20u
#define SLP_TYP_SHIFT 2u
#define SLP_TYP_MASK 0x07u
#define WAK_STS 0x80u

static void on_bus_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    (void)ctx;
    (void)off;
    memset(data, 0, len);
    if (len != 1)
        log_guest_warn("pm: ignored a %u-byte read; its registers are one byte wide", len);
}

static void on_bus_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    const struct pm *pm = ctx;
    if (len != 1) {
        log_guest_warn("pm: ignored a %u-byte write; its registers are one byte wide", len);
        return;
    }
    uint8_t value;
    memcpy(&value, data, 1);
    uint32_t sleep_type = (value >> SLP_TYP_SHIFT) & SLP_TYP_MASK;
    if (off == OFF_SLEEP_CONTROL && (value & SLP_EN) != 0 && sleep_type == PM_S5_SLEEP_TYPE) {
        pm->on_event(pm->ctx, PM_EVENT_POWER_OFF);
        return;
    }
    if (off == OFF_RESET && value == PM_RESET_VALUE) {
        pm->on_event(pm->ctx, PM_EVENT_RESET);
        return;
    }
    if (off == OFF_SLEEP_STATUS && value == WAK_STS)
        return;
    log_guest_warn("pm: ignored a write of 0x%02x to port 0x%03x; only S5 and reset exist", value,
                   (unsigned int)(PM_PORT_BASE + off));
}

const struct bus_ops pm_bus_ops = {
    .read = on_bus_read,
    .write = on_bus_write,
};
