/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of vmm/arch/x86_64/mptable.c: the table is walked as a guest does it (MP 1.4). */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>

#define MP_TABLE_ROOM 1024u

/* The KiB that Linux scans, and where things are in it. */
struct table {
    uint8_t bytes[MP_TABLE_ROOM];
    uint64_t end;
    size_t header; /* offset of the configuration table */
    uint16_t length;
    uint16_t entries;
};

static uint32_t get(const uint8_t *bytes, size_t size)
{
    uint32_t value = 0;
    memcpy(&value, bytes, size);
    return value;
}

static uint8_t sum(const uint8_t *bytes, size_t len)
{
    uint8_t total = 0;
    for (size_t i = 0; i < len; i++)
        total = (uint8_t)(total + bytes[i]);
    return total;
}

static struct table write_table(uint32_t vcpus)
{
    struct table table = {0};
    struct err err = ERR_INIT;
    struct gmem *gmem = guest_create(1);
    assert_int_equal(arch_write_mptable(gmem, vcpus, &table.end, &err), 0);
    assert_int_equal(unit_peek(gmem, gpa(0x9fc00), table.bytes, MP_TABLE_ROOM), 0);
    gmem_free(gmem);
    table.header = get(table.bytes + 4, 4) - 0x9fc00;
    assert_true(table.header < MP_TABLE_ROOM - 44);
    table.length = (uint16_t)get(table.bytes + table.header + 4, 2);
    table.entries = (uint16_t)get(table.bytes + table.header + 34, 2);
    assert_true(table.header + table.length <= MP_TABLE_ROOM);
    return table;
}

/* The n-th entry of a type, walked from the header by each type's size; NULL when there are fewer.
 */
static const uint8_t *find_entry(const struct table *table, uint8_t type, unsigned n)
{
    size_t off = table->header + 44;
    for (unsigned i = 0; i < table->entries; i++) {
        const uint8_t *entry = table->bytes + off;
        assert_true(entry[0] <= 4);
        if (entry[0] == type && n-- == 0)
            return entry;
        off += entry[0] == 0 ? 20 : 8;
    }
    assert_int_equal(off, table->header + table->length); /* the count and the length agree */
    return NULL;
}

static void test_arch_write_mptable__pointer__valid(void **state)
{
    (void)state;
    struct table table = write_table(1);
    assert_memory_equal(table.bytes, "_MP_", 4);
    assert_int_equal(table.bytes[8], 1);  /* length in 16-byte units */
    assert_int_equal(table.bytes[9], 4);  /* revision */
    assert_int_equal(table.bytes[11], 0); /* a configuration table is there */
    assert_int_equal(sum(table.bytes, 16), 0);
}

static void test_arch_write_mptable__header__valid(void **state)
{
    (void)state;
    struct table table = write_table(2);
    const uint8_t *header = table.bytes + table.header;
    assert_memory_equal(header, "PCMP", 4);
    assert_int_equal(header[6], 4);
    assert_memory_equal(header + 8, "FC      ", 8);
    assert_memory_equal(header + 16, "000000000000", 12);
    assert_int_equal(get(header + 36, 4), 0xfee00000);
    assert_int_equal(sum(header, table.length), 0);
}

static void test_arch_write_mptable__any_count__entries_fill_the_table(void **state)
{
    (void)state;
    for (uint32_t vcpus = 1; vcpus <= CFG_VCPUS_MAX; vcpus++) {
        struct table table = write_table(vcpus);
        assert_int_equal(table.entries, vcpus + 1 + 1 + 24 + 2);
        assert_null(find_entry(&table, 4, 2));
        assert_int_equal(table.end, 0x9fc00 + table.header + table.length);
        assert_int_equal(sum(table.bytes + table.header, table.length), 0);
        for (size_t i = table.header + table.length; i < MP_TABLE_ROOM; i++)
            assert_int_equal(table.bytes[i], 0);
    }
}

