/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot timer's log line. Single thread.
 */
#include "devices/legacy/boot_timer.h"

#include <regex.h>

#include "base/clock.h"
#include "tests/unit/legacy/legacy_unit.h"

#define NOW_NS (77 * NS_PER_S)

static uint64_t now_ns(void *ctx)
{
    (void)ctx;
    return NOW_NS;
}

static const struct clock stopped_clock = {.now_ns = now_ns};

static void test_write__magic_value__logs_wall_and_cpu_time(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct boot_timer timer = {
        .clock = &stopped_clock,
        .start_ns = NOW_NS - 1234567 * NS_PER_US,
        .start_cpu_ns = clock_process_cpu_ns(),
    };
    reg_put(&boot_timer_bus_ops, &timer, 0, BOOT_TIMER_VALUE);

    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char line[512];
    assert_non_null(fgets(line, sizeof(line), file));
    (void)fclose(file);
    unlink(path);
    regex_t regex;
    const char *pattern = "\\] Guest-boot-time = 1234567 us 1234 ms, +[0-9]+ CPU us [0-9]+ CPU ms$";
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    assert_int_equal(regexec(&regex, line, 0, NULL, 0), 0);
    regfree(&regex);
}

static void test_write__short_times__are_padded_to_six_columns(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct boot_timer timer = {
        .clock = &stopped_clock,
        .start_ns = NOW_NS - 42 * NS_PER_US,
        .start_cpu_ns = clock_process_cpu_ns(),
    };
    reg_put(&boot_timer_bus_ops, &timer, 0, BOOT_TIMER_VALUE);
    assert_int_equal(log_count(path, "Guest-boot-time =     42 us 0 ms, "), 1);
    unlink(path);
}

static void test_write__other_values_offsets_widths__ignored(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct boot_timer timer = {0};
    for (uint32_t value = 0; value < 256; value++) {
        if (value != BOOT_TIMER_VALUE)
            reg_put(&boot_timer_bus_ops, &timer, 0, (uint8_t)value);
    }
    reg_put(&boot_timer_bus_ops, &timer, 1, BOOT_TIMER_VALUE);
    const uint8_t wide[8] = {BOOT_TIMER_VALUE};
    boot_timer_bus_ops.write(&timer, 0, wide, 4);
    hit_every_access(&boot_timer_bus_ops, &timer, 64);
    assert_int_equal(log_count(path, "Guest-boot-time"), 0);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_write__magic_value__logs_wall_and_cpu_time),
        cmocka_unit_test(test_write__short_times__are_padded_to_six_columns),
        cmocka_unit_test(test_write__other_values_offsets_widths__ignored),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
