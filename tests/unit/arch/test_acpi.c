/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI tables (devices.md 7, deltas.md 7): sums, places, fields, and the bytes of the AML encoder.
 * test_acpi_iasl.c lets a disassembler judge the whole. Single thread.
 */
#include <errno.h>
#include <stdio.h>

#include "tests/unit/arch/acpi_fixture.h"

static uint8_t sum_of(const struct acpi_test *test, uint64_t addr, uint32_t len)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + acpi_test_u8(test, addr + i));
    return sum;
}

static void assert_text(const struct acpi_test *test, uint64_t addr, const char *text)
{
    char bytes[32] = {0};
    acpi_test_read(test, addr, bytes, strlen(text));
    assert_string_equal(bytes, text);
}

static const char *const signatures[] = {"XSDT", "FACP", "APIC", "MCFG", "DSDT"};

static void test_acpi_write_tables__rsdp__revision_2_with_both_sums(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, false);
    acpi_test_write(&test);
    assert_text(&test, LAYOUT_RSDP, "RSD PTR ");
    assert_text(&test, LAYOUT_RSDP + 9, "FIRECK");
    assert_int_equal(acpi_test_u8(&test, LAYOUT_RSDP + 15), 2);
    assert_int_equal(acpi_test_u32(&test, LAYOUT_RSDP + 16), 0);
    assert_int_equal(acpi_test_u32(&test, LAYOUT_RSDP + 20), 36);
    assert_int_equal(sum_of(&test, LAYOUT_RSDP, 20), 0);
    assert_int_equal(sum_of(&test, LAYOUT_RSDP, 36), 0);
    acpi_test_done(&test);
}

static void test_acpi_write_tables__every_table__header_and_sum(void **state)
{
    (void)state;
    static const char *const table_ids[] = {"FCMVXSDT", "FCVMFADT", "FCVMMADT", "FCMVMCFG",
                                            "FCVMDSDT"};
    static const uint8_t revisions[] = {1, 6, 6, 1, 2};
    struct acpi_test test;
    acpi_test_init(&test, 32, 17, true);
    acpi_test_write(&test);
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        uint64_t addr = acpi_test_find(&test, signatures[i]);
        assert_true(addr != 0);
        assert_text(&test, addr, signatures[i]);
        assert_int_equal(sum_of(&test, addr, acpi_test_u32(&test, addr + 4)), 0);
        assert_int_equal(acpi_test_u8(&test, addr + 8), revisions[i]);
        assert_text(&test, addr + 10, "FIRECK");
        assert_text(&test, addr + 16, table_ids[i]);
        assert_int_equal(acpi_test_u32(&test, addr + 24), 0);
        assert_text(&test, addr + 28, "FCAT");
        assert_int_equal(acpi_test_u32(&test, addr + 32), 0x20240119);
    }
    acpi_test_done(&test);
}

static void test_acpi_write_tables__every_table__disjoint_inside_the_system_area(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 32, 17, true);
    acpi_test_write(&test);
    for (size_t i = 0; i < ARRAY_LEN(signatures); i++) {
        uint64_t begin = acpi_test_find(&test, signatures[i]);
        uint64_t end = begin + acpi_test_u32(&test, begin + 4);
        assert_true(begin >= TEST_TABLES_BASE && end <= test.config.vmclock_base);
        for (size_t k = 0; k < i; k++) {
            uint64_t other = acpi_test_find(&test, signatures[k]);
            assert_true(end <= other || begin >= other + acpi_test_u32(&test, other + 4));
        }
    }
    acpi_test_done(&test);
}

static void test_acpi_write_tables__fadt__hardware_reduced_with_sleep_and_reset(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 1, false);
    acpi_test_write(&test);
    uint64_t fadt = acpi_test_find(&test, "FACP");
    assert_int_equal(acpi_test_u32(&test, fadt + 4), 276);
    for (uint64_t off = 36; off < 109; off++)
        assert_int_equal(acpi_test_u8(&test, fadt + off), 0);
    assert_int_equal(acpi_test_u8(&test, fadt + 109), 0x24); /* no VGA, no CMOS clock */
    assert_int_equal(acpi_test_u8(&test, fadt + 110), 0);
    assert_int_equal(acpi_test_u32(&test, fadt + 112), 1u << 20 | 1u << 10 | 1u << 5 | 1u << 4);
    assert_int_equal(acpi_test_u32(&test, fadt + 116), 0x01000801); /* port, 8 bits, by byte */
    assert_true(acpi_test_u64(&test, fadt + 120) == TEST_RESET_PORT);
    assert_int_equal(acpi_test_u8(&test, fadt + 128), TEST_RESET_VALUE);
    assert_int_equal(acpi_test_u8(&test, fadt + 131), 5);
    assert_int_equal(acpi_test_u32(&test, fadt + 244), 0x01000801);
    assert_true(acpi_test_u64(&test, fadt + 248) == TEST_SLEEP_CONTROL_PORT);
    assert_int_equal(acpi_test_u32(&test, fadt + 256), 0x01000801);
    assert_true(acpi_test_u64(&test, fadt + 260) == TEST_SLEEP_STATUS_PORT);
    assert_text(&test, fadt + 268, "FIRECKVM");
    acpi_test_done(&test);
}

