/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART's registers, interrupts and output, as a driver uses them. Single thread.
 */
#include "devices/legacy/serial.h"

#include <fcntl.h>

#include "base/metrics.h"
#include "tests/unit/legacy/legacy_unit.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR, MSR, SCR };

struct fixture {
    struct irq_line irq;
    struct serial *serial;
    int sink[2]; /* pipe: what the guest sent comes out at [0] */
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || irq_line_open(&fixture->irq) < 0 ||
        pipe2(fixture->sink, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    *state = fixture;
    return serial_create(&fixture->irq, fixture->sink[1], &fixture->serial, NULL);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    serial_free(fixture->serial);
    irq_line_close(&fixture->irq);
    fd_close(&fixture->sink[0]);
    fd_close(&fixture->sink[1]);
    free(fixture);
    return 0;
}

static uint8_t get(struct fixture *fixture, uint64_t reg)
{
    return reg_get(&serial_bus_ops, fixture->serial, reg);
}

static void put(struct fixture *fixture, uint64_t reg, uint8_t value)
{
    reg_put(&serial_bus_ops, fixture->serial, reg, value);
}

static size_t feed(struct fixture *fixture, const char *text)
{
    return serial_feed(fixture->serial, (const uint8_t *)text, strlen(text));
}

static uint64_t edges(struct fixture *fixture)
{
    return irq_edges(&fixture->irq);
}

static void test_probe__as_linux_8250_does__finds_a_plain_16550a(void **state)
{
    struct fixture *fixture = *state;
    /* The interrupt register holds four bits. */
    put(fixture, IER, 0);
    assert_int_equal(get(fixture, IER), 0);
    put(fixture, IER, 0xff);
    assert_int_equal(get(fixture, IER), 0x0f);
    put(fixture, IER, 0);
    /* Loopback with RTS and OUT2 shows CTS and DCD. */
    put(fixture, MCR, 0x1a);
    assert_int_equal(get(fixture, MSR) & 0xf0, 0x90);
    put(fixture, MCR, 0);
    assert_int_equal(get(fixture, MSR), 0xb0);
    /* FIFOs on: a 16550A; no 64-byte bit, no enhanced registers behind the odd LCR values. */
    put(fixture, IIR_FCR, 0x01);
    assert_int_equal(get(fixture, IIR_FCR) >> 6, 3);
    put(fixture, LCR, 0x80);
    assert_int_not_equal(get(fixture, IIR_FCR), 0);
    put(fixture, LCR, 0xbf);
    assert_int_not_equal(get(fixture, IIR_FCR), 0);
    put(fixture, LCR, 0x80);
    put(fixture, IIR_FCR, 0x27);
    assert_int_equal(get(fixture, IIR_FCR) >> 5, 6);
    put(fixture, LCR, 0);
    put(fixture, IIR_FCR, 0);
    assert_int_equal(get(fixture, IIR_FCR), 0x01);
    /* Scratch register. */
    put(fixture, SCR, 0xa5);
    assert_int_equal(get(fixture, SCR), 0xa5);
}

static void test_divisor__behind_dlab__stored_and_not_sent(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, LCR, 0x83);
    put(fixture, DATA, 0x01);
    put(fixture, IER, 0x02);
    assert_int_equal(get(fixture, DATA), 0x01);
    assert_int_equal(get(fixture, IER), 0x02);
    put(fixture, LCR, 0x03);
    assert_int_equal(get(fixture, IER), 0);
    char byte;
    assert_int_equal(read(fixture->sink[0], &byte, 1), -1);
    assert_int_equal(edges(fixture), 0);
}

static void test_transmit__bytes__reach_the_sink_in_order(void **state)
{
    struct fixture *fixture = *state;
    uint64_t written = metric_get(&metrics.uart.write_count);
    for (const char *c = "hello\n"; *c != '\0'; c++) {
        assert_int_equal(get(fixture, LSR), 0x60);
        put(fixture, DATA, (uint8_t)*c);
    }
    char text[16] = {0};
    assert_int_equal(read(fixture->sink[0], text, sizeof(text)), 6);
    assert_string_equal(text, "hello\n");
    assert_int_equal(metric_get(&metrics.uart.write_count), written + 6);
    assert_int_equal(edges(fixture), 0);
}

