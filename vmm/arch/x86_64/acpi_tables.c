/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The fixed ACPI tables (ACPI 6.5, 5.2; devices.md 7) and their places in guest memory: ascending
 * from the first free byte of the system area, the RSDP at its fixed address. Thread: vmm, before
 * the guest runs.
 */
#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "base/ck.h"
#include "base/le.h"
#include "vmm/arch/x86_64/acpi.h"
#include "vmm/arch/x86_64/acpi_int.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/arch/x86_64/table_int.h"
#include "vmm/config/cfg.h"

#define TABLE_ALIGN 16u
#define CREATOR_REVISION 0x20240119u

#define DSDT_REVISION 2u /* 64-bit integers */
#define FADT_REVISION 6u
#define FADT_MINOR 5u
#define MADT_REVISION 6u
#define MCFG_REVISION 1u
#define XSDT_REVISION 1u
#define RSDP_REVISION 2u

/* Bytes the largest DSDT may have: 32 devices need about 2.5 KiB. */
#define DSDT_SIZE_MAX 8192u

#define GAS_SYSTEM_IO 1u
#define GAS_ACCESS_BYTE 1u

/* IAPC_BOOT_ARCH (5.2.9.3). No CMOS clock either: without the bit Linux probes its ports. */
#define BOOT_ARCH_NO_VGA (1u << 2)
#define BOOT_ARCH_NO_CMOS_RTC (1u << 5)

/* Fixed feature flags (table 5.10); a set button bit means that there is no fixed button. */
#define FADT_PWR_BUTTON (1u << 4)
#define FADT_SLP_BUTTON (1u << 5)
#define FADT_RESET_REG_SUP (1u << 10)
#define FADT_HW_REDUCED (1u << 20)

#define MADT_TYPE_LAPIC 0u
#define MADT_TYPE_IOAPIC 1u
#define MADT_LAPIC_ENABLED 1u

struct acpi_header {
    char signature[4];
    le32_t length;
    uint8_t revision;
    uint8_t checksum;
    char oem_id[6];
    char oem_table_id[8];
    le32_t oem_revision;
    char creator_id[4];
    le32_t creator_revision;
} __attribute__((packed));

struct acpi_gas {
    uint8_t space;
    uint8_t bits;
    uint8_t bit_off;
    uint8_t access;
    le64_t address;
} __attribute__((packed));

struct acpi_fadt {
    struct acpi_header header;
    le32_t firmware_ctrl;
    le32_t dsdt;
    uint8_t fixed_hardware
        [65]; /* reserved; PM blocks, latencies and alarms: none when hardware-reduced */
    le16_t iapc_boot_arch;
    uint8_t reserved;
    le32_t flags;
    struct acpi_gas reset_reg;
    uint8_t reset_value;
    le16_t arm_boot_arch;
    uint8_t minor;
    le64_t x_firmware_ctrl;
    le64_t x_dsdt;
    struct acpi_gas fixed_blocks[8];
    struct acpi_gas sleep_control_reg;
    struct acpi_gas sleep_status_reg;
    char hypervisor_vendor[8];
} __attribute__((packed));

struct acpi_madt_ioapic {
    uint8_t type;
    uint8_t length;
    uint8_t id;
    uint8_t reserved;
    le32_t address;
    le32_t gsi_base;
} __attribute__((packed));

struct acpi_madt_lapic {
    uint8_t type;
    uint8_t length;
    uint8_t processor_uid;
    uint8_t apic_id;
    le32_t flags;
} __attribute__((packed));

struct acpi_madt {
    struct acpi_header header;
    le32_t lapic_address;
    le32_t flags; /* bit 0, a PIC pair: not set */
    struct acpi_madt_ioapic ioapic;
    struct acpi_madt_lapic lapics[CFG_VCPUS_MAX];
} __attribute__((packed));

struct acpi_mcfg {
    struct acpi_header header;
    uint8_t reserved[8];
    le64_t base;
    le16_t segment;
    uint8_t bus_first;
    uint8_t bus_last;
    uint8_t reserved2[4];
} __attribute__((packed));

#define XSDT_TABLES 3u
struct acpi_xsdt {
    struct acpi_header header;
    le64_t tables[XSDT_TABLES];
} __attribute__((packed));

struct acpi_rsdp {
    char signature[8];
    uint8_t checksum; /* of the first RSDP_V1_SIZE bytes */
    char oem_id[6];
    uint8_t revision;
    le32_t rsdt;
    le32_t length;
    le64_t xsdt;
    uint8_t checksum_all;
    uint8_t reserved[3];
} __attribute__((packed));
#define RSDP_V1_SIZE 20u