static void test_acpi_write_tables__madt__ioapic_and_a_lapic_per_vcpu(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 32, 0, false);
    acpi_test_write(&test);
    uint64_t madt = acpi_test_find(&test, "APIC");
    assert_int_equal(acpi_test_u32(&test, madt + 4), 44 + 12 + 32 * 8);
    assert_int_equal(acpi_test_u32(&test, madt + 36), 0xfee00000);
    assert_int_equal(acpi_test_u32(&test, madt + 40), 0);
    assert_int_equal(acpi_test_u32(&test, madt + 44), 0x00000c01); /* type 1, 12 bytes, id 0 */
    assert_int_equal(acpi_test_u32(&test, madt + 48), 0xfec00000);
    assert_int_equal(acpi_test_u32(&test, madt + 52), 0);
    for (uint32_t i = 0; i < 32; i++) {
        uint64_t lapic = madt + 56 + 8 * i;
        assert_int_equal(acpi_test_u32(&test, lapic), i << 24 | i << 16 | 8u << 8);
        assert_int_equal(acpi_test_u32(&test, lapic + 4), 1);
    }
    acpi_test_done(&test);
}

static void test_acpi_write_tables__mcfg__segment_0_at_the_ecam(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, false);
    acpi_test_write(&test);
    uint64_t mcfg = acpi_test_find(&test, "MCFG");
    assert_int_equal(acpi_test_u32(&test, mcfg + 4), 60);
    assert_true(acpi_test_u64(&test, mcfg + 44) == 0xeec00000);
    assert_true(acpi_test_u64(&test, mcfg + 52) == 0);
    acpi_test_done(&test);
}

/* Is this byte string somewhere in the DSDT? */
static bool dsdt_has(const struct acpi_test *test, const void *bytes, size_t len)
{
    uint8_t dsdt[8192];
    uint64_t addr = acpi_test_find(test, "DSDT");
    uint32_t size = acpi_test_u32(test, addr + 4);
    assert_true(size <= sizeof(dsdt));
    acpi_test_read(test, addr, dsdt, size);
    return memmem(dsdt, size, bytes, len) != NULL;
}

static void test_acpi_write_tables__no_vmgenid_and_vmclock__no_event_device(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 2, false);
    acpi_test_write(&test);
    assert_true(dsdt_has(&test, "V001", 4));
    assert_false(dsdt_has(&test, "V002", 4));
    assert_false(dsdt_has(&test, "VGEN", 4));
    assert_false(dsdt_has(&test, "VCLK", 4));
    assert_false(dsdt_has(&test, "GED_", 4));
    acpi_test_done(&test);
}

static void test_acpi_write_tables__virtio_device__all_bytes_as_specified(void **state)
{
    (void)state;
    static const uint8_t want[] = {
        0x5b, 0x82, 0x42, 0x04,                                    /* Device, 66 bytes */
        'V',  '0',  '1',  '6',                                     /* V016 */
        0x08, '_',  'H',  'I',  'D',  0x0d, 'L',  'N',  'R',  'O', /* Name (_HID, */
        '0',  '0',  '0',  '5',  0x00,                              /*   "LNRO0005") */
        0x08, '_',  'U',  'I',  'D',  0x0a, 16,                    /* Name (_UID, 0x10) */
        0x08, '_',  'C',  'C',  'A',  0x01,                        /* Name (_CCA, One) */
        0x08, '_',  'C',  'R',  'S',  0x11, 0x1a, 0x0a, 0x17,      /* Name (_CRS, Buffer (0x17) */
        0x86, 0x09, 0x00, 0x01,                                    /* Memory32Fixed, ReadWrite */
        0x00, 0x10, 0x01, 0xc0, 0x00, 0x10, 0x00, 0x00,            /*   0xc0011000, 0x1000 */
        0x89, 0x06, 0x00, 0x03, 0x01, 0x15, 0x00, 0x00, 0x00,      /* Interrupt, edge, high, 21 */
        0x79, 0x00,
    };
    struct acpi_test test;
    acpi_test_init(&test, 1, 17, false);
    acpi_test_write(&test);
    assert_true(dsdt_has(&test, want, sizeof(want)));
    acpi_test_done(&test);
}

static void test_acpi_write_tables__s5__package_with_the_sleep_type(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x08, '\\', '_',  'S', '5', '_', 0x12,
                                   0x07, 0x04, 0x0a, 5,   0,   0,   0};
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, false);
    acpi_test_write(&test);
    assert_true(dsdt_has(&test, want, sizeof(want)));
    acpi_test_done(&test);
}

