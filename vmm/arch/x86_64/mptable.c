/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MP floating pointer and configuration table (Intel MultiProcessor Specification 1.4; devices.md
 * 7), read by a guest that boots with acpi=off: its processors, the IOAPIC and one ISA interrupt
 * for each of its 24 lines, edge-triggered and active-high, so that command-line virtio-mmio
 * devices find theirs. Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/arch.h"

#include <assert.h>
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "base/le.h"
#include "vmm/arch/x86_64/table_int.h"

#define MP_SPEC_REV 4u
#define MP_UNITS_16 1u /* length of the floating pointer */

enum mp_entry_type { MP_PROCESSOR, MP_BUS, MP_IOAPIC, MP_INTERRUPT, MP_LOCAL_INTERRUPT };
enum mp_interrupt { MP_INT_VECTORED, MP_INT_NMI, MP_INT_SMI, MP_INT_EXTINT };

#define MP_APIC_VERSION 0x14u
#define MP_CPU_ENABLED 1u
#define MP_CPU_BOOTSTRAP 2u
#define MP_CPU_SIGNATURE 0x600u /* family 6; the guest takes the truth from CPUID */
#define MP_CPU_FEATURES 0x201u  /* FPU and APIC on the chip */
#define MP_IOAPIC_ENABLED 1u
#define MP_BUS_ISA_ID 0u
#define MP_APIC_ALL 0xffu
#define MP_LINES 24u
static_assert(MP_LINES == LAYOUT_GSI_LAST + 1, "one entry a line");

struct mp_pointer {
    uint8_t signature[4];
    le32_t table;
    uint8_t length_16;
    uint8_t spec_rev;
    uint8_t checksum;
    uint8_t features[5];
};
static_assert(sizeof(struct mp_pointer) == 16, "MP 1.4, table 4-1");

struct mp_header {
    uint8_t signature[4];
    le16_t length;
    uint8_t spec_rev;
    uint8_t checksum;
    uint8_t oem[8];
    uint8_t product[12];
    le32_t oem_table;
    le16_t oem_table_size;
    le16_t entries_count;
    le32_t lapic;
    le16_t extended_length;
    uint8_t extended_checksum;
    uint8_t reserved;
};
static_assert(sizeof(struct mp_header) == 44, "MP 1.4, table 4-2");

struct mp_processor {
    uint8_t type;
    uint8_t apic_id;
    uint8_t apic_version;
    uint8_t flags;
    le32_t signature;
    le32_t features;
    uint8_t reserved[8];
};
static_assert(sizeof(struct mp_processor) == 20, "MP 1.4, table 4-4");

struct mp_bus {
    uint8_t type;
    uint8_t id;
    uint8_t name[6];
};
static_assert(sizeof(struct mp_bus) == 8, "MP 1.4, table 4-8");

struct mp_ioapic {
    uint8_t type;
    uint8_t id;
    uint8_t version;
    uint8_t flags;
    le32_t addr;
};
static_assert(sizeof(struct mp_ioapic) == 8, "MP 1.4, table 4-9");

/* I/O and local interrupts. flags 0: polarity and trigger of the bus; for ISA high and edge. */
struct mp_interrupt_entry {
    uint8_t type;
    uint8_t kind;
    le16_t flags;
    uint8_t bus;
    uint8_t bus_irq;
    uint8_t apic_id;
    uint8_t pin;
};
static_assert(sizeof(struct mp_interrupt_entry) == 8, "MP 1.4, tables 4-10 and 4-11");

#define MP_TABLE_MAX_SIZE                                                                          \
    (sizeof(struct mp_pointer) + sizeof(struct mp_header) +                                        \
     CFG_VCPUS_MAX * sizeof(struct mp_processor) + sizeof(struct mp_bus) +                         \
     sizeof(struct mp_ioapic) + (MP_LINES + 2) * sizeof(struct mp_interrupt_entry))
/* Linux looks for the pointer in the last KiB of base memory. */
static_assert(MP_TABLE_MAX_SIZE <= 1024, "pointer and table stay in the KiB behind low RAM");

/* The table being built; `used` can never pass the end, by MP_TABLE_MAX_SIZE. */
struct mp_writer {
    uint8_t bytes[MP_TABLE_MAX_SIZE];
    size_t used;
    uint16_t entries_count;
};

static void push(struct mp_writer *writer, const void *entry, size_t len)
{
    assert(len <= sizeof(writer->bytes) - writer->used);
    memcpy(writer->bytes + writer->used, entry, len);
    writer->used += len;
    writer->entries_count++;
}