static_assert(sizeof(struct acpi_header) == 36, "ACPI 6.5 table 5.4");
static_assert(sizeof(struct acpi_gas) == 12, "ACPI 6.5 table 5.1");
static_assert(sizeof(struct acpi_fadt) == 276, "ACPI 6.5 table 5.9");
static_assert(offsetof(struct acpi_fadt, iapc_boot_arch) == 109, "ACPI 6.5 table 5.9");
static_assert(offsetof(struct acpi_fadt, reset_reg) == 116, "ACPI 6.5 table 5.9");
static_assert(offsetof(struct acpi_fadt, x_dsdt) == 140, "ACPI 6.5 table 5.9");
static_assert(offsetof(struct acpi_fadt, sleep_control_reg) == 244, "ACPI 6.5 table 5.9");
static_assert(offsetof(struct acpi_fadt, hypervisor_vendor) == 268, "ACPI 6.5 table 5.9");
static_assert(sizeof(struct acpi_madt_ioapic) == 12, "ACPI 6.5 table 5.24");
static_assert(sizeof(struct acpi_madt_lapic) == 8, "ACPI 6.5 table 5.21");
static_assert(offsetof(struct acpi_madt, ioapic) == 44, "ACPI 6.5 table 5.19");
static_assert(sizeof(struct acpi_mcfg) == 60, "PCI firmware specification 3.3, table 4-3");
static_assert(sizeof(struct acpi_rsdp) == 36, "ACPI 6.5 table 5.3");
static_assert(CFG_VCPUS_MAX < 255, "APIC ids fit local APIC entries");

/* Where the next table goes. */
struct placer {
    struct gmem *gmem;
    uint64_t base;  /* first byte of the free range, for messages */
    uint64_t next;  /* first byte not used yet */
    uint64_t limit; /* first byte behind the free range */
};

static struct acpi_header make_header(const char signature[4], uint8_t revision,
                                      const char table_id[8])
{
    struct acpi_header header = {
        .revision = revision,
        .oem_id = {'F', 'I', 'R', 'E', 'C', 'K'},
        .creator_id = {'F', 'C', 'A', 'T'},
        .creator_revision = le32_put(CREATOR_REVISION),
    };
    memcpy(header.signature, signature, sizeof(header.signature));
    memcpy(header.oem_table_id, table_id, sizeof(header.oem_table_id));
    return header;
}

static struct acpi_gas make_port(uint16_t port)
{
    return (struct acpi_gas){GAS_SYSTEM_IO, 8, 0, GAS_ACCESS_BYTE, le64_put(port)};
}

/* Completes length and sum of a table (its header first, `size` bytes in all) and writes it. */
static int place_table(struct placer *placer, void *table, uint32_t size, uint64_t *ret_addr,
                       struct err *err)
{
    struct acpi_header *header = table;
    header->length = le32_put(size);
    header->checksum = 0;
    header->checksum = arch_checksum(table, size);

    uint64_t addr;
    if (!ck_align_up(placer->next, TABLE_ALIGN, &addr) || addr > placer->limit ||
        size > placer->limit - addr)
        return err_set(err, -ENOSPC,
                       "ACPI table %.4s (%u bytes) does not fit the system area 0x%" PRIx64
                       "-0x%" PRIx64 ", of which 0x%" PRIx64
                       " bytes are left (ENOSPC); use fewer devices or vCPUs",
                       header->signature, size, placer->base, placer->limit,
                       placer->limit > placer->next ? placer->limit - placer->next : 0);
    int rc = gmem_write(placer->gmem, gpa(addr), table, size);
    if (rc < 0)
        return err_set(err, rc,
                       "ACPI table %.4s cannot be written at guest address 0x%" PRIx64
                       ": no RAM there (%s); give the guest at least 1 MiB",
                       header->signature, addr, err_name(rc));
    placer->next = addr + size;
    *ret_addr = addr;
    return 0;
}

static int place_dsdt(struct placer *placer, const struct acpi_config *config, uint64_t *ret_addr,
                      struct err *err)
{
    struct {
        struct acpi_header header;
        uint8_t body[DSDT_SIZE_MAX];
    } __attribute__((packed)) dsdt;
    dsdt.header = make_header("DSDT", DSDT_REVISION, "FCVMDSDT");
    struct acpi_aml aml;
    acpi_aml_init(&aml, dsdt.body, sizeof(dsdt.body));
    acpi_put_dsdt(&aml, config);
    if (aml.full)
        return err_set(err, -ENOSPC,
                       "ACPI table DSDT with %u devices is larger than %u bytes (ENOSPC); use "
                       "fewer devices",
                       config->mmio_devices_count, DSDT_SIZE_MAX);
    return place_table(placer, &dsdt, (uint32_t)sizeof(dsdt.header) + aml.len, ret_addr, err);
}

static int place_fadt(struct placer *placer, const struct acpi_config *config, uint64_t dsdt,
                      uint64_t *ret_addr, struct err *err)
{
    struct acpi_fadt fadt = {
        .header = make_header("FACP", FADT_REVISION, "FCVMFADT"),
        .iapc_boot_arch = le16_put(BOOT_ARCH_NO_VGA | BOOT_ARCH_NO_CMOS_RTC),
        .flags = le32_put(FADT_HW_REDUCED | FADT_PWR_BUTTON | FADT_SLP_BUTTON | FADT_RESET_REG_SUP),
        .reset_reg = make_port(config->reset_port),
        .reset_value = config->reset_value,
        .minor = FADT_MINOR,
        .x_dsdt = le64_put(dsdt),
        .sleep_control_reg = make_port(config->sleep_control_port),
        .sleep_status_reg = make_port(config->sleep_status_port),
        .hypervisor_vendor = {'F', 'I', 'R', 'E', 'C', 'K', 'V', 'M'},
    };
    return place_table(placer, &fadt, sizeof(fadt), ret_addr, err);
}

