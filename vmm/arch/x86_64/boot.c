/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a kernel finds in memory at its first instruction: command line, memory map, zero page with
 * setup_data (Linux 64-bit boot protocol) or start info (PVH), GDT and identity page tables
 * (devices.md 8.1, 8.2). Thread: vmm, before the guest runs.
 *
 * PVH has no setup_data: Linux makes its own boot parameters there, so an RNG seed reaches the
 * guest only by the 64-bit protocol. The RSDP's address is handed over by both; without it the
 * guest would scan 128 KiB for it.
 */
#include "vmm/arch/x86_64/arch.h"

#include <errno.h>
#include <string.h>

#include "base/ck.h"
#include "vmm/arch/x86_64/boot_int.h"
#include "vmm/arch/x86_64/load_int.h"

#define BOOT_RANGES_MAX (3u + GMEM_REGIONS_MAX)
static_assert(BOOT_RANGES_MAX <= BOOT_E820_ENTRIES_MAX, "the memory map fits the zero page");

#define PAGE_TABLE_ENTRIES 512u
#define PAGE_PRESENT_WRITE 0x3u
#define PAGE_SIZE_2M 0x80u
#define GIB (1024ull * ARCH_MIB)
#define IDENTITY_GIB_MAX (LAYOUT_MMIO_GAP_BASE / (1024ull * 1024 * 1024))
static_assert(LAYOUT_PD + IDENTITY_GIB_MAX * ARCH_PAGE_SIZE <= LAYOUT_CMDLINE,
              "page directories fit");

/* Flat 4 GiB segments; see Intel SDM volume 3, 3.4.5. */
#define GDT_CODE64 0x00af9b000000ffffull
#define GDT_CODE32 0x00cf9b000000ffffull
#define GDT_DATA 0x00cf93000000ffffull

struct boot_range {
    uint64_t base;
    uint64_t size;
    uint32_t type;
};

/* Every write lands in the first MiB, which every guest has; a failure is named all the same. */
static int put(struct gmem *gmem, uint64_t addr, const void *src, size_t len, const char *what,
               struct err *err)
{
    int rc = gmem_write(gmem, gpa(addr), src, len);
    if (rc < 0)
        return err_set(err, rc, "the %s does not fit guest memory at 0x%llx", what,
                       (unsigned long long)addr);
    return 0;
}

/* The memory map in the order of devices.md 8.1. Returns the number of entries. */
static uint32_t list_ranges(const struct gmem *gmem, struct boot_range ranges[BOOT_RANGES_MAX])
{
    uint32_t count = 0;
    ranges[count++] = (struct boot_range){0, LAYOUT_LOW_RAM_END, BOOT_E820_RAM};
    ranges[count++] = (struct boot_range){
        LAYOUT_SYSTEM_BASE, LAYOUT_SYSTEM_END - LAYOUT_SYSTEM_BASE, BOOT_E820_RESERVED};
    ranges[count++] = (struct boot_range){LAYOUT_ECAM_BASE, LAYOUT_ECAM_END - LAYOUT_ECAM_BASE,
                                          BOOT_E820_RESERVED};
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        struct gmem_region_view region = gmem_region_at(gmem, i);
        uint64_t base = region.base.v < LAYOUT_HIMEM ? LAYOUT_HIMEM : region.base.v;
        uint64_t end = region.base.v + region.size;
        if (end > base)
            ranges[count++] = (struct boot_range){base, end - base, BOOT_E820_RAM};
    }
    return count;
}

static int write_rng_seed(struct gmem *gmem, const uint8_t *seed, struct err *err)
{
    struct boot_rng_seed data = {
        .type = le32_put(BOOT_SETUP_RNG_SEED),
        .len = le32_put(ARCH_RNG_SEED_SIZE),
    };
    memcpy(data.seed, seed, sizeof(data.seed));
    int rc = put(gmem, LAYOUT_SETUP_DATA, &data, sizeof(data), "RNG seed", err);
    explicit_bzero(&data, sizeof(data));
    return rc;
}

