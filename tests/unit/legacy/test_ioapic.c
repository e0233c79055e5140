/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IOAPIC's registers and the messages made from its entries. Single thread.
 */
#include "devices/legacy/ioapic.h"

#include <errno.h>

#include "tests/unit/legacy/legacy_unit.h"

struct fixture {
    struct ioapic *ioapic;
    uint32_t routes_count;
    uint32_t pin;
    struct ioapic_msi msi;
    int result; /* of the next calls */
};

static int set_route(void *ctx, uint32_t pin, const struct ioapic_msi *msi)
{
    struct fixture *fixture = ctx;
    fixture->routes_count++;
    fixture->pin = pin;
    fixture->msi = *msi;
    return fixture->result;
}

static const struct ioapic_ops ops = {.set_route = set_route};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL)
        return -1;
    *state = fixture;
    return ioapic_create(IOAPIC_PINS_MAX, &ops, fixture, &fixture->ioapic, NULL);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    ioapic_free(fixture->ioapic);
    free(fixture);
    return 0;
}

static uint32_t get(struct fixture *fixture, uint32_t index)
{
    uint32_t value = 0xeeeeeeee;
    ioapic_bus_ops.write(fixture->ioapic, 0x00, &index, 4);
    ioapic_bus_ops.read(fixture->ioapic, 0x10, &value, 4);
    return value;
}

static void put(struct fixture *fixture, uint32_t index, uint32_t value)
{
    ioapic_bus_ops.write(fixture->ioapic, 0x00, &index, 4);
    ioapic_bus_ops.write(fixture->ioapic, 0x10, &value, 4);
}

static void test_read__after_create__identity_and_masked_pins(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(get(fixture, 0), 0);
    assert_int_equal(get(fixture, 1), 0x00170011);
    for (uint32_t pin = 0; pin < IOAPIC_PINS_MAX; pin++) {
        assert_int_equal(get(fixture, 0x10 + 2 * pin), 0x00010000);
        assert_int_equal(get(fixture, 0x11 + 2 * pin), 0);
    }
    assert_int_equal(fixture->routes_count, 0);
}

static void test_create__fewer_pins__others_do_not_exist(void **state)
{
    struct fixture *fixture = *state;
    ioapic_free(fixture->ioapic);
    assert_int_equal(ioapic_create(6, &ops, fixture, &fixture->ioapic, NULL), 0);
    assert_int_equal(get(fixture, 1), 0x00050011);
    assert_int_equal(get(fixture, 0x10 + 2 * 5), 0x00010000);
    put(fixture, 0x10 + 2 * 6, 0x31);
    assert_int_equal(get(fixture, 0x10 + 2 * 6), 0);
    assert_int_equal(fixture->routes_count, 0);
}

static void test_write__id__keeps_its_four_bits(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0, 0xffffffff);
    assert_int_equal(get(fixture, 0), 0x0f000000);
    assert_int_equal(get(fixture, 2), 0x0f000000);
    put(fixture, 1, 0xffffffff);
    assert_int_equal(get(fixture, 1), 0x00170011);
}

static void test_write__read_only_bits_of_an_entry__read_zero(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x10, 0xffffffff);
    put(fixture, 0x11, 0xffffffff);
    assert_int_equal(get(fixture, 0x10), 0x0001afff);
    assert_int_equal(get(fixture, 0x11), 0xff000000);
}

static void test_write__unmask_fixed_edge__message_of_the_pin(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x10 + 2 * 9 + 1, 0x03000000);
    assert_int_equal(fixture->routes_count, 0);
    put(fixture, 0x10 + 2 * 9, 0x00000031);
    assert_int_equal(fixture->routes_count, 1);
    assert_int_equal(fixture->pin, 9);
    assert_true(fixture->msi.enabled);
    assert_int_equal(fixture->msi.address_lo, 0xfee03000);
    assert_int_equal(fixture->msi.address_hi, 0);
    assert_int_equal(fixture->msi.data, 0x31);
}

static void test_write__logical_lowest_priority_level__all_fields_converted(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x11 + 2 * 23, 0xff000000);
    put(fixture, 0x10 + 2 * 23, 0x0000a955); /* level, active low, logical, lowest priority */
    assert_int_equal(fixture->pin, 23);
    assert_int_equal(fixture->msi.address_lo, 0xfeeff004);
    assert_int_equal(fixture->msi.data, 0x0155); /* our lines are edges: the level bit is kept... */
    assert_int_equal(get(fixture, 0x10 + 2 * 23), 0x0000a955); /* ...where the guest reads it */
}

