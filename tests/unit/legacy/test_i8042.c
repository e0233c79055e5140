/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller as a driver probes it, Ctrl+Alt+Del, reset. Single thread.
 */
#include "devices/legacy/i8042.h"

#include <errno.h>

#include "base/metrics.h"
#include "tests/unit/legacy/legacy_unit.h"

#define DATA 0u
#define COMMAND 4u

struct fixture {
    struct irq_line irq;
    struct i8042 *i8042;
    uint32_t resets_count;
};

static void on_reset(void *ctx)
{
    struct fixture *fixture = ctx;
    fixture->resets_count++;
}

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || irq_line_open(&fixture->irq) < 0)
        return -1;
    *state = fixture;
    return i8042_create(&fixture->irq, on_reset, fixture, &fixture->i8042, NULL);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    i8042_free(fixture->i8042);
    irq_line_close(&fixture->irq);
    free(fixture);
    return 0;
}

static uint8_t get(struct fixture *fixture, uint64_t off)
{
    return reg_get(&i8042_bus_ops, fixture->i8042, off);
}

static void put(struct fixture *fixture, uint64_t off, uint8_t value)
{
    reg_put(&i8042_bus_ops, fixture->i8042, off, value);
}

/* The next answer, which must be there already: no probe may wait. */
static uint8_t answer_now(struct fixture *fixture)
{
    assert_int_equal(get(fixture, COMMAND), 0x11);
    return get(fixture, DATA);
}

static uint8_t ask(struct fixture *fixture, uint8_t command)
{
    put(fixture, COMMAND, command);
    return answer_now(fixture);
}

static void test_read__after_create__initial_control_and_status(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(get(fixture, COMMAND), 0x10);
    assert_int_equal(ask(fixture, 0x20), 0x05);
    assert_int_equal(get(fixture, COMMAND), 0x10);
    assert_int_equal(irq_edges(&fixture->irq), 0);
}

static void test_write__control_and_output_port__read_back(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, COMMAND, 0x60);
    put(fixture, DATA, 0x74);
    assert_int_equal(ask(fixture, 0x20), 0x74);
    put(fixture, COMMAND, 0xd1);
    put(fixture, DATA, 0x5b);
    assert_int_equal(ask(fixture, 0xd0), 0x5b);
}

static void test_write__probe_commands__answered_at_once(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(ask(fixture, 0xaa), 0x55);
    assert_int_equal(ask(fixture, 0xab), 0x00);
    assert_int_equal(ask(fixture, 0xa9), 0x01);
    put(fixture, COMMAND, 0xad);
    assert_int_equal(ask(fixture, 0x20), 0x15);
    put(fixture, COMMAND, 0xae);
    assert_int_equal(ask(fixture, 0x20), 0x05);
}

static void test_write__keyboard_identify__three_bytes_one_edge_each(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t expected[] = {0xfa, 0xab, 0x83};
    put(fixture, DATA, 0xf2);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++) {
        assert_int_equal(irq_edges(&fixture->irq), 1);
        assert_int_equal(answer_now(fixture), expected[i]);
    }
    assert_int_equal(irq_edges(&fixture->irq), 0);
}

static void test_write__keyboard_reset_and_leds__acknowledged(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, DATA, 0xff);
    assert_int_equal(answer_now(fixture), 0xfa);
    assert_int_equal(answer_now(fixture), 0xaa);
    put(fixture, DATA, 0xed);
    assert_int_equal(answer_now(fixture), 0xfa);
    put(fixture, DATA, 0x02);
    assert_int_equal(answer_now(fixture), 0xfa);
    assert_int_equal(get(fixture, COMMAND), 0x10);
}

static void test_write__aux_loop__fails_without_waiting(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, COMMAND, 0xd3);
    put(fixture, DATA, 0x5a);
    /* An answer is there, and it does not come from a second port (status bit 5). */
    assert_int_equal(get(fixture, COMMAND) & 0x21, 0x01);
}

static void test_write__unknown_command__counted_as_missed(void **state)
{
    struct fixture *fixture = *state;
    uint64_t missed = metric_get(&metrics.i8042.missed_write_count);
    put(fixture, COMMAND, 0xa8);
    put(fixture, COMMAND, 0x12);
    assert_int_equal(metric_get(&metrics.i8042.missed_write_count), missed + 2);
    assert_int_equal(get(fixture, COMMAND), 0x10);
}

