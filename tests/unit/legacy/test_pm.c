/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ACPI power-off and reset ports. Single thread.
 */
#include "devices/legacy/pm.h"

#include "tests/unit/legacy/legacy_unit.h"

struct events {
    uint32_t power_offs_count;
    uint32_t resets_count;
};

static void on_event(void *ctx, enum pm_event event)
{
    struct events *events = ctx;
    if (event == PM_EVENT_POWER_OFF)
        events->power_offs_count++;
    else
        events->resets_count++;
}

static void test_write__every_value_at_every_port__only_s5_and_reset_count(void **state)
{
    (void)state;
    struct events events = {0};
    struct pm pm = {.on_event = on_event, .ctx = &events};
    for (uint64_t off = 0; off < PM_PORT_SIZE; off++) {
        for (uint32_t value = 0; value < 256; value++) {
            struct events before = events;
            reg_put(&pm_bus_ops, &pm, off, (uint8_t)value);
            bool is_s5 = off == 0 && (value & 0x20) != 0 && ((value >> 2) & 7) == 5;
            bool is_reset = off == 2 && value == 1;
            assert_int_equal(events.power_offs_count, before.power_offs_count + (is_s5 ? 1 : 0));
            assert_int_equal(events.resets_count, before.resets_count + (is_reset ? 1 : 0));
        }
    }
    assert_int_equal(events.power_offs_count, 16); /* bits 0, 1, 6 and 7 are not looked at */
    assert_int_equal(events.resets_count, 1);
}

static void test_read__any_port__is_zero(void **state)
{
    (void)state;
    struct pm pm = {.on_event = on_event};
    for (uint64_t off = 0; off < PM_PORT_SIZE; off++)
        assert_int_equal(reg_get(&pm_bus_ops, &pm, off), 0);
}

static void test_write__wide__ignored(void **state)
{
    (void)state;
    struct events events = {0};
    struct pm pm = {.on_event = on_event, .ctx = &events};
    hit_every_access(&pm_bus_ops, &pm, PM_PORT_SIZE);
    const uint8_t s5_and_reset[4] = {0x34, 0, 1, 0};
    pm_bus_ops.write(&pm, 0, s5_and_reset, 4);
    assert_int_equal(events.power_offs_count + events.resets_count, 0);
}

static void test_write__wake_status__not_logged(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct pm pm = {.on_event = on_event};
    reg_put(&pm_bus_ops, &pm, 1, 0x80);
    assert_int_equal(log_count(path, "pm: "), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write__every_value_at_every_port__only_s5_and_reset_count),
        cmocka_unit_test(test_read__any_port__is_zero),
        cmocka_unit_test(test_write__wide__ignored),
        cmocka_unit_test(test_write__wake_status__not_logged),
    };
    log_init("unit");
    return cmocka_run_group_tests(tests, NULL, NULL);
}