/* The setup header of the zero page: the file's for a bzImage, made up for an ELF. */
static int fill_setup_header(struct boot_setup_header *header, const struct arch_boot *boot,
                             struct err *err)
{
    const struct arch_kernel *kernel = boot->kernel;
    if (kernel->is_bzimage) {
        memcpy(header, kernel->setup_header, sizeof(*header));
        uint32_t room = le32_get(header->cmdline_size);
        if (boot->cmdline->len > room)
            return err_set(err, -E2BIG,
                           "the kernel command line has %u bytes, this kernel takes at most %u",
                           boot->cmdline->len, room);
    } else {
        header->boot_flag = le16_put(BOOT_FLAG);
        header->header = le32_put(BOOT_HEADER_MAGIC);
        header->version = le16_put(BOOT_VERSION_OURS);
        header->loadflags = BOOT_LOADED_HIGH;
        header->kernel_alignment = le32_put(BOOT_KERNEL_ALIGNMENT_ELF);
        header->cmdline_size = le32_put(boot->cmdline->len);
    }
    header->type_of_loader = BOOT_LOADER_UNDEFINED;
    header->cmd_line_ptr = le32_put((uint32_t)LAYOUT_CMDLINE);
    header->setup_data = le64_put(boot->rng_seed ? LAYOUT_SETUP_DATA : 0);

    /* The loader keeps an initrd below 3 GiB. */
    uint32_t initrd_base = 0;
    uint32_t initrd_size = 0;
    if (boot->initrd && (!ck_narrow(boot->initrd->base, &initrd_base) ||
                         !ck_narrow(boot->initrd->size, &initrd_size)))
        return err_set(err, -EINVAL, "the initrd lies above 4 GiB");
    header->ramdisk_image = le32_put(initrd_base);
    header->ramdisk_size = le32_put(initrd_size);
    return 0;
}

static int write_zero_page(struct gmem *gmem, const struct arch_boot *boot, struct err *err)
{
    struct boot_zero_page page = {.acpi_rsdp_addr = le64_put(boot->rsdp)};
    int rc = fill_setup_header(&page.header, boot, err);
    if (rc < 0)
        return rc;

    struct boot_range ranges[BOOT_RANGES_MAX];
    uint32_t count = list_ranges(gmem, ranges);
    page.e820_entries = (uint8_t)count;
    for (uint32_t i = 0; i < count; i++) {
        page.e820[i].addr = le64_put(ranges[i].base);
        page.e820[i].size = le64_put(ranges[i].size);
        page.e820[i].type = le32_put(ranges[i].type);
    }
    return put(gmem, LAYOUT_ZERO_PAGE, &page, sizeof(page), "zero page", err);
}

/* One PD page of 2 MiB entries for each GiB that the kernel uses before it has its own tables. */
static int write_page_tables(struct gmem *gmem, uint64_t kernel_end, struct err *err)
{
    uint64_t gib_count = (kernel_end + GIB - 1) / GIB;
    if (gib_count == 0)
        gib_count = 1;
    if (gib_count > IDENTITY_GIB_MAX)
        return err_set(err, -EINVAL, "the kernel ends at 0x%llx, above 3 GiB",
                       (unsigned long long)kernel_end);

    le64_t pml4 = le64_put(LAYOUT_PDPT | PAGE_PRESENT_WRITE);
    le64_t pdpt[IDENTITY_GIB_MAX];
    for (uint64_t i = 0; i < gib_count; i++)
        pdpt[i] = le64_put((LAYOUT_PD + i * ARCH_PAGE_SIZE) | PAGE_PRESENT_WRITE);
    int rc = put(gmem, LAYOUT_PML4, &pml4, sizeof(pml4), "page table", err);
    if (rc == 0)
        rc = put(gmem, LAYOUT_PDPT, pdpt, gib_count * sizeof(pdpt[0]), "page table", err);

    for (uint64_t i = 0; rc == 0 && i < gib_count; i++) {
        le64_t pd[PAGE_TABLE_ENTRIES];
        for (uint64_t j = 0; j < PAGE_TABLE_ENTRIES; j++)
            pd[j] = le64_put((i * GIB + j * 2 * ARCH_MIB) | PAGE_SIZE_2M | PAGE_PRESENT_WRITE);
        rc = put(gmem, LAYOUT_PD + i * ARCH_PAGE_SIZE, pd, sizeof(pd), "page table", err);
    }
    return rc;
}