static void test_write__reset_command__calls_back_once(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, COMMAND, 0xfe);
    assert_int_equal(fixture->resets_count, 1);
    put(fixture, DATA, 0xfe);
    assert_int_equal(fixture->resets_count, 1);
}

static void test_ctrl_alt_del__interrupt_enabled__codes_and_edge_per_key(void **state)
{
    struct fixture *fixture = *state;
    static const uint8_t expected[] = {0x14, 0x11, 0xe0, 0x71};
    assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, NULL), 0);
    assert_int_equal(irq_edges(&fixture->irq), 3);
    for (size_t i = 0; i < ARRAY_LEN(expected); i++)
        assert_int_equal(answer_now(fixture), expected[i]);
    assert_int_equal(irq_edges(&fixture->irq), 3); /* one for each byte that came to the front */
    assert_int_equal(get(fixture, COMMAND), 0x10);
}

static void test_ctrl_alt_del__interrupt_disabled__queued_silently(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, COMMAND, 0x60);
    put(fixture, DATA, 0x04);
    assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, NULL), 0);
    assert_int_equal(irq_edges(&fixture->irq), 0);
    assert_int_equal(answer_now(fixture), 0x14);
}

static void test_ctrl_alt_del__less_than_four_bytes_free__refused_whole(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    for (uint32_t i = 0; i < 4; i++)
        assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, &err), 0);
    get(fixture, DATA);
    get(fixture, DATA);
    get(fixture, DATA);
    assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, &err), -ENOSPC);
    assert_string_equal(err.msg, "i8042 internal buffer full.");
    get(fixture, DATA);
    assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, &err), 0);
}

static void test_read_control__keys_queued__answer_comes_first_and_keys_stay(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(i8042_ctrl_alt_del(fixture->i8042, NULL), 0);
    assert_int_equal(ask(fixture, 0x20), 0x05);
    assert_int_equal(answer_now(fixture), 0x14);
    assert_int_equal(answer_now(fixture), 0x11);
}

static void test_write__more_than_the_queue_holds__counted_and_safe(void **state)
{
    struct fixture *fixture = *state;
    uint64_t errors = metric_get(&metrics.i8042.error_count);
    for (uint32_t i = 0; i < 100; i++) {
        put(fixture, DATA, 0xf2);
        put(fixture, COMMAND, 0x20);
    }
    uint32_t bytes_count = 0;
    while (get(fixture, COMMAND) == 0x11) {
        get(fixture, DATA);
        bytes_count++;
    }
    assert_int_equal(bytes_count, 16);
    assert_true(metric_get(&metrics.i8042.error_count) > errors);
}

static void test_access__any_width_and_other_ports__harmless(void **state)
{
    struct fixture *fixture = *state;
    hit_every_access(&i8042_bus_ops, fixture->i8042, I8042_PORT_SIZE);
    uint64_t missed = metric_get(&metrics.i8042.missed_read_count);
    assert_int_equal(get(fixture, 1), 0);
    assert_int_equal(metric_get(&metrics.i8042.missed_read_count), missed + 1);
    put(fixture, 1, 0xfe);
    const uint8_t wide[2] = {0xfe, 0xfe};
    i8042_bus_ops.write(fixture->i8042, COMMAND, wide, 2);
    assert_int_equal(fixture->resets_count, 0);
    assert_int_equal(get(fixture, COMMAND), 0x10);
}

#define I8042_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        I8042_TEST(test_read__after_create__initial_control_and_status),
        I8042_TEST(test_write__control_and_output_port__read_back),
        I8042_TEST(test_write__probe_commands__answered_at_once),
        I8042_TEST(test_write__keyboard_identify__three_bytes_one_edge_each),
        I8042_TEST(test_write__keyboard_reset_and_leds__acknowledged),
        I8042_TEST(test_write__aux_loop__fails_without_waiting),
        I8042_TEST(test_write__unknown_command__counted_as_missed),
        I8042_TEST(test_write__reset_command__calls_back_once),
        I8042_TEST(test_ctrl_alt_del__interrupt_enabled__codes_and_edge_per_key),
        I8042_TEST(test_ctrl_alt_del__interrupt_disabled__queued_silently),
        I8042_TEST(test_ctrl_alt_del__less_than_four_bytes_free__refused_whole),
        I8042_TEST(test_read_control__keys_queued__answer_comes_first_and_keys_stay),
        I8042_TEST(test_write__more_than_the_queue_holds__counted_and_safe),
        I8042_TEST(test_access__any_width_and_other_ports__harmless),
    };
    log_init("unit");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
