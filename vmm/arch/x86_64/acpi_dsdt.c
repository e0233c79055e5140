/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The DSDT's body (devices.md 7, deltas.md 7): virtio-mmio devices in attach order, VMGenID,
 * VMClock and their event device, COM1, the PS/2 controller and \_S5. Interrupts use extended
 * descriptors: Linux takes trigger and polarity from those as they are, while it may override
 * legacy IRQ descriptors. Thread: vmm, before the guest runs.
 */
#include <assert.h>
#include <stdio.h>

#include "vmm/arch/x86_64/acpi_int.h"
#include "vmm/arch/x86_64/layout.h"
#include "vmm/mem/gmem.h"

#define NOTIFY_CHANGED 0x80u
#define STATUS_PRESENT 0xfu /* present, enabled, shown, working */

static uint32_t begin_device(struct acpi_aml *aml, const char *name)
{
    uint32_t mark = acpi_aml_begin(aml, ACPI_AML_DEVICE);
    acpi_aml_put_path(aml, name);
    return mark;
}

static uint32_t begin_crs(struct acpi_aml *aml)
{
    acpi_aml_put_name(aml, "_CRS");
    return acpi_aml_begin_resources(aml);
}

static void put_virtio(struct acpi_aml *aml, const struct acpi_mmio_device *device)
{
    assert(device->gsi >= LAYOUT_GSI_VIRTIO_FIRST && device->base <= UINT32_MAX);
    uint32_t number = device->gsi - LAYOUT_GSI_VIRTIO_FIRST;
    char name[8];
    (void)snprintf(name, sizeof(name), "V%03u", number % 1000);

    uint32_t mark = begin_device(aml, name);
    acpi_aml_put_name_string(aml, "_HID", "LNRO0005");
    acpi_aml_put_name_integer(aml, "_UID", number);
    acpi_aml_put_name_integer(aml, "_CCA", 1);
    uint32_t crs = begin_crs(aml);
    acpi_aml_put_memory32(aml, (uint32_t)device->base, GMEM_PAGE_SIZE);
    acpi_aml_put_interrupt(aml, device->gsi);
    acpi_aml_end_resources(aml, crs);
    acpi_aml_end(aml, mark);
}

static void put_vmgenid(struct acpi_aml *aml, uint64_t base)
{
    uint32_t mark = begin_device(aml, "VGEN");
    acpi_aml_put_name_string(aml, "_HID", "VMGENCTR");
    acpi_aml_put_name_string(aml, "_CID", "VM_Gen_Counter");
    acpi_aml_put_name_string(aml, "_DDN", "VM_Gen_Counter");
    acpi_aml_put_name(aml, "ADDR");
    uint32_t package = acpi_aml_begin(aml, ACPI_AML_PACKAGE);
    acpi_aml_put_byte(aml, 2); /* elements */
    acpi_aml_put_integer(aml, (uint32_t)base);
    acpi_aml_put_integer(aml, base >> 32);
    acpi_aml_end(aml, package);
    acpi_aml_end(aml, mark);
}

static void put_vmclock(struct acpi_aml *aml, uint64_t base)
{
    uint32_t mark = begin_device(aml, "VCLK");
    acpi_aml_put_name_string(aml, "_HID", "AMZNC10C");
    acpi_aml_put_name_string(aml, "_CID", "VMCLOCK");
    acpi_aml_put_name_string(aml, "_DDN", "VMCLOCK");
    acpi_aml_put_name_integer(aml, "_STA", STATUS_PRESENT);
    uint32_t crs = begin_crs(aml);
    acpi_aml_put_memory64_readonly(aml, base, GMEM_PAGE_SIZE);
    acpi_aml_end_resources(aml, crs);
    acpi_aml_end(aml, mark);
}

/* If (Arg0 == gsi) { Notify (path, 0x80) } */
static void put_notify(struct acpi_aml *aml, uint32_t gsi, const char *path)
{
    uint32_t mark = acpi_aml_begin(aml, ACPI_AML_IF);
    acpi_aml_put_byte(aml, ACPI_AML_EQUAL_OP);
    acpi_aml_put_byte(aml, ACPI_AML_ARG0_OP);
    acpi_aml_put_integer(aml, gsi);
    acpi_aml_put_byte(aml, ACPI_AML_NOTIFY_OP);
    acpi_aml_put_path(aml, path);
    acpi_aml_put_integer(aml, NOTIFY_CHANGED);
    acpi_aml_end(aml, mark);
}