static void test_acpi_write_tables__vmgenid__address_in_two_halves(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x08, 'A',  'D',  'D',  'R',  0x12, 0x08,
                                   0x02, 0x0c, 0xf0, 0xff, 0x0d, 0x00, 0x00};
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, true);
    acpi_test_write(&test);
    assert_true(dsdt_has(&test, want, sizeof(want)));
    acpi_test_done(&test);
}

/* Tables that begin `room` bytes before the end of the area. */
static int write_with_room(uint64_t room, struct err *err)
{
    struct acpi_test test;
    acpi_test_init(&test, 32, 0, false);
    test.config.tables_base = LAYOUT_SYSTEM_END - room;
    uint64_t rsdp = 1;
    int rc = acpi_write_tables(test.gmem, &test.config, &rsdp, err);
    assert_true(rc == 0 ? rsdp == LAYOUT_RSDP : rsdp == 1);
    acpi_test_done(&test);
    return rc;
}

static void test_acpi_write_tables__area_too_small__enospc_names_the_table(void **state)
{
    (void)state;
    static const struct {
        uint64_t room;
        const char *table;
    } cases[] = {{64, "DSDT"}, {400, "FACP"}, {640, "APIC"}, {840, "MCFG"}, {900, "XSDT"}};
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(write_with_room(cases[i].room, &err), -ENOSPC);
        char want[32];
        (void)snprintf(want, sizeof(want), "ACPI table %s (", cases[i].table);
        assert_ptr_equal(strstr(err.msg, want), err.msg);
        assert_non_null(strstr(err.msg, "ENOSPC"));
    }
    struct err err = ERR_INIT;
    assert_int_equal(write_with_room(1024, &err), 0);
}

static void test_acpi_write_tables__base_beyond_the_area__enospc(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, false);
    test.config.tables_base = UINT64_MAX - 4;
    uint64_t rsdp = 0;
    struct err err = ERR_INIT;
    assert_int_equal(acpi_write_tables(test.gmem, &test.config, &rsdp, &err), -ENOSPC);
    acpi_test_done(&test);
}

static void test_acpi_write_tables__vmclock_in_the_way__enospc(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, true);
    test.config.tables_base = test.config.vmclock_base - 512;
    uint64_t rsdp = 0;
    struct err err = ERR_INIT;
    assert_int_equal(acpi_write_tables(test.gmem, &test.config, &rsdp, &err), -ENOSPC);
    acpi_test_done(&test);
}

static void test_acpi_write_tables__no_ram_there__efault(void **state)
{
    (void)state;
    struct acpi_test test;
    acpi_test_init(&test, 1, 0, false);
    struct gmem *small = NULL;
    const struct gmem_range range = {gpa(0), 0x10000};
    struct err err = ERR_INIT;
    assert_int_equal(gmem_create(&range, 1, GMEM_BACKING_HEAP, false, &small, &err), 0);
    uint64_t rsdp = 0;
    assert_int_equal(acpi_write_tables(small, &test.config, &rsdp, &err), -EFAULT);
    assert_non_null(strstr(err.msg, "DSDT"));
    gmem_free(small);
    acpi_test_done(&test);
}

static void test_acpi_aml_put_integer__limits__shortest_constant(void **state)
{
    (void)state;
    static const struct {
        uint64_t value;
        uint32_t len;
        uint8_t bytes[9];
    } cases[] = {
        {0, 1, {0x00}},
        {1, 1, {0x01}},
        {2, 2, {0x0a, 2}},
        {0xff, 2, {0x0a, 0xff}},
        {0x100, 3, {0x0b, 0x00, 0x01}},
        {0xffff, 3, {0x0b, 0xff, 0xff}},
        {0x10000, 5, {0x0c, 0, 0, 1, 0}},
        {0xffffffff, 5, {0x0c, 0xff, 0xff, 0xff, 0xff}},
        {0x100000000, 9, {0x0e, 0, 0, 0, 0, 1, 0, 0, 0}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[16];
        struct acpi_aml aml;
        acpi_aml_init(&aml, bytes, sizeof(bytes));
        acpi_aml_put_integer(&aml, cases[i].value);
        assert_false(aml.full);
        assert_int_equal(aml.len, cases[i].len);
        assert_memory_equal(bytes, cases[i].bytes, aml.len);
    }
}

static void test_acpi_aml_put_path__one_to_three_segments__prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        const char *bytes;
    } cases[] = {
        {"_HID", "_HID"},
        {"\\_SB_", "\\_SB_"},
        {"\\_SB_.VGEN", "\\\x2e_SB_VGEN"},
        {"ABCD.EFGH.IJKL", "\x2f\x03"
                           "ABCDEFGHIJKL"},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[32];
        struct acpi_aml aml;
        acpi_aml_init(&aml, bytes, sizeof(bytes));
        acpi_aml_put_path(&aml, cases[i].path);
        assert_int_equal(aml.len, strlen(cases[i].bytes));
        assert_memory_equal(bytes, cases[i].bytes, aml.len);
    }
}

