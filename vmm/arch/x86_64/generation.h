/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a guest learns that it is another VM than before: VMGenID, 16 bytes that its kernel mixes
 * into its random numbers, and VMClock, a page of counters (devices.md 7, snapshot.md 7). ACPI says
 * where they are (acpi.h). Thread: vmm, while no vCPU runs.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/mem/gmem.h"

#define ARCH_VMGENID_SIZE 16u
/* At the top of the system area. */
#define ARCH_VMGENID_BASE (LAYOUT_SYSTEM_END - ARCH_VMGENID_SIZE)
/* The page below the one that VMGenID is in. */
#define ARCH_VMCLOCK_BASE (LAYOUT_SYSTEM_END - 2 * GMEM_PAGE_SIZE)

/* Where they are: a snapshot keeps it. */
struct arch_generation_place {
    uint64_t vmgenid_base;
    uint64_t vmclock_base;
};

/* Of a VM that boots: `id` at its place, and a VMClock whose counters are 0. Returns 0 or
 * -EFAULT. */
MUST_CHECK int arch_generation_write(struct gmem *gmem, const struct arch_generation_place *place,
                                     const uint8_t id[static ARCH_VMGENID_SIZE], struct err *err);

/* Of a VM that goes on from a snapshot: another id, and the counters one higher. Returns 0 or
 * -EFAULT. */
MUST_CHECK int arch_generation_next(struct gmem *gmem, const struct arch_generation_place *place,
                                    const uint8_t id[static ARCH_VMGENID_SIZE], struct err *err);
