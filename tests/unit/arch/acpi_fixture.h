/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the ACPI tests share: a megabyte of guest memory and configurations small and large.
 */
#pragma once

#include <string.h>

#include "tests/unit/peek.h"
#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/acpi_int.h"
#include "vmm/arch/x86_64/layout.h"

#define TEST_TABLES_BASE 0x9fd20ull
#define TEST_SLEEP_CONTROL_PORT 0x600u
#define TEST_SLEEP_STATUS_PORT 0x601u
#define TEST_RESET_PORT 0x602u
#define TEST_RESET_VALUE 0x5au
#define TEST_S5_TYPE 5u

struct acpi_test {
    struct gmem *gmem;
    struct acpi_mmio_device devices[ACPI_MMIO_DEVICES_MAX];
    struct acpi_config config;
};

/* vCPUs and devices as asked; with_clone: VMGenID and VMClock at the top of the system area. */
static inline void acpi_test_init(struct acpi_test *test, uint32_t vcpus_count,
                                  uint32_t devices_count, bool with_clone)
{
    *test = (struct acpi_test){.gmem = NULL};
    const struct gmem_range range = {gpa(0), 0x100000};
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &test->gmem, &err), 0);
    for (uint32_t i = 0; i < devices_count; i++) {
        test->devices[i].base = LAYOUT_VIRTIO_MMIO_BASE + i * LAYOUT_VIRTIO_MMIO_STEP;
        test->devices[i].gsi = LAYOUT_GSI_VIRTIO_FIRST + i;
    }
    test->config = (struct acpi_config){
        .vcpus_count = vcpus_count,
        .mmio_devices = test->devices,
        .mmio_devices_count = devices_count,
        .tables_base = TEST_TABLES_BASE,
        .com1_port = 0x3f8,
        .com1_ports_count = 8,
        .com1_gsi = 4,
        .ps2_data_port = 0x60,
        .ps2_command_port = 0x64,
        .ps2_gsi = 1,
        .sleep_control_port = TEST_SLEEP_CONTROL_PORT,
        .sleep_status_port = TEST_SLEEP_STATUS_PORT,
        .reset_port = TEST_RESET_PORT,
        .reset_value = TEST_RESET_VALUE,
        .s5_sleep_type = TEST_S5_TYPE,
    };
    if (with_clone) {
        test->config.vmgenid_base = LAYOUT_SYSTEM_END - 16;
        test->config.vmgenid_gsi = LAYOUT_GSI_VIRTIO_FIRST + devices_count;
        test->config.vmclock_base = LAYOUT_SYSTEM_END - 2 * GMEM_PAGE_SIZE;
        test->config.vmclock_gsi = LAYOUT_GSI_VIRTIO_FIRST + devices_count + 1;
    }
}

static inline void acpi_test_done(struct acpi_test *test)
{
    gmem_free(test->gmem);
    test->gmem = NULL;
}

static inline void acpi_test_write(struct acpi_test *test)
{
    uint64_t rsdp = 0;
    struct err err = ERR_INIT;
    int rc = acpi_write_tables(test->gmem, &test->config, &rsdp, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    assert_true(rsdp == LAYOUT_RSDP);
}

static inline void acpi_test_read(const struct acpi_test *test, uint64_t addr, void *dst,
                                  size_t len)
{
    assert_int_equal(unit_peek(test->gmem, gpa(addr), dst, len), 0);
}

static inline uint64_t acpi_test_u64(const struct acpi_test *test, uint64_t addr)
{
    le64_t value;
    acpi_test_read(test, addr, &value, sizeof(value));
    return le64_get(value);
}

static inline uint32_t acpi_test_u32(const struct acpi_test *test, uint64_t addr)
{
    le32_t value;
    acpi_test_read(test, addr, &value, sizeof(value));
    return le32_get(value);
}

static inline uint8_t acpi_test_u8(const struct acpi_test *test, uint64_t addr)
{
    uint8_t value;
    acpi_test_read(test, addr, &value, sizeof(value));
    return value;
}

/* Address of the table with this signature, found as an operating system finds it. */
static inline uint64_t acpi_test_find(const struct acpi_test *test, const char *signature)
{
    uint64_t xsdt = acpi_test_u64(test, LAYOUT_RSDP + 24);
    if (strcmp(signature, "XSDT") == 0)
        return xsdt;
    uint32_t tables_count = (acpi_test_u32(test, xsdt + 4) - 36) / 8;
    for (uint32_t i = 0; i < tables_count; i++) {
        uint64_t addr = acpi_test_u64(test, xsdt + 36 + 8 * i);
        char found[5] = {0};
        acpi_test_read(test, addr, found, 4);
        if (strcmp(signature, found) == 0)
            return addr;
        if (strcmp(signature, "DSDT") == 0 && strcmp(found, "FACP") == 0)
            return acpi_test_u64(test, addr + 140);
    }
    return 0;
}
