/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot timer (cli.md G): a guest's one-byte write of 123 at offset 0 logs how long the boot
 * took. vCPU threads; the lines are limited, as all that a guest can cause.
 */
#pragma once

#include <stdint.h>

#include "base/clock.h"
#include "vmm/bus/bus.h"

#define BOOT_TIMER_BASE 0xC0000000u
#define BOOT_TIMER_SIZE 0x1000u
#define BOOT_TIMER_VALUE 123u

/* All 0 until the start of the VM sets it; in the caller's storage. */
struct boot_timer {
    const struct clock *clock; /* borrowed; what start_ns was read from */
    uint64_t start_ns;
    uint64_t start_cpu_ns; /* process CPU time */
};

/* MMIO handlers; ctx is the struct boot_timer. */
extern const struct bus_ops boot_timer_bus_ops;
