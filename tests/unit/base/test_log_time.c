/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/log_time.c: our calendar against libc's, offsets, the local zone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log_int.h"
#include "tests/unit/unit.h"

static void test_log_time_format__days_to_2150__as_libc(void **state)
{
    (void)state;
    char ours[LOG_TIME_SIZE];
    char libc[LOG_TIME_SIZE];

    for (int64_t day = 0; day < 65800; day++) {
        time_t moment = (time_t)(day * 86400 + day % 86400);
        struct tm tm;
        assert_non_null(gmtime_r(&moment, &tm));
        assert_int_equal(strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%S.000000042", &tm), 29);
        assert_int_equal(log_time_format(moment, 42, 0, ours, sizeof(ours)), 29);
        assert_string_equal(ours, libc);
    }
}

static void test_log_time_format__last_and_first_seconds__exact(void **state)
{
    (void)state;
    char buf[LOG_TIME_SIZE];

    (void)log_time_format(0, 0, 0, buf, sizeof(buf));
    assert_string_equal(buf, "1970-01-01T00:00:00.000000000");
    (void)log_time_format(951868799, 999999999, 0, buf, sizeof(buf));
    assert_string_equal(buf, "2000-02-29T23:59:59.999999999");
    (void)log_time_format(1798761599, 1, 0, buf, sizeof(buf));
    assert_string_equal(buf, "2026-12-31T23:59:59.000000001");
}

static void test_log_time_format__offsets__cross_midnight(void **state)
{
    (void)state;
    char buf[LOG_TIME_SIZE];

    (void)log_time_format(1798761599, 5, 19800, buf, sizeof(buf)); /* +05:30 */
    assert_string_equal(buf, "2027-01-01T05:29:59.000000005");
    (void)log_time_format(1798761600, 5, -3600, buf, sizeof(buf));
    assert_string_equal(buf, "2026-12-31T23:00:00.000000005");
}

static void test_log_time_format__clock_before_1970__still_a_date(void **state)
{
    (void)state;
    char buf[LOG_TIME_SIZE];

    assert_int_equal(log_time_format(100, 0, -3600, buf, sizeof(buf)), 29);
    assert_string_equal(buf, "1970-01-01T23:01:40.000000000");
}

static void test_log_time_put__zone_with_odd_offset__local_time(void **state)
{
    (void)state;
    char ours[LOG_TIME_SIZE];
    char libc[LOG_TIME_SIZE];
    time_t before = time(NULL);
    time_t after;

    do {
        before = time(NULL);
        assert_int_equal(log_time_put(ours, sizeof(ours)), 29);
        after = time(NULL);
    } while (before != after);
    before += 20700; /* main has set +05:45 */
    struct tm tm;
    assert_non_null(gmtime_r(&before, &tm));
    assert_int_equal(strftime(libc, sizeof(libc), "%Y-%m-%dT%H:%M:%S.", &tm), 20);
    assert_memory_equal(ours, libc, 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_log_time_format__days_to_2150__as_libc),
        cmocka_unit_test(test_log_time_format__last_and_first_seconds__exact),
        cmocka_unit_test(test_log_time_format__offsets__cross_midnight),
        cmocka_unit_test(test_log_time_format__clock_before_1970__still_a_date),
        cmocka_unit_test(test_log_time_put__zone_with_odd_offset__local_time),
    };

    /* The log reads the zone once. */
    if (setenv("TZ", "TST-05:45", 1) < 0)
        return 1;
    log_zone_init();
    return cmocka_run_group_tests(tests, NULL, NULL);
}