static void push_chips(struct mp_writer *writer, uint32_t vcpus_count, uint8_t ioapic_id)
{
    for (uint32_t i = 0; i < vcpus_count; i++) {
        struct mp_processor cpu = {
            .type = MP_PROCESSOR,
            .apic_id = (uint8_t)i,
            .apic_version = MP_APIC_VERSION,
            .flags = MP_CPU_ENABLED | (i == 0 ? MP_CPU_BOOTSTRAP : 0),
            .signature = le32_put(MP_CPU_SIGNATURE),
            .features = le32_put(MP_CPU_FEATURES),
        };
        push(writer, &cpu, sizeof(cpu));
    }
    struct mp_bus bus = {
        .type = MP_BUS, .id = MP_BUS_ISA_ID, .name = {'I', 'S', 'A', ' ', ' ', ' '}};
    push(writer, &bus, sizeof(bus));
    struct mp_ioapic ioapic = {
        .type = MP_IOAPIC,
        .id = ioapic_id,
        .version = MP_APIC_VERSION,
        .flags = MP_IOAPIC_ENABLED,
        .addr = le32_put((uint32_t)LAYOUT_IOAPIC),
    };
    push(writer, &ioapic, sizeof(ioapic));
}

static void push_interrupts(struct mp_writer *writer, uint8_t ioapic_id)
{
    for (uint32_t line = 0; line < MP_LINES; line++) {
        struct mp_interrupt_entry entry = {
            .type = MP_INTERRUPT,
            .kind = MP_INT_VECTORED,
            .bus = MP_BUS_ISA_ID,
            .bus_irq = (uint8_t)line,
            .apic_id = ioapic_id,
            .pin = (uint8_t)line,
        };
        push(writer, &entry, sizeof(entry));
    }
    struct mp_interrupt_entry extint = {
        .type = MP_LOCAL_INTERRUPT, .kind = MP_INT_EXTINT, .apic_id = 0, .pin = 0};
    push(writer, &extint, sizeof(extint));
    struct mp_interrupt_entry nmi = {
        .type = MP_LOCAL_INTERRUPT, .kind = MP_INT_NMI, .apic_id = MP_APIC_ALL, .pin = 1};
    push(writer, &nmi, sizeof(nmi));
}

int arch_write_mptable(struct gmem *gmem, uint32_t vcpus_count, uint64_t *ret_end, struct err *err)
{
    if (vcpus_count == 0 || vcpus_count > CFG_VCPUS_MAX)
        return err_set(err, -EINVAL, "an MP table describes 1 to %u vCPUs, not %u", CFG_VCPUS_MAX,
                       vcpus_count);

    const size_t table_off = sizeof(struct mp_pointer);
    const uint8_t ioapic_id = (uint8_t)(vcpus_count + 1);
    struct mp_writer writer = {.used = table_off + sizeof(struct mp_header)};
    push_chips(&writer, vcpus_count, ioapic_id);
    push_interrupts(&writer, ioapic_id);

    struct mp_header header = {
        .signature = {'P', 'C', 'M', 'P'},
        .length = le16_put((uint16_t)(writer.used - table_off)),
        .spec_rev = MP_SPEC_REV,
        .oem = {'F', 'C', ' ', ' ', ' ', ' ', ' ', ' '},
        .product = {'0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0', '0'},
        .entries_count = le16_put(writer.entries_count),
        .lapic = le32_put((uint32_t)LAYOUT_LAPIC),
    };
    memcpy(writer.bytes + table_off, &header, sizeof(header));
    writer.bytes[table_off + offsetof(struct mp_header, checksum)] =
        arch_checksum(writer.bytes + table_off, writer.used - table_off);

    struct mp_pointer pointer = {
        .signature = {'_', 'M', 'P', '_'},
        .table = le32_put((uint32_t)(LAYOUT_SYSTEM_BASE + table_off)),
        .length_16 = MP_UNITS_16,
        .spec_rev = MP_SPEC_REV,
    };
    memcpy(writer.bytes, &pointer, sizeof(pointer));
    writer.bytes[offsetof(struct mp_pointer, checksum)] = arch_checksum(writer.bytes, table_off);

    int rc = gmem_write(gmem, gpa(LAYOUT_SYSTEM_BASE), writer.bytes, writer.used);
    if (rc < 0)
        return err_set(err, rc, "the MP table does not fit guest memory at 0x%llx",
                       LAYOUT_SYSTEM_BASE);
    *ret_end = LAYOUT_SYSTEM_BASE + writer.used;
    return 0;
}
