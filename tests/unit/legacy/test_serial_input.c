/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The UART's input from a pipe on a loop: back-pressure, the guest that does not listen yet, end of
 * file. The last test drains on a second thread, as a vCPU does.
 */
#include "devices/legacy/serial.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "tests/unit/legacy/legacy_unit.h"

enum { DATA, IER, IIR_FCR, LCR, MCR, LSR };

#define DETACHED "Detached the serial input due to peer close/error."

struct fixture {
    struct irq_line irq;
    struct serial *serial;
    struct loop *loop;
    int source[2]; /* pipe: what goes into [1] is typed */
    char log_path[32];
};

static int setup(void **state)
{
    struct fixture *fixture = calloc(1, sizeof(*fixture));
    if (fixture == NULL || irq_line_open(&fixture->irq) < 0 ||
        pipe2(fixture->source, O_CLOEXEC | O_NONBLOCK) < 0)
        return -1;
    *state = fixture;
    log_capture(fixture->log_path);
    if (loop_create(clock_real(), &fixture->loop, NULL) < 0 ||
        serial_create(&fixture->irq, FD_NONE, &fixture->serial, NULL) < 0)
        return -1;
    return serial_attach_input(fixture->serial, fixture->loop, fixture->source[0], NULL);
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    serial_free(fixture->serial);
    loop_free(fixture->loop);
    irq_line_close(&fixture->irq);
    fd_close(&fixture->source[0]);
    fd_close(&fixture->source[1]);
    unlink(fixture->log_path);
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

static void type(struct fixture *fixture, const char *text)
{
    assert_int_equal(write(fixture->source[1], text, strlen(text)), strlen(text));
}

/* Runs the loop until it has nothing to do; a source that never falls silent fails. */
static void settle(struct fixture *fixture)
{
    for (uint32_t i = 0; i < 100; i++) {
        int ran = loop_turn(fixture->loop, 0);
        assert_true(ran >= 0);
        if (ran == 0)
            return;
    }
    fail_msg("the loop is spinning");
}

static void test_input__guest_listens__bytes_and_interrupt_arrive(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x01);
    type(fixture, "hi");
    settle(fixture);
    assert_int_equal(irq_edges(&fixture->irq), 1);
    assert_int_equal(get(fixture, DATA), 'h');
    assert_int_equal(get(fixture, DATA), 'i');
    assert_int_equal(get(fixture, LSR), 0x60);
}

static void test_input__driver_flushes_before_it_listens__nothing_lost(void **state)
{
    struct fixture *fixture = *state;
    type(fixture, "early");
    settle(fixture);
    put(fixture, IIR_FCR, 0x07);
    put(fixture, IIR_FCR, 0x00);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(get(fixture, LSR), 0x60);
        assert_int_equal(get(fixture, DATA), 0);
        settle(fixture);
    }
    put(fixture, IER, 0x05);
    settle(fixture);
    for (const char *c = "early"; *c != '\0'; c++)
        assert_int_equal(get(fixture, DATA), *c);
}

static void test_input__guest_polls_without_interrupts__bytes_arrive(void **state)
{
    struct fixture *fixture = *state;
    type(fixture, "p");
    settle(fixture);
    uint32_t polls_count = 0;
    while ((get(fixture, LSR) & 0x01) == 0) {
        assert_true(++polls_count < 100);
        settle(fixture);
    }
    assert_int_equal(get(fixture, DATA), 'p');
}

static void test_input__fifo_full__rest_waits_in_the_pipe(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x01);
    for (uint32_t i = 0; i < 200; i++)
        type(fixture, (char[]){(char)('A' + i % 26), '\0'});
    settle(fixture);
    assert_int_equal(serial_feed(fixture->serial, (const uint8_t *)"x", 1), 0);
    char byte;
    for (uint32_t i = 0; i < 200; i++) {
        assert_int_equal(get(fixture, DATA), 'A' + i % 26);
        settle(fixture);
    }
    assert_int_equal(read(fixture->source[0], &byte, 1), -1);
    assert_int_equal(get(fixture, LSR), 0x60);
}

static void test_input__end_of_file__detached_with_one_line(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x01);
    type(fixture, "last");
    fd_close(&fixture->source[1]);
    settle(fixture);
    assert_int_equal(log_count(fixture->log_path, DETACHED), 1);
    for (const char *c = "last"; *c != '\0'; c++)
        assert_int_equal(get(fixture, DATA), *c);
    assert_int_equal(get(fixture, LSR), 0x60);
}

