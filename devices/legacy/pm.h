/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI power-off and reset for a hardware-reduced FADT (deltas.md 7; ACPI 6.5, 4.8.3.7):
 * SLEEP_CONTROL, SLEEP_STATUS and RESET_REG at one port range. vCPU threads; no lock, no state
 * but the callback.
 */
#pragma once

#include "base/attr.h"
#include "vmm/bus/bus.h"

#define PM_PORT_BASE 0x600u
#define PM_PORT_SIZE 4u
#define PM_SLEEP_CONTROL_PORT (PM_PORT_BASE + 0u) /* bit 5 SLP_EN, bits 4:2 SLP_TYP */
#define PM_SLEEP_STATUS_PORT (PM_PORT_BASE + 1u)  /* bit 7 WAK_STS; reads 0 */
#define PM_RESET_PORT (PM_PORT_BASE + 2u)
#define PM_RESET_VALUE 0x01u
#define PM_S5_SLEEP_TYPE 5u

enum pm_event { PM_EVENT_POWER_OFF, PM_EVENT_RESET };

/* In the caller's storage. on_event: on the vCPU thread; must not block. */
struct pm {
    void (*on_event)(void *ctx, enum pm_event event);
    void *ctx;
};

/* Port handlers for the PIO bus; ctx is the struct pm. */
extern const struct bus_ops pm_bus_ops;