static void test_write__route_refused__same_message_is_tried_again(void **state)
{
    struct fixture *fixture = *state;
    fixture->result = -ENOMEM;
    put(fixture, 0x10, 0x40);
    assert_int_equal(fixture->routes_count, 1);
    fixture->result = 0;
    put(fixture, 0x10, 0x40);
    assert_int_equal(fixture->routes_count, 2);
    put(fixture, 0x10, 0x40);
    assert_int_equal(fixture->routes_count, 2);
    fixture->result = -ENOMEM;
    put(fixture, 0x10, 0x41);
    fixture->result = 0;
    put(fixture, 0x10, 0x40); /* what was set last, but not what the owner was told last */
    assert_int_equal(fixture->routes_count, 4);
}

static void test_write__same_message_again__not_told(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x10, 0x40);
    put(fixture, 0x10, 0x40);
    put(fixture, 0x11, 0);
    put(fixture, 0x10, 0x2040); /* polarity means nothing to a message */
    assert_int_equal(fixture->routes_count, 1);
    put(fixture, 0x10, 0x41);
    assert_int_equal(fixture->routes_count, 2);
}

static void test_write__mask__told_once_then_edits_are_silent(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x10, 0x40);
    put(fixture, 0x10, 0x10040);
    assert_int_equal(fixture->routes_count, 2);
    assert_false(fixture->msi.enabled);
    assert_int_equal(fixture->msi.address_lo | fixture->msi.data, 0);
    put(fixture, 0x10, 0x10055);
    put(fixture, 0x11, 0x01000000);
    assert_int_equal(fixture->routes_count, 2);
    put(fixture, 0x10, 0x55);
    assert_int_equal(fixture->routes_count, 3);
    assert_int_equal(fixture->msi.address_lo, 0xfee01000);
}

static void test_write__modes_no_message_can_carry__stay_disabled(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, 0x10, 0x300); /* reserved */
    put(fixture, 0x10, 0x600); /* reserved */
    put(fixture, 0x10, 0x700); /* ExtINT */
    assert_int_equal(fixture->routes_count, 0);
    put(fixture, 0x10, 0x400); /* NMI */
    assert_int_equal(fixture->msi.data, 0x400);
}

static void test_access__every_index__beyond_the_pins_nothing_happens(void **state)
{
    struct fixture *fixture = *state;
    for (uint32_t index = 0x10 + 2 * IOAPIC_PINS_MAX; index < 0x100; index++) {
        put(fixture, index, 0x40);
        assert_int_equal(get(fixture, index), 0);
    }
    assert_int_equal(fixture->routes_count, 0);
    put(fixture, 0xffffff10, 0x40); /* the index register has eight bits */
    assert_int_equal(fixture->routes_count, 1);
}

static void test_access__other_widths_and_offsets__harmless(void **state)
{
    struct fixture *fixture = *state;
    uint32_t index = 0x10;
    ioapic_bus_ops.write(fixture->ioapic, 0x00, &index, 4);
    hit_every_access(&ioapic_bus_ops, fixture->ioapic, 0x50);
    assert_int_equal(get(fixture, 1), 0x00170011);
    uint8_t byte = reg_get(&ioapic_bus_ops, fixture->ioapic, 0x10);
    assert_int_equal(byte, 0);
}

#define IOAPIC_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        IOAPIC_TEST(test_read__after_create__identity_and_masked_pins),
        IOAPIC_TEST(test_create__fewer_pins__others_do_not_exist),
        IOAPIC_TEST(test_write__id__keeps_its_four_bits),
        IOAPIC_TEST(test_write__read_only_bits_of_an_entry__read_zero),
        IOAPIC_TEST(test_write__unmask_fixed_edge__message_of_the_pin),
        IOAPIC_TEST(test_write__logical_lowest_priority_level__all_fields_converted),
        IOAPIC_TEST(test_write__route_refused__same_message_is_tried_again),
        IOAPIC_TEST(test_write__same_message_again__not_told),
        IOAPIC_TEST(test_write__mask__told_once_then_edits_are_silent),
        IOAPIC_TEST(test_write__modes_no_message_can_carry__stay_disabled),
        IOAPIC_TEST(test_access__every_index__beyond_the_pins_nothing_happens),
        IOAPIC_TEST(test_access__other_widths_and_offsets__harmless),
    };
    log_init("unit");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