static void test_input__end_of_file_while_parked__silent_until_the_guest_reads(void **state)
{
    struct fixture *fixture = *state;
    type(fixture, "piped");
    fd_close(&fixture->source[1]);
    settle(fixture); /* a hung-up pipe must not spin while nobody listens */
    assert_int_equal(log_count(fixture->log_path, DETACHED), 0);
    put(fixture, IER, 0x01);
    settle(fixture);
    assert_int_equal(log_count(fixture->log_path, DETACHED), 1);
    for (const char *c = "piped"; *c != '\0'; c++)
        assert_int_equal(get(fixture, DATA), *c);
}

static void test_input__loopback__waits_until_it_ends(void **state)
{
    struct fixture *fixture = *state;
    put(fixture, IER, 0x01);
    put(fixture, MCR, 0x10);
    type(fixture, "w");
    settle(fixture);
    assert_int_equal(get(fixture, LSR), 0x60);
    put(fixture, MCR, 0x00);
    settle(fixture);
    assert_int_equal(get(fixture, DATA), 'w');
}

static void test_attach__unpollable_or_second_input__refused(void **state)
{
    struct fixture *fixture = *state;
    struct err err = ERR_INIT;
    assert_int_equal(serial_attach_input(fixture->serial, fixture->loop, fixture->source[0], &err),
                     -EBUSY);
    serial_detach_input(fixture->serial);
    int null_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    assert_true(null_fd >= 0);
    assert_int_equal(serial_attach_input(fixture->serial, fixture->loop, null_fd, &err), -EPERM);
    fd_close(&null_fd);
    serial_detach_input(fixture->serial);
    assert_int_equal(serial_attach_input(fixture->serial, fixture->loop, fixture->source[0], &err),
                     0);
}

#define FLOOD_SIZE 20000u

struct drainer {
    struct fixture *fixture;
    bool in_order;
};

/* A vCPU's part: reads whenever the status register shows a byte. */
static void *drain(void *arg)
{
    struct drainer *drainer = arg;
    struct fixture *fixture = drainer->fixture;
    uint8_t expected = 0;
    drainer->in_order = true;
    for (uint32_t got = 0; got < FLOOD_SIZE;) {
        if ((get(fixture, LSR) & 0x01) == 0)
            continue;
        if (get(fixture, DATA) != expected++)
            drainer->in_order = false;
        got++;
    }
    loop_stop(fixture->loop);
    return NULL;
}

struct flood {
    struct loop_src src;
    struct loop *loop;
    uint32_t sent_size;
};

static void on_writable(struct loop_src *src, uint32_t revents)
{
    struct flood *flood = src->ctx;
    (void)revents;
    uint8_t data[251];
    size_t len = FLOOD_SIZE - flood->sent_size;
    if (len > sizeof(data))
        len = sizeof(data);
    for (size_t i = 0; i < len; i++)
        data[i] = (uint8_t)(flood->sent_size + i);
    ssize_t done = write(src->fd, data, len);
    if (done > 0)
        flood->sent_size += (uint32_t)done;
    if (flood->sent_size == FLOOD_SIZE)
        loop_remove(flood->loop, src);
}

static void test_input__drained_by_another_thread__no_wake_up_lost(void **state)
{
    struct fixture *fixture = *state;
    struct flood flood = {.loop = fixture->loop};
    flood.src = (struct loop_src){
        .fd = fixture->source[1], .events = EPOLLOUT, .fn = on_writable, .ctx = &flood};
    put(fixture, IER, 0x01);
    assert_int_equal(loop_add(fixture->loop, &flood.src), 0);
    struct drainer drainer = {.fixture = fixture};
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, drain, &drainer), 0);
    assert_int_equal(loop_run(fixture->loop, NULL), 0);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_true(drainer.in_order);
}

#define INPUT_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        INPUT_TEST(test_input__guest_listens__bytes_and_interrupt_arrive),
        INPUT_TEST(test_input__driver_flushes_before_it_listens__nothing_lost),
        INPUT_TEST(test_input__guest_polls_without_interrupts__bytes_arrive),
        INPUT_TEST(test_input__fifo_full__rest_waits_in_the_pipe),
        INPUT_TEST(test_input__end_of_file__detached_with_one_line),
        INPUT_TEST(test_input__end_of_file_while_parked__silent_until_the_guest_reads),
        INPUT_TEST(test_input__loopback__waits_until_it_ends),
        INPUT_TEST(test_attach__unpollable_or_second_input__refused),
        INPUT_TEST(test_input__drained_by_another_thread__no_wake_up_lost),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
