/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The states of UART and IOAPIC: out of one, into a fresh one, and what is refused. Single thread.
 */
#include <errno.h>
#include <fcntl.h>

#include "base/fd.h"
#include "devices/legacy/ioapic.h"
#include "devices/legacy/ioapic_state.h"
#include "devices/legacy/serial.h"
#include "devices/legacy/serial_state.h"
#include "tests/unit/legacy/legacy_unit.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

#define PINS_COUNT 8u

static struct {
    struct irq_line irq;
    struct serial *serial;
    struct serial *fresh_serial;
    struct ioapic *ioapic;
    struct ioapic *fresh_ioapic;
    uint32_t routes_count;
} fix;

static int set_route(void *ctx, uint32_t pin, const struct ioapic_msi *msi)
{
    (void)ctx;
    (void)pin;
    (void)msi;
    fix.routes_count++;
    return 0;
}

static const struct ioapic_ops ops = {.set_route = set_route};

static int setup(void **state)
{
    (void)state;
    memset(&fix, 0, sizeof(fix));
    if (irq_line_open(&fix.irq) < 0 || serial_create(&fix.irq, FD_NONE, &fix.serial, NULL) < 0 ||
        serial_create(&fix.irq, FD_NONE, &fix.fresh_serial, NULL) < 0 ||
        ioapic_create(PINS_COUNT, &ops, NULL, &fix.ioapic, NULL) < 0)
        return -1;
    return ioapic_create(PINS_COUNT, &ops, NULL, &fix.fresh_ioapic, NULL);
}

static int teardown(void **state)
{
    (void)state;
    serial_free(fix.serial);
    serial_free(fix.fresh_serial);
    ioapic_free(fix.ioapic);
    ioapic_free(fix.fresh_ioapic);
    irq_line_close(&fix.irq);
    return 0;
}

static uint8_t get(struct serial *serial, uint64_t reg)
{
    return reg_get(&serial_bus_ops, serial, reg);
}

static void put(struct serial *serial, uint64_t reg, uint8_t value)
{
    reg_put(&serial_bus_ops, serial, reg, value);
}

static void move_serial(void)
{
    struct serial_state saved;
    struct err err = ERR_INIT;
    serial_save(fix.serial, &saved);
    assert_int_equal(serial_restore(fix.fresh_serial, &saved, &err), 0);
}

static void test_serial_restore__registers__as_they_were(void **state)
{
    (void)state;
    put(fix.serial, LCR, 0x83);
    put(fix.serial, DATA, 0x34);
    put(fix.serial, IER, 0x12);
    put(fix.serial, LCR, 0x1b);
    put(fix.serial, IER, 0x0d);
    put(fix.serial, IIR_FCR, 0x01);
    put(fix.serial, MCR, 0x0b);
    put(fix.serial, SCR, 0xa5);
    move_serial();
    assert_int_equal(get(fix.fresh_serial, LCR), 0x1b);
    assert_int_equal(get(fix.fresh_serial, IER), 0x0d);
    assert_int_equal(get(fix.fresh_serial, IIR_FCR) >> 6, 3);
    assert_int_equal(get(fix.fresh_serial, MCR), 0x0b);
    assert_int_equal(get(fix.fresh_serial, SCR), 0xa5);
    put(fix.fresh_serial, LCR, 0x83);
    assert_int_equal(get(fix.fresh_serial, DATA), 0x34);
    assert_int_equal(get(fix.fresh_serial, IER), 0x12);
}

static void test_serial_restore__unread_input__is_read_in_order(void **state)
{
    (void)state;
    put(fix.serial, IIR_FCR, 0x01);
    assert_int_equal(serial_feed(fix.serial, (const uint8_t *)"abc", 3), 3);
    assert_int_equal(get(fix.serial, DATA), 'a');
    move_serial();
    assert_int_equal(get(fix.fresh_serial, LSR) & 1, 1);
    assert_int_equal(get(fix.fresh_serial, DATA), 'b');
    assert_int_equal(get(fix.fresh_serial, DATA), 'c');
    assert_int_equal(get(fix.fresh_serial, LSR) & 1, 0);
}

static void test_serial_renotify__input_that_waits__interrupts_again(void **state)
{
    (void)state;
    put(fix.serial, IER, 0x01);
    assert_int_equal(serial_feed(fix.serial, (const uint8_t *)"a", 1), 1);
    move_serial();
    (void)irq_edges(&fix.irq);
    serial_renotify(fix.fresh_serial);
    assert_int_equal(irq_edges(&fix.irq), 1);
}

static void test_serial_renotify__nothing_to_tell__no_interrupt(void **state)
{
    (void)state;
    move_serial();
    serial_renotify(fix.fresh_serial);
    assert_int_equal(irq_edges(&fix.irq), 0);
}

static void expect_serial_refused(const struct serial_state *bad)
{
    struct err err = ERR_INIT;
    assert_int_equal(serial_restore(fix.fresh_serial, bad, &err), -EINVAL);
    assert_string_equal(err.msg, "the serial port's registers have values that none has");
}

