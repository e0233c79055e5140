/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables of the guest (devices.md 7, deltas.md 7; ACPI 6.5): RSDP, XSDT, hardware-reduced
 * FADT, MADT, MCFG and a DSDT with the virtio-mmio devices, COM1, the PS/2 controller and \_S5.
 * Pure bytes into guest memory. Thread: vmm, before the guest runs.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/mem/gmem.h"

struct acpi_mmio_device {
    uint64_t base; /* window, 4 KiB */
    uint32_t gsi;
};

#define ACPI_MMIO_DEVICES_MAX 32u

/* Addresses and lines of devices come from the caller: arch may not include devices. */
struct acpi_config {
    uint32_t vcpus_count;
    const struct acpi_mmio_device *mmio_devices; /* attach order */
    uint32_t mmio_devices_count;
    uint64_t tables_base; /* first free byte of the system area */
    uint16_t com1_port;
    uint8_t com1_ports_count;
    uint32_t com1_gsi;
    uint16_t ps2_data_port;
    uint16_t ps2_command_port;
    uint32_t ps2_gsi;
    uint16_t sleep_control_port;
    uint16_t sleep_status_port;
    uint16_t reset_port;
    uint8_t reset_value;
    uint8_t s5_sleep_type;
    uint64_t vmgenid_base; /* 0: no device (and then no GED) */
    uint32_t vmgenid_gsi;
    uint64_t vmclock_base; /* 0: no device */
    uint32_t vmclock_gsi;
};

/* Writes all tables; ret_rsdp: LAYOUT_RSDP. Returns 0 or -ENOSPC (system area full) or -EFAULT. */
MUST_CHECK int acpi_write_tables(struct gmem *gmem, const struct acpi_config *config,
                                 uint64_t *ret_rsdp, struct err *err);
