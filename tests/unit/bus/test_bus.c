/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/bus/bus.c: placing ranges, refusing overlaps, finding the one range of an
 * access.
 */
#include <errno.h>
#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/bus/bus.h"

/* What a handler saw last. */
struct seen {
    unsigned reads;
    unsigned writes;
    uint64_t off;
    uint32_t len;
    uint64_t value;
};

static void on_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    struct seen *seen = ctx;

    seen->reads++;
    seen->off = off;
    seen->len = len;
    memset(data, 0x5a, len);
}

static void on_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    struct seen *seen = ctx;

    seen->writes++;
    seen->off = off;
    seen->len = len;
    seen->value = 0;
    memcpy(&seen->value, data, len);
}

static const struct bus_ops ops = {.read = on_read, .write = on_write};

static struct bus_range range_of(uint64_t base, uint64_t size, struct seen *seen, const char *name)
{
    return (struct bus_range){.base = base, .size = size, .ops = &ops, .ctx = seen, .name = name};
}

static int insert(struct bus *bus, uint64_t base, uint64_t size, struct seen *seen)
{
    const struct bus_range range = range_of(base, size, seen, "device");

    return bus_insert(bus, &range, NULL);
}

static void test_bus_read__inside_range__offset_and_bytes(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen = {0};
    uint32_t value = 0;

    bus_init(&bus);
    assert_int_equal(insert(&bus, 0x1000, 0x100, &seen), 0);
    assert_true(bus_read(&bus, 0x1010, &value, 4));
    assert_int_equal(value, 0x5a5a5a5a);
    assert_int_equal(seen.off, 0x10);
    assert_int_equal(seen.len, 4);
    assert_int_equal(seen.reads, 1);
}

static void test_bus_write__inside_range__offset_and_value(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen = {0};
    const uint64_t value = 0x1122334455667788;

    bus_init(&bus);
    assert_int_equal(insert(&bus, 0x1000, 0x100, &seen), 0);
    assert_true(bus_write(&bus, 0x10f8, &value, 8));
    assert_int_equal(seen.off, 0xf8);
    assert_true(seen.value == value);
    assert_int_equal(seen.writes, 1);
}

static void test_bus_read__no_range__zero_bytes(void **state)
{
    (void)state;
    struct bus bus;
    uint8_t bytes[9];

    bus_init(&bus);
    memset(bytes, 0xff, sizeof(bytes));
    assert_false(bus_read(&bus, 0x1000, bytes, 8));
    assert_memory_equal(bytes, "\0\0\0\0\0\0\0\0\xff", 9);
    assert_false(bus_write(&bus, 0x1000, bytes, 8));
}

static void test_bus_access__across_an_edge__no_handler(void **state)
{
    (void)state;
    struct bus bus;
    struct seen low = {0};
    struct seen high = {0};
    uint32_t value = 7;

    /* Neighbours without a gap: an access may not be split over both. */
    bus_init(&bus);
    assert_int_equal(insert(&bus, 0x1000, 0x10, &low), 0);
    assert_int_equal(insert(&bus, 0x1010, 0x10, &high), 0);
    assert_false(bus_read(&bus, 0xffe, &value, 4));
    assert_int_equal(value, 0);
    assert_false(bus_read(&bus, 0x100e, &value, 4));
    assert_false(bus_write(&bus, 0x101e, &value, 4));
    assert_int_equal(low.reads + high.reads + low.writes + high.writes, 0);
    assert_true(bus_read(&bus, 0x100c, &value, 4));
    assert_true(bus_read(&bus, 0x101c, &value, 4));
    assert_int_equal(low.reads, 1);
    assert_int_equal(high.reads, 1);
}

static void test_bus_access__top_of_address_space__no_wrap(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen = {0};
    uint64_t value = 0;

    bus_init(&bus);
    assert_int_equal(insert(&bus, UINT64_MAX - 15, 16, &seen), 0);
    assert_true(bus_read(&bus, UINT64_MAX - 7, &value, 8));
    assert_false(bus_read(&bus, UINT64_MAX - 6, &value, 8));
    assert_true(bus_read(&bus, UINT64_MAX, &value, 1));
    assert_int_equal(seen.off, 15);
}

