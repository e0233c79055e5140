/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest-physical map of devices.md 8.1: constants only.
 */
#pragma once

#define LAYOUT_GDT 0x500ull
#define LAYOUT_IDT 0x520ull
#define LAYOUT_SETUP_DATA 0x3000ull /* struct setup_data with the RNG seed */
#define LAYOUT_PVH_START_INFO 0x6000ull
#define LAYOUT_PVH_MODULES 0x6040ull
#define LAYOUT_ZERO_PAGE 0x7000ull /* or the PVH memory map */
#define LAYOUT_BOOT_STACK 0x8ff0ull
#define LAYOUT_PML4 0x9000ull
#define LAYOUT_PDPT 0xa000ull
#define LAYOUT_PD 0xb000ull
#define LAYOUT_CMDLINE 0x20000ull

#define LAYOUT_LOW_RAM_END 0x9fc00ull
#define LAYOUT_SYSTEM_BASE                                                                         \
    0x9fc00ull /* MP table, then ACPI tables; VMGenID and VMClock from the top */
#define LAYOUT_SYSTEM_END 0xe0000ull
#define LAYOUT_RSDP 0xe0000ull
#define LAYOUT_HIMEM 0x100000ull

#define LAYOUT_MMIO_GAP_BASE 0xC0000000ull /* RAM below ends here, boot timer window begins */
#define LAYOUT_VIRTIO_MMIO_BASE 0xC0001000ull
#define LAYOUT_VIRTIO_MMIO_STEP 0x1000ull
#define LAYOUT_ECAM_BASE 0xEEC00000ull
#define LAYOUT_ECAM_END 0xFEC00000ull
#define LAYOUT_IOAPIC 0xFEC00000ull
#define LAYOUT_LAPIC 0xFEE00000ull
#define LAYOUT_MMIO_GAP_END 0x100000000ull
#define LAYOUT_GAP64_BASE 0x4000000000ull /* 256 GiB */
#define LAYOUT_GAP64_END 0x8000000000ull  /* 512 GiB */

#define LAYOUT_GSI_VIRTIO_FIRST 5u
#define LAYOUT_GSI_LAST 23u
/* Lines left for virtio when VMGenID and VMClock take two (devices.md 2). */
#define LAYOUT_VIRTIO_DEVICES_MAX 17u
