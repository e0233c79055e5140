/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of vmm/bus/irq.c: edges arrive in the eventfd and are counted.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tests/unit/unit.h"
#include "vmm/bus/irq.h"

static void test_irq_raise__open_line__edge_and_count(void **state)
{
    (void)state;
    struct irq_line line = {.fd = FD_NONE};
    uint64_t before = metric_get(&metrics.interrupts.triggers);
    uint64_t edges_count = 0;

    assert_int_equal(irq_line_open(&line), 0);
    irq_raise(&line);
    irq_raise(&line);
    assert_int_equal(metric_get(&metrics.interrupts.triggers) - before, 2);
    assert_int_equal(read(line.fd, &edges_count, sizeof(edges_count)), sizeof(edges_count));
    assert_int_equal(edges_count, 2);
    irq_line_close(&line);
    assert_int_equal(line.fd, FD_NONE);
}

static void test_irq_raise__full_counter__edge_still_pending(void **state)
{
    (void)state;
    struct irq_line line = {.fd = FD_NONE};
    const uint64_t most = UINT64_MAX - 1;

    assert_int_equal(irq_line_open(&line), 0);
    assert_int_equal(write(line.fd, &most, sizeof(most)), sizeof(most));
    irq_raise(&line);
    assert_int_equal(fd_event_take(line.fd), 1);
    irq_line_close(&line);
}

static void test_irq_raise__not_connected__nothing(void **state)
{
    (void)state;
    struct irq_line line = {.fd = FD_NONE};
    uint64_t before = metric_get(&metrics.interrupts.triggers);

    irq_raise(&line);
    assert_int_equal(metric_get(&metrics.interrupts.triggers), before);
    irq_line_close(&line);
    assert_int_equal(line.fd, FD_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_irq_raise__open_line__edge_and_count),
        cmocka_unit_test(test_irq_raise__full_counter__edge_still_pending),
        cmocka_unit_test(test_irq_raise__not_connected__nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