static void test_arch_write_mptable__32_vcpus__one_processor_each(void **state)
{
    (void)state;
    struct table table = write_table(32);
    for (unsigned i = 0; i < 32; i++) {
        const uint8_t *cpu = find_entry(&table, 0, i);
        assert_non_null(cpu);
        assert_int_equal(cpu[1], i);
        assert_int_equal(cpu[2], 0x14);
        assert_int_equal(cpu[3], i == 0 ? 3 : 1);
    }
    assert_null(find_entry(&table, 0, 32));
}

static void test_arch_write_mptable__ioapic__after_the_processors(void **state)
{
    (void)state;
    struct table table = write_table(32);
    const uint8_t *ioapic = find_entry(&table, 2, 0);
    assert_non_null(ioapic);
    assert_int_equal(ioapic[1], 33);
    assert_int_equal(ioapic[3], 1);
    assert_int_equal(get(ioapic + 4, 4), 0xfec00000);
    assert_null(find_entry(&table, 2, 1));
}

static void test_arch_write_mptable__lines__24_of_the_isa_bus(void **state)
{
    (void)state;
    struct table table = write_table(4);
    const uint8_t *bus = find_entry(&table, 1, 0);
    assert_non_null(bus);
    assert_memory_equal(bus + 2, "ISA   ", 6);
    for (unsigned line = 0; line < 24; line++) {
        const uint8_t *entry = find_entry(&table, 3, line);
        assert_non_null(entry);
        assert_int_equal(entry[1], 0);          /* vectored */
        assert_int_equal(get(entry + 2, 2), 0); /* as the bus: edge, active high */
        assert_int_equal(entry[4], bus[1]);
        assert_int_equal(entry[5], line);
        assert_int_equal(entry[6], 5); /* the IOAPIC of 4 vCPUs */
        assert_int_equal(entry[7], line);
    }
    assert_null(find_entry(&table, 3, 24));
}

static void test_arch_write_mptable__local_lines__extint_and_nmi(void **state)
{
    (void)state;
    struct table table = write_table(1);
    const uint8_t *extint = find_entry(&table, 4, 0);
    const uint8_t *nmi = find_entry(&table, 4, 1);
    assert_non_null(extint);
    assert_non_null(nmi);
    assert_int_equal(extint[1], 3);
    assert_int_equal(extint[7], 0); /* LINT0 */
    assert_int_equal(nmi[1], 1);
    assert_int_equal(nmi[6], 0xff); /* every LAPIC */
    assert_int_equal(nmi[7], 1);    /* LINT1 */
}

static void assert_count_refused(uint32_t vcpus, const char *sentence)
{
    struct err err = ERR_INIT;
    uint64_t end = 77;
    struct gmem *gmem = guest_create(1);
    assert_int_equal(arch_write_mptable(gmem, vcpus, &end, &err), -EINVAL);
    assert_string_equal(err.msg, sentence);
    assert_int_equal(end, 77);
    gmem_free(gmem);
}

static void test_arch_write_mptable__0_vcpus__refused(void **state)
{
    (void)state;
    assert_count_refused(0, "an MP table describes 1 to 32 vCPUs, not 0");
}

static void test_arch_write_mptable__33_vcpus__refused(void **state)
{
    (void)state;
    assert_count_refused(33, "an MP table describes 1 to 32 vCPUs, not 33");
}

int main(void)
{
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_arch_write_mptable__pointer__valid),
        cmocka_unit_test(test_arch_write_mptable__header__valid),
        cmocka_unit_test(test_arch_write_mptable__any_count__entries_fill_the_table),
        cmocka_unit_test(test_arch_write_mptable__32_vcpus__one_processor_each),
        cmocka_unit_test(test_arch_write_mptable__ioapic__after_the_processors),
        cmocka_unit_test(test_arch_write_mptable__lines__24_of_the_isa_bus),
        cmocka_unit_test(test_arch_write_mptable__local_lines__extint_and_nmi),
        cmocka_unit_test(test_arch_write_mptable__0_vcpus__refused),
        cmocka_unit_test(test_arch_write_mptable__33_vcpus__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