static void test_serial_restore__values_that_none_has__refused(void **state)
{
    (void)state;
    struct serial_state good;
    serial_save(fix.serial, &good);
    struct serial_state bad = good;
    bad.rx_count = SERIAL_STATE_RX_SIZE + 1;
    expect_serial_refused(&bad);
    bad = good;
    bad.ier = 0x10;
    expect_serial_refused(&bad);
    bad = good;
    bad.mcr = 0x20;
    expect_serial_refused(&bad);
    bad = good;
    bad.fcr = 0x02; /* a command, which no register keeps */
    expect_serial_refused(&bad);
    bad = good;
    bad.lsr_errors = 0x01; /* not an error */
    expect_serial_refused(&bad);
    bad = good;
    bad.rx_count = SERIAL_STATE_RX_SIZE;
    struct err err = ERR_INIT;
    assert_int_equal(serial_restore(fix.fresh_serial, &bad, &err), 0);
}

static uint32_t ioapic_get(struct ioapic *ioapic, uint32_t index)
{
    uint32_t value = 0;
    ioapic_bus_ops.write(ioapic, 0x00, &index, 4);
    ioapic_bus_ops.read(ioapic, 0x10, &value, 4);
    return value;
}

static void ioapic_put(struct ioapic *ioapic, uint32_t index, uint32_t value)
{
    ioapic_bus_ops.write(ioapic, 0x00, &index, 4);
    ioapic_bus_ops.write(ioapic, 0x10, &value, 4);
}

static void test_ioapic_restore__entries__registers_and_routes_as_they_were(void **state)
{
    (void)state;
    struct ioapic_state saved;
    struct err err = ERR_INIT;
    ioapic_put(fix.ioapic, 0, 0x05000000);
    ioapic_put(fix.ioapic, 0x11 + 2 * 5, 0x03000000);
    ioapic_put(fix.ioapic, 0x10 + 2 * 5, 0x00000031);
    ioapic_save(fix.ioapic, &saved);
    uint32_t routes_count = fix.routes_count;
    assert_int_equal(ioapic_restore(fix.fresh_ioapic, &saved, &err), 0);
    assert_int_equal(fix.routes_count, routes_count); /* the owner asks */
    uint32_t index = 0;
    ioapic_bus_ops.read(fix.fresh_ioapic, 0x00, &index, 4);
    assert_int_equal(index, 0x10 + 2 * 5);
    assert_int_equal(ioapic_get(fix.fresh_ioapic, 0), 0x05000000);
    assert_int_equal(ioapic_get(fix.fresh_ioapic, 0x10 + 2 * 5), 0x31);
    assert_int_equal(ioapic_get(fix.fresh_ioapic, 0x11 + 2 * 5), 0x03000000);
    assert_int_equal(ioapic_get(fix.fresh_ioapic, 0x10), 0x00010000);
    const struct ioapic_msi was = ioapic_route(fix.ioapic, 5);
    const struct ioapic_msi is = ioapic_route(fix.fresh_ioapic, 5);
    assert_memory_equal(&is, &was, sizeof(was));
}

static void test_ioapic_restore__other_number_of_pins__refused(void **state)
{
    (void)state;
    struct ioapic_state saved;
    struct err err = ERR_INIT;
    ioapic_save(fix.ioapic, &saved);
    saved.pins_count++;
    assert_int_equal(ioapic_restore(fix.fresh_ioapic, &saved, &err), -EINVAL);
    assert_string_equal(err.msg, "the IOAPIC has 9 pins, expected 8");
}

static void test_ioapic_restore__bits_that_none_has__refused(void **state)
{
    (void)state;
    struct ioapic_state good;
    ioapic_save(fix.ioapic, &good);
    struct ioapic_state bads[] = {good, good, good};
    bads[0].id = 1;
    bads[1].entries[0] = 1ull << 20;
    bads[2].entries[IOAPIC_STATE_PINS_MAX - 1] = 1ull << 14;
    for (size_t i = 0; i < ARRAY_LEN(bads); i++) {
        struct err err = ERR_INIT;
        assert_int_equal(ioapic_restore(fix.fresh_ioapic, &bads[i], &err), -EINVAL);
        assert_string_equal(err.msg, "the IOAPIC's registers have bits that none has");
    }
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_serial_restore__registers__as_they_were),
        TEST(test_serial_restore__unread_input__is_read_in_order),
        TEST(test_serial_renotify__input_that_waits__interrupts_again),
        TEST(test_serial_renotify__nothing_to_tell__no_interrupt),
        TEST(test_serial_restore__values_that_none_has__refused),
        TEST(test_ioapic_restore__entries__registers_and_routes_as_they_were),
        TEST(test_ioapic_restore__other_number_of_pins__refused),
        TEST(test_ioapic_restore__bits_that_none_has__refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