static void test_bus_insert__empty_or_wrapping__einval(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen = {0};

    bus_init(&bus);
    assert_int_equal(insert(&bus, 0x1000, 0, &seen), -EINVAL);
    assert_int_equal(insert(&bus, UINT64_MAX - 14, 16, &seen), -EINVAL);
    assert_int_equal(bus.ranges_count, 0);
}

static void test_bus_insert__overlaps__eexist_and_both_named(void **state)
{
    (void)state;
    static const struct {
        uint64_t base;
        uint64_t size;
        int rc;
    } rows[] = {
        {0x1000, 0x100, -EEXIST},
        {0x10ff, 1, -EEXIST},
        {0xf00, 0x101, -EEXIST},
        {0x1040, 8, -EEXIST},
        {0xf00, 0x1000, -EEXIST},
        {0, UINT64_MAX, -EEXIST},
        {0xfff, 1, 0},
        {0x1100, 1, 0},
    };
    struct bus bus;
    struct seen seen = {0};
    struct err err = ERR_INIT;

    bus_init(&bus);
    assert_int_equal(insert(&bus, 0x1000, 0x100, &seen), 0);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_int_equal(insert(&bus, rows[i].base, rows[i].size, &seen), rows[i].rc);
    assert_int_equal(bus.ranges_count, 3);

    const struct bus_range range = range_of(0x1080, 2, &seen, "timer");
    assert_int_equal(bus_insert(&bus, &range, &err), -EEXIST);
    assert_string_equal(err.msg,
                        "Cannot place timer at 0x1080, 2 bytes: device is at 0x1000, 256 bytes");
}

static void test_bus_insert__one_too_many__enospc(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen = {0};

    bus_init(&bus);
    for (uint64_t i = 0; i < BUS_RANGES_MAX; i++)
        assert_int_equal(insert(&bus, i * 16, 16, &seen), 0);
    assert_int_equal(insert(&bus, 1 << 20, 16, &seen), -ENOSPC);
}

static void test_bus_read__any_order_of_insertion__every_range_found(void **state)
{
    (void)state;
    struct bus bus;
    struct seen seen[BUS_RANGES_MAX] = {0};
    uint8_t byte;

    /* 37 and 64 have no common factor: every slot once, in a mixed order. */
    bus_init(&bus);
    for (uint64_t i = 0; i < BUS_RANGES_MAX; i++) {
        uint64_t slot = i * 37 % BUS_RANGES_MAX;
        assert_int_equal(insert(&bus, 0x1000 + slot * 0x20, 0x10, &seen[slot]), 0);
    }
    for (uint64_t slot = 0; slot < BUS_RANGES_MAX; slot++) {
        uint64_t base = 0x1000 + slot * 0x20;
        assert_true(bus_read(&bus, base, &byte, 1));
        assert_true(bus_read(&bus, base + 15, &byte, 1));
        assert_int_equal(seen[slot].off, 15);
        assert_int_equal(seen[slot].reads, 2);
        assert_false(bus_read(&bus, base + 16, &byte, 1));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_bus_read__inside_range__offset_and_bytes),
        cmocka_unit_test(test_bus_write__inside_range__offset_and_value),
        cmocka_unit_test(test_bus_read__no_range__zero_bytes),
        cmocka_unit_test(test_bus_access__across_an_edge__no_handler),
        cmocka_unit_test(test_bus_access__top_of_address_space__no_wrap),
        cmocka_unit_test(test_bus_insert__empty_or_wrapping__einval),
        cmocka_unit_test(test_bus_insert__overlaps__eexist_and_both_named),
        cmocka_unit_test(test_bus_insert__one_too_many__enospc),
        cmocka_unit_test(test_bus_read__any_order_of_insertion__every_range_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
