/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Boot structures as the guest reads them: setup header and zero page (Linux boot protocol 2.15),
 * setup_data, PVH start info (Xen x86/HVM direct boot ABI, version 1), GDT selectors shared by
 * boot.c and regs.c. Layout only; all bytes little-endian.
 */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#include "base/le.h"
#include "vmm/arch/x86_64/arch.h"

#define BOOT_FLAG 0xaa55u
#define BOOT_HEADER_MAGIC 0x53726448u /* "HdrS" */
#define BOOT_VERSION_MIN 0x020cu      /* 2.12: xloadflags, 64-bit entry */
#define BOOT_VERSION_OURS 0x020fu     /* 2.15, of the header made up for an ELF */
#define BOOT_LOADER_UNDEFINED 0xffu
#define BOOT_LOADED_HIGH 0x01u
#define BOOT_XLF_KERNEL_64 0x0001u
#define BOOT_KERNEL_ALIGNMENT_ELF 0x1000000u

#define BOOT_SETUP_HEADER_OFF 0x1f1u /* in file and zero page */
#define BOOT_JUMP_OPERAND_OFF 0x201u /* header ends at 0x202 + this byte */
#define BOOT_JUMP_END_OFF 0x202u
#define BOOT_HEADER_2_12_END 0x268u /* first byte behind handover_offset */
#define BOOT_ENTRY64_OFF 0x200u     /* 64-bit entry, from the start of the loaded part */

struct boot_setup_header {
    uint8_t setup_sects; /* 0x1f1 */
    le16_t root_flags;
    le32_t syssize; /* 16-byte units */
    le16_t ram_size;
    le16_t vid_mode;
    le16_t root_dev;
    le16_t boot_flag; /* 0x1fe */
    uint8_t jump[2];
    le32_t header; /* 0x202 */
    le16_t version;
    le32_t realmode_swtch;
    le16_t start_sys_seg;
    le16_t kernel_version;
    uint8_t type_of_loader; /* 0x210 */
    uint8_t loadflags;
    le16_t setup_move_size;
    le32_t code32_start; /* 0x214 */
    le32_t ramdisk_image;
    le32_t ramdisk_size;
    le32_t bootsect_kludge;
    le16_t heap_end_ptr;
    uint8_t ext_loader_ver;
    uint8_t ext_loader_type;
    le32_t cmd_line_ptr;    /* 0x228 */
    le32_t initrd_addr_max; /* last byte an initrd may use */
    le32_t kernel_alignment;
    uint8_t relocatable_kernel; /* 0x234 */
    uint8_t min_alignment;
    le16_t xloadflags;
    le32_t cmdline_size; /* 0x238, without the NUL */
    le32_t hardware_subarch;
    le64_t hardware_subarch_data;
    le32_t payload_offset;
    le32_t payload_length;
    le64_t setup_data; /* 0x250 */
    le64_t pref_address;
    le32_t init_size; /* 0x260 */
    le32_t handover_offset;
    le32_t kernel_info_offset;
    uint8_t reserved[5];
} __attribute__((packed));

#define BOOT_HEADER_AT(member) (BOOT_SETUP_HEADER_OFF + offsetof(struct boot_setup_header, member))
static_assert(sizeof(struct boot_setup_header) == ARCH_SETUP_HEADER_SIZE, "whole header is kept");
static_assert(BOOT_HEADER_AT(header) == 0x202 && BOOT_HEADER_AT(code32_start) == 0x214 &&
                  BOOT_HEADER_AT(cmd_line_ptr) == 0x228 && BOOT_HEADER_AT(xloadflags) == 0x236 &&
                  BOOT_HEADER_AT(setup_data) == 0x250 && BOOT_HEADER_AT(init_size) == 0x260,
              "boot.rst offsets");

struct boot_e820_entry {
    le64_t addr;
    le64_t size;
    le32_t type;
} __attribute__((packed));
static_assert(sizeof(struct boot_e820_entry) == 20, "e820 entry");

#define BOOT_E820_RAM 1u
#define BOOT_E820_RESERVED 2u
#define BOOT_E820_ENTRIES_MAX 128u

struct boot_zero_page {
    uint8_t screen_and_apm[0x70];
    le64_t acpi_rsdp_addr; /* 0x070 */
    uint8_t reserved1[0x1e8 - 0x78];
    uint8_t e820_entries; /* 0x1e8 */
    uint8_t reserved2[0x1f1 - 0x1e9];
    struct boot_setup_header header; /* 0x1f1 */
    uint8_t reserved3[0x2d0 - 0x271];
    struct boot_e820_entry e820[BOOT_E820_ENTRIES_MAX]; /* 0x2d0 */
    uint8_t reserved4[0x1000 - 0xcd0];
} __attribute__((packed));
static_assert(sizeof(struct boot_zero_page) == 4096, "one page");
static_assert(offsetof(struct boot_zero_page, e820_entries) == 0x1e8 &&
                  offsetof(struct boot_zero_page, header) == BOOT_SETUP_HEADER_OFF &&
                  offsetof(struct boot_zero_page, e820) == 0x2d0,
              "zero-page.rst offsets");

#define BOOT_SETUP_RNG_SEED 9u
struct boot_rng_seed {
    le64_t next;
    le32_t type;
    le32_t len;
    uint8_t seed[ARCH_RNG_SEED_SIZE];
};
static_assert(offsetof(struct boot_rng_seed, seed) == 16, "struct setup_data");

#define BOOT_PVH_MAGIC 0x336ec578u
#define BOOT_PVH_VERSION 1u

struct boot_pvh_start_info {
    le32_t magic;
    le32_t version;
    le32_t flags;
    le32_t nr_modules;
    le64_t modlist_paddr;
    le64_t cmdline_paddr;
    le64_t rsdp_paddr;
    le64_t memmap_paddr;
    le32_t memmap_entries;
    le32_t reserved;
};
static_assert(sizeof(struct boot_pvh_start_info) == 56, "start_info version 1");
static_assert(LAYOUT_PVH_START_INFO + sizeof(struct boot_pvh_start_info) <= LAYOUT_PVH_MODULES,
              "modules lie behind");

struct boot_pvh_module {
    le64_t paddr;
    le64_t size;
    le64_t cmdline_paddr;
    le64_t reserved;
};
static_assert(sizeof(struct boot_pvh_module) == 32, "module list entry");

struct boot_pvh_memmap_entry {
    le64_t addr;
    le64_t size;
    le32_t type;
    le32_t reserved;
};
static_assert(sizeof(struct boot_pvh_memmap_entry) == 24, "memory map entry");

/* Selectors __BOOT_CS and __BOOT_DS of the boot protocol; the GDT has no entry behind them. */
#define BOOT_GDT_ENTRIES 4u
#define BOOT_SELECTOR_CODE 0x10u
#define BOOT_SELECTOR_DATA 0x18u
static_assert(LAYOUT_GDT + BOOT_GDT_ENTRIES * 8 <= LAYOUT_IDT, "IDT lies behind the GDT");