static void test_transmit__full_pipe__dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    int size = fcntl(fixture->sink[1], F_SETPIPE_SZ, 4096);
    assert_true(size >= 4096);
    uint64_t missed = metric_get(&metrics.uart.missed_write_count);
    uint64_t errors = metric_get(&metrics.uart.error_count);
    for (int i = 0; i < size + 10; i++)
        put(fixture, DATA, 'x');
    assert_int_equal(metric_get(&metrics.uart.missed_write_count), missed + 10);
    assert_int_equal(metric_get(&metrics.uart.error_count), errors);
    assert_int_equal(get(fixture, LSR), 0x60);
}

static void test_limit_output__more_than_the_bucket_holds__dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    const struct rl_bucket_config ten_an_hour = {.size = 10, .refill_time_ms = 3600 * 1000};
    const struct rl_bucket_config no_limit = {0};
    char text[64];
    uint64_t dropped = metric_get(&metrics.uart.rate_limiter_dropped_bytes);
    serial_limit_output(fixture->serial, &ten_an_hour);
    for (int i = 0; i < 15; i++)
        put(fixture, DATA, 'x');
    assert_int_equal(read(fixture->sink[0], text, sizeof(text)), 10);
    assert_int_equal(metric_get(&metrics.uart.rate_limiter_dropped_bytes), dropped + 5);
    assert_int_equal(get(fixture, LSR), 0x60); /* the guest never waits */
    serial_limit_output(fixture->serial, &no_limit);
    put(fixture, DATA, 'y');
    assert_int_equal(read(fixture->sink[0], text, sizeof(text)), 1);
}

static void test_transmit__no_sink__dropped_and_counted(void **state)
{
    struct fixture *fixture = *state;
    struct serial *serial = NULL;
    assert_int_equal(serial_create(&fixture->irq, FD_NONE, &serial, NULL), 0);
    uint64_t missed = metric_get(&metrics.uart.missed_write_count);
    reg_put(&serial_bus_ops, serial, DATA, 'x');
    assert_int_equal(metric_get(&metrics.uart.missed_write_count), missed + 1);
    serial_free(serial);
}

static void test_transmit_interrupt__enabled__fires_again_after_each_enable(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x02);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x02);
    assert_int_equal(get(fixture, IIR_FCR), 0x01); /* reading it served it */
    put(fixture, IER, 0x00);
    put(fixture, IER, 0x02);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x02);
}

static void test_transmit_interrupt__byte_sent__fires(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x02);
    get(fixture, IIR_FCR);
    assert_int_equal(edges(fixture), 1);
    put(fixture, DATA, 'a');
    assert_int_equal(edges(fixture), 1);
    put(fixture, DATA, 'b'); /* a driver that never reads IIR hears of it too */
    assert_int_equal(edges(fixture), 1);
}

static void test_receive__interrupts_off__polled(void **state)
{
    struct fixture *fixture = *state;
    assert_int_equal(feed(fixture, "ab"), 2);
    assert_int_equal(edges(fixture), 0);
    assert_int_equal(get(fixture, LSR), 0x61);
    assert_int_equal(get(fixture, DATA), 'a');
    assert_int_equal(get(fixture, DATA), 'b');
    assert_int_equal(get(fixture, LSR), 0x60);
    assert_int_equal(get(fixture, DATA), 0);
}

static void test_receive_interrupt__first_byte__one_edge_until_drained(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x01);
    feed(fixture, "a");
    feed(fixture, "b");
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x04);
    get(fixture, DATA);
    get(fixture, DATA);
    assert_int_equal(get(fixture, IIR_FCR), 0x01);
    assert_int_equal(edges(fixture), 0);
    feed(fixture, "c");
    assert_int_equal(edges(fixture), 1);
}

static void test_receive_interrupt__enabled_late__fires_for_waiting_byte(void **state)
{
    struct fixture *fixture = *state;
    feed(fixture, "a");
    put(fixture, IER, 0x01);
    assert_int_equal(edges(fixture), 1);
}

static void test_interrupt__one_of_two_served__raised_again_for_the_other(void **state)
{
    struct fixture *fixture = *state;
    feed(fixture, "a");
    put(fixture, IER, 0x03);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x04);
    get(fixture, DATA);
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x02);
    assert_int_equal(edges(fixture), 0);
}

