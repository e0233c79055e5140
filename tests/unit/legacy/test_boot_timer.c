/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The boot timer's log line. Single thread.
 */
#include "devices/legacy/boot_timer.h"

#include <regex.h>

#include "base/clock.h"
#include "tests/unit/legacy/legacy_unit.h"

static void test_write__magic_value__logs_wall_and_cpu_time(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct boot_timer timer = {
        .start_ns = clock_mono_ns() - 1234567 * NS_PER_US,
        .start_cpu_ns = clock_process_cpu_ns(),
    };
    reg_put(&boot_timer_bus_ops, &timer, 0, BOOT_TIMER_VALUE);

    FILE *file = fopen(path, "re");
    assert_non_null(file);
    char line[512];
    assert_non_null(fgets(line, sizeof(line), file));
    (void)fclose(file);
    unlink(path);
    /* The wall time is at least what lies behind us, and its milliseconds agree with its
     * microseconds. */
    regex_t regex;
    regmatch_t match[5];
    const char *pattern =
        "\\] Guest-boot-time = +([0-9]+) us ([0-9]+) ms, +([0-9]+) CPU us ([0-9]+) CPU ms$";
    assert_int_equal(regcomp(&regex, pattern, REG_EXTENDED | REG_NEWLINE), 0);
    assert_int_equal(regexec(&regex, line, 5, match, 0), 0);
    regfree(&regex);
    unsigned long long wall_us = strtoull(line + match[1].rm_so, NULL, 10);
    assert_true(wall_us >= 1234567 && wall_us < 1234567 + 10000000);
    assert_int_equal(strtoull(line + match[2].rm_so, NULL, 10), wall_us / 1000);
}

static void test_write__short_times__are_padded_to_six_columns(void **state)
{
    (void)state;
    char path[32];
    log_capture(path);
    struct boot_timer timer = {
        .start_ns = clock_mono_ns(),
        .start_cpu_ns = clock_process_cpu_ns(),
    };
    reg_put(&boot_timer_bus_ops, &timer, 0, BOOT_TIMER_VALUE);
    assert_int_equal(log_count(path, "Guest-boot-time =   "), 1);
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