static void test_acpi_aml_put_eisa_id__pnp0501__compressed(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x0c, 0x41, 0xd0, 0x05, 0x01};
    uint8_t bytes[8];
    struct acpi_aml aml;
    acpi_aml_init(&aml, bytes, sizeof(bytes));
    acpi_aml_put_eisa_id(&aml, "PNP0501");
    assert_int_equal(aml.len, sizeof(want));
    assert_memory_equal(bytes, want, sizeof(want));
}

static void test_acpi_aml_end__body_sizes__length_of_one_to_three_bytes(void **state)
{
    (void)state;
    static const struct {
        uint32_t body;
        uint32_t len;
        uint8_t bytes[3];
    } cases[] = {
        {0, 1, {0x01}},
        {62, 1, {0x3f}},
        {63, 2, {0x41, 0x04}},
        {4093, 2, {0x4f, 0xff}},
        {4094, 3, {0x81, 0x00, 0x01}},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        uint8_t bytes[5000];
        uint8_t body[5000];
        struct acpi_aml aml;
        memset(body, 0xa5, sizeof(body));
        acpi_aml_init(&aml, bytes, sizeof(bytes));
        uint32_t mark = acpi_aml_begin(&aml, ACPI_AML_PACKAGE);
        acpi_aml_put_bytes(&aml, body, cases[i].body);
        acpi_aml_end(&aml, mark);
        assert_false(aml.full);
        assert_int_equal(aml.len, 1 + cases[i].len + cases[i].body);
        assert_int_equal(bytes[0], 0x12);
        assert_memory_equal(bytes + 1, cases[i].bytes, cases[i].len);
        assert_memory_equal(bytes + 1 + cases[i].len, body, cases[i].body);
    }
}

static void test_acpi_aml__buffer_too_small__full_and_nothing_behind_it(void **state)
{
    (void)state;
    for (uint32_t size = 0; size < 30; size++) {
        uint8_t bytes[64];
        memset(bytes, 0xee, sizeof(bytes));
        struct acpi_aml aml;
        acpi_aml_init(&aml, bytes, size);
        acpi_aml_put_name(&aml, "_CRS");
        uint32_t mark = acpi_aml_begin_resources(&aml);
        acpi_aml_put_memory32(&aml, 0xc0001000, 0x1000);
        acpi_aml_end_resources(&aml, mark);
        /* Name 5, op 1, length 1, size 2, descriptor 12, end tag 2. */
        assert_int_equal(aml.full, size < 23);
        for (uint32_t i = size; i < sizeof(bytes); i++)
            assert_int_equal(bytes[i], 0xee);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_acpi_write_tables__rsdp__revision_2_with_both_sums),
        cmocka_unit_test(test_acpi_write_tables__every_table__header_and_sum),
        cmocka_unit_test(test_acpi_write_tables__every_table__disjoint_inside_the_system_area),
        cmocka_unit_test(test_acpi_write_tables__fadt__hardware_reduced_with_sleep_and_reset),
        cmocka_unit_test(test_acpi_write_tables__madt__ioapic_and_a_lapic_per_vcpu),
        cmocka_unit_test(test_acpi_write_tables__mcfg__segment_0_at_the_ecam),
        cmocka_unit_test(test_acpi_write_tables__no_vmgenid_and_vmclock__no_event_device),
        cmocka_unit_test(test_acpi_write_tables__virtio_device__all_bytes_as_specified),
        cmocka_unit_test(test_acpi_write_tables__s5__package_with_the_sleep_type),
        cmocka_unit_test(test_acpi_write_tables__vmgenid__address_in_two_halves),
        cmocka_unit_test(test_acpi_write_tables__area_too_small__enospc_names_the_table),
        cmocka_unit_test(test_acpi_write_tables__base_beyond_the_area__enospc),
        cmocka_unit_test(test_acpi_write_tables__vmclock_in_the_way__enospc),
        cmocka_unit_test(test_acpi_write_tables__no_ram_there__efault),
        cmocka_unit_test(test_acpi_aml_put_integer__limits__shortest_constant),
        cmocka_unit_test(test_acpi_aml_put_path__one_to_three_segments__prefixes),
        cmocka_unit_test(test_acpi_aml_put_eisa_id__pnp0501__compressed),
        cmocka_unit_test(test_acpi_aml_end__body_sizes__length_of_one_to_three_bytes),
        cmocka_unit_test(test_acpi_aml__buffer_too_small__full_and_nothing_behind_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