/* The Generic Event Device (ACPI 6.5, 5.6.9). */
static void put_events(struct acpi_aml *aml, const struct acpi_config *config)
{
    uint32_t mark = begin_device(aml, "GED_");
    acpi_aml_put_name_string(aml, "_HID", "ACPI0013");
    acpi_aml_put_name_integer(aml, "_UID", 0);
    uint32_t crs = begin_crs(aml);
    if (config->vmgenid_base != 0)
        acpi_aml_put_interrupt(aml, config->vmgenid_gsi);
    if (config->vmclock_base != 0)
        acpi_aml_put_interrupt(aml, config->vmclock_gsi);
    acpi_aml_end_resources(aml, crs);

    uint32_t method = acpi_aml_begin(aml, ACPI_AML_METHOD);
    acpi_aml_put_path(aml, "_EVT");
    acpi_aml_put_byte(aml, ACPI_AML_METHOD_SERIALIZED | 1); /* one argument */
    if (config->vmgenid_base != 0)
        put_notify(aml, config->vmgenid_gsi, "\\_SB_.VGEN");
    if (config->vmclock_base != 0)
        put_notify(aml, config->vmclock_gsi, "\\_SB_.VCLK");
    acpi_aml_end(aml, method);
    acpi_aml_end(aml, mark);
}

static void put_com1(struct acpi_aml *aml, const struct acpi_config *config)
{
    uint32_t mark = begin_device(aml, "COM1");
    acpi_aml_put_name(aml, "_HID");
    acpi_aml_put_eisa_id(aml, "PNP0501");
    acpi_aml_put_name_integer(aml, "_UID", 0);
    acpi_aml_put_name_string(aml, "_DDN", "COM1");
    uint32_t crs = begin_crs(aml);
    acpi_aml_put_interrupt(aml, config->com1_gsi);
    acpi_aml_put_io(aml, config->com1_port, config->com1_ports_count);
    acpi_aml_end_resources(aml, crs);
    acpi_aml_end(aml, mark);
}

static void put_ps2(struct acpi_aml *aml, const struct acpi_config *config)
{
    uint32_t mark = begin_device(aml, "PS2_");
    acpi_aml_put_name(aml, "_HID");
    acpi_aml_put_eisa_id(aml, "PNP0303");
    uint32_t crs = begin_crs(aml);
    acpi_aml_put_io(aml, config->ps2_data_port, 1); /* Linux wants the data port first */
    acpi_aml_put_io(aml, config->ps2_command_port, 1);
    acpi_aml_put_interrupt(aml, config->ps2_gsi);
    acpi_aml_end_resources(aml, crs);
    acpi_aml_end(aml, mark);
}

/* \_S5: the sleep type that SLEEP_CONTROL takes for power-off (ACPI 6.5, 7.4.2). */
static void put_s5(struct acpi_aml *aml, uint8_t sleep_type)
{
    acpi_aml_put_name(aml, "\\_S5_");
    uint32_t mark = acpi_aml_begin(aml, ACPI_AML_PACKAGE);
    acpi_aml_put_byte(aml, 4); /* elements: type a, type b, two reserved */
    acpi_aml_put_integer(aml, sleep_type);
    for (uint32_t i = 0; i < 3; i++)
        acpi_aml_put_integer(aml, 0);
    acpi_aml_end(aml, mark);
}

void acpi_put_dsdt(struct acpi_aml *aml, const struct acpi_config *config)
{
    uint32_t scope = acpi_aml_begin(aml, ACPI_AML_SCOPE);
    acpi_aml_put_path(aml, "\\_SB_");
    for (uint32_t i = 0; i < config->mmio_devices_count; i++)
        put_virtio(aml, &config->mmio_devices[i]);
    if (config->vmgenid_base != 0)
        put_vmgenid(aml, config->vmgenid_base);
    if (config->vmclock_base != 0)
        put_vmclock(aml, config->vmclock_base);
    if (config->vmgenid_base != 0 || config->vmclock_base != 0)
        put_events(aml, config);
    put_com1(aml, config);
    put_ps2(aml, config);
    acpi_aml_end(aml, scope);
    put_s5(aml, config->s5_sleep_type);
}