static int place_madt(struct placer *placer, const struct acpi_config *config, uint64_t *ret_addr,
                      struct err *err)
{
    struct acpi_madt madt = {
        .header = make_header("APIC", MADT_REVISION, "FCVMMADT"),
        .lapic_address = le32_put((uint32_t)LAYOUT_LAPIC),
        .ioapic = {.type = MADT_TYPE_IOAPIC,
                   .length = sizeof(struct acpi_madt_ioapic),
                   .address = le32_put((uint32_t)LAYOUT_IOAPIC)},
    };
    for (uint32_t i = 0; i < config->vcpus_count; i++)
        madt.lapics[i] = (struct acpi_madt_lapic){
            .type = MADT_TYPE_LAPIC,
            .length = sizeof(struct acpi_madt_lapic),
            .processor_uid = (uint8_t)i,
            .apic_id = (uint8_t)i,
            .flags = le32_put(MADT_LAPIC_ENABLED),
        };
    uint32_t size = (uint32_t)(offsetof(struct acpi_madt, lapics) +
                               config->vcpus_count * sizeof(struct acpi_madt_lapic));
    return place_table(placer, &madt, size, ret_addr, err);
}

/* One bus, the root one; the guest is told pci=off as long as nothing answers there. */
static int place_mcfg(struct placer *placer, uint64_t *ret_addr, struct err *err)
{
    struct acpi_mcfg mcfg = {
        .header = make_header("MCFG", MCFG_REVISION, "FCMVMCFG"),
        .base = le64_put(LAYOUT_ECAM_BASE),
    };
    return place_table(placer, &mcfg, sizeof(mcfg), ret_addr, err);
}

static int write_rsdp(struct gmem *gmem, uint64_t xsdt, struct err *err)
{
    struct acpi_rsdp rsdp = {
        .signature = {'R', 'S', 'D', ' ', 'P', 'T', 'R', ' '},
        .oem_id = {'F', 'I', 'R', 'E', 'C', 'K'},
        .revision = RSDP_REVISION,
        .length = le32_put(sizeof(rsdp)),
        .xsdt = le64_put(xsdt),
    };
    rsdp.checksum = arch_checksum(&rsdp, RSDP_V1_SIZE);
    rsdp.checksum_all = arch_checksum(&rsdp, sizeof(rsdp));
    int rc = gmem_write(gmem, gpa(LAYOUT_RSDP), &rsdp, sizeof(rsdp));
    if (rc < 0)
        return err_set(err, rc,
                       "The ACPI RSDP cannot be written at guest address 0x%llx: no RAM there "
                       "(%s); give the guest at least 1 MiB",
                       LAYOUT_RSDP, err_name(rc));
    return 0;
}

/* End of what tables may use: VMGenID and VMClock sit at the top of the system area. */
static uint64_t find_limit(const struct acpi_config *config)
{
    uint64_t limit = LAYOUT_SYSTEM_END;
    if (config->vmgenid_base >= LAYOUT_SYSTEM_BASE && config->vmgenid_base < limit)
        limit = config->vmgenid_base;
    if (config->vmclock_base >= LAYOUT_SYSTEM_BASE && config->vmclock_base < limit)
        limit = config->vmclock_base;
    return limit;
}

int acpi_write_tables(struct gmem *gmem, const struct acpi_config *config, uint64_t *ret_rsdp,
                      struct err *err)
{
    assert(config->vcpus_count >= 1 && config->vcpus_count <= CFG_VCPUS_MAX);
    assert(config->mmio_devices_count <= ACPI_MMIO_DEVICES_MAX);

    struct placer placer = {
        .gmem = gmem,
        .base = config->tables_base,
        .next = config->tables_base,
        .limit = find_limit(config),
    };
    uint64_t dsdt;
    int rc = place_dsdt(&placer, config, &dsdt, err);
    if (rc < 0)
        return rc;
    uint64_t tables[XSDT_TABLES];
    rc = place_fadt(&placer, config, dsdt, &tables[0], err);
    if (rc < 0)
        return rc;
    rc = place_madt(&placer, config, &tables[1], err);
    if (rc < 0)
        return rc;
    rc = place_mcfg(&placer, &tables[2], err);
    if (rc < 0)
        return rc;

    struct acpi_xsdt xsdt = {.header = make_header("XSDT", XSDT_REVISION, "FCMVXSDT")};
    for (uint32_t i = 0; i < XSDT_TABLES; i++)
        xsdt.tables[i] = le64_put(tables[i]);
    uint64_t xsdt_addr;
    rc = place_table(&placer, &xsdt, sizeof(xsdt), &xsdt_addr, err);
    if (rc < 0)
        return rc;
    rc = write_rsdp(gmem, xsdt_addr, err);
    if (rc < 0)
        return rc;
    *ret_rsdp = LAYOUT_RSDP;
    return 0;
}