static void test_fifo__more_than_it_holds__takes_sixty_four(void **state)
{
    struct fixture *fixture = *state;
    uint8_t data[100];
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)i;
    assert_int_equal(serial_feed(fixture->serial, data, sizeof(data)), 64);
    assert_int_equal(serial_feed(fixture->serial, data, sizeof(data)), 0);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(get(fixture, DATA), i);
    assert_int_equal(serial_feed(fixture->serial, data, sizeof(data)), 10);
    for (size_t i = 10; i < 64; i++)
        assert_int_equal(get(fixture, DATA), i);
    assert_int_equal(get(fixture, DATA), 0);
    assert_int_equal(get(fixture, DATA), 1);
    put(fixture, IIR_FCR, 0x03); /* clear the receiver */
    assert_int_equal(get(fixture, LSR), 0x60);
}

static void test_loopback__byte__comes_back_and_not_out(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, MCR, 0x10);
    put(fixture, IER, 0x01);
    put(fixture, DATA, 'z');
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, LSR), 0x61);
    assert_int_equal(get(fixture, DATA), 'z');
    char byte;
    assert_int_equal(read(fixture->sink[0], &byte, 1), -1);
    assert_int_equal(feed(fixture, "line is cut"), 0);
    put(fixture, MCR, 0x00);
    assert_int_equal(feed(fixture, "back"), 4);
}

static void test_loopback__overrun__line_status_interrupt_cleared_by_lsr(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, MCR, 0x10);
    put(fixture, IER, 0x04);
    for (uint32_t i = 0; i < SERIAL_FIFO_SIZE; i++)
        put(fixture, DATA, 'z');
    assert_int_equal(edges(fixture), 0);
    put(fixture, DATA, 'z');
    assert_int_equal(edges(fixture), 1);
    assert_int_equal(get(fixture, IIR_FCR), 0x06);
    assert_int_equal(get(fixture, LSR), 0x63);
    assert_int_equal(get(fixture, LSR), 0x61);
    assert_int_equal(get(fixture, IIR_FCR), 0x01);
}

static void test_access__any_width__harmless_and_counted(void **state)
{
    struct fixture *fixture = *state;
    uint64_t missed_reads = metric_get(&metrics.uart.missed_read_count);
    hit_every_access(&serial_bus_ops, fixture->serial, SERIAL_PORT_SIZE);
    /* 7 offsets two bytes wide, 5 four, 1 eight. */
    assert_int_equal(metric_get(&metrics.uart.missed_read_count), missed_reads + 13);
    assert_int_equal(get(fixture, IER), 0);
    assert_int_equal(get(fixture, LCR), 0x03);
    for (uint32_t value = 0; value < 256; value++) {
        for (uint64_t reg = 0; reg < SERIAL_PORT_SIZE; reg++) {
            put(fixture, reg, (uint8_t)value);
            get(fixture, reg);
        }
    }
}

#define SERIAL_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        SERIAL_TEST(test_probe__as_linux_8250_does__finds_a_plain_16550a),
        SERIAL_TEST(test_divisor__behind_dlab__stored_and_not_sent),
        SERIAL_TEST(test_transmit__bytes__reach_the_sink_in_order),
        SERIAL_TEST(test_transmit__full_pipe__dropped_and_counted),
        SERIAL_TEST(test_limit_output__more_than_the_bucket_holds__dropped_and_counted),
        SERIAL_TEST(test_transmit__no_sink__dropped_and_counted),
        SERIAL_TEST(test_transmit_interrupt__enabled__fires_again_after_each_enable),
        SERIAL_TEST(test_transmit_interrupt__byte_sent__fires),
        SERIAL_TEST(test_receive__interrupts_off__polled),
        SERIAL_TEST(test_receive_interrupt__first_byte__one_edge_until_drained),
        SERIAL_TEST(test_receive_interrupt__enabled_late__fires_for_waiting_byte),
        SERIAL_TEST(test_interrupt__one_of_two_served__raised_again_for_the_other),
        SERIAL_TEST(test_fifo__more_than_it_holds__takes_sixty_four),
        SERIAL_TEST(test_loopback__byte__comes_back_and_not_out),
        SERIAL_TEST(test_loopback__overrun__line_status_interrupt_cleared_by_lsr),
        SERIAL_TEST(test_access__any_width__harmless_and_counted),
    };
    log_init("unit");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