/* The IDT stays one zero entry, as fresh memory is: an early exception ends in a triple fault. */
static int write_gdt(struct gmem *gmem, bool is_64bit, struct err *err)
{
    le64_t gdt[BOOT_GDT_ENTRIES] = {
        [BOOT_SELECTOR_CODE / 8] = le64_put(is_64bit ? GDT_CODE64 : GDT_CODE32),
        [BOOT_SELECTOR_DATA / 8] = le64_put(GDT_DATA),
    };
    return put(gmem, LAYOUT_GDT, gdt, sizeof(gdt), "GDT", err);
}

static int write_linux64(struct gmem *gmem, const struct arch_boot *boot, struct err *err)
{
    int rc = write_zero_page(gmem, boot, err);
    if (rc == 0 && boot->rng_seed)
        rc = write_rng_seed(gmem, boot->rng_seed, err);
    if (rc == 0)
        rc = write_page_tables(gmem, boot->kernel->end, err);
    return rc;
}

static int write_pvh(struct gmem *gmem, const struct arch_boot *boot, struct err *err)
{
    struct boot_range ranges[BOOT_RANGES_MAX];
    struct boot_pvh_memmap_entry memmap[BOOT_RANGES_MAX] = {0};
    uint32_t count = list_ranges(gmem, ranges);
    for (uint32_t i = 0; i < count; i++) {
        memmap[i].addr = le64_put(ranges[i].base);
        memmap[i].size = le64_put(ranges[i].size);
        memmap[i].type = le32_put(ranges[i].type);
    }
    int rc = put(gmem, LAYOUT_ZERO_PAGE, memmap, count * sizeof(memmap[0]), "memory map", err);
    if (rc < 0)
        return rc;

    struct boot_pvh_start_info info = {
        .magic = le32_put(BOOT_PVH_MAGIC),
        .version = le32_put(BOOT_PVH_VERSION),
        .cmdline_paddr = le64_put(LAYOUT_CMDLINE),
        .rsdp_paddr = le64_put(boot->rsdp),
        .memmap_paddr = le64_put(LAYOUT_ZERO_PAGE),
        .memmap_entries = le32_put(count),
    };
    if (boot->initrd && boot->initrd->size > 0) {
        struct boot_pvh_module module = {
            .paddr = le64_put(boot->initrd->base),
            .size = le64_put(boot->initrd->size),
        };
        info.nr_modules = le32_put(1);
        info.modlist_paddr = le64_put(LAYOUT_PVH_MODULES);
        rc = put(gmem, LAYOUT_PVH_MODULES, &module, sizeof(module), "module list", err);
        if (rc < 0)
            return rc;
    }
    return put(gmem, LAYOUT_PVH_START_INFO, &info, sizeof(info), "start info", err);
}

int arch_write_boot(struct gmem *gmem, const struct arch_boot *boot, struct err *err)
{
    int rc = put(gmem, LAYOUT_CMDLINE, boot->cmdline->text, boot->cmdline->len + 1u, "command line",
                 err);
    if (rc < 0)
        return rc;

    switch (boot->kernel->protocol) {
    case ARCH_PROTOCOL_LINUX64:
        rc = write_linux64(gmem, boot, err);
        break;
    case ARCH_PROTOCOL_PVH:
        rc = write_pvh(gmem, boot, err);
        break;
    }
    if (rc < 0)
        return rc;
    return write_gdt(gmem, boot->kernel->protocol == ARCH_PROTOCOL_LINUX64, err);
}
