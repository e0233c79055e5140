/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names and version lines (architecture.md, programs). Single thread.
 */
#include <string.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "tests/unit/unit.h"
#include "vmm/app/version.h"

static void test_cmdline_program_name__path__last_component(void **state)
{
    (void)state;
    static const struct {
        const char *argv0;
        const char *name;
    } rows[] = {
        {"mayfly", "mayfly"}, {"/usr/bin/firecracker", "firecracker"},
        {"./x/y", "y"},       {"/", ""},
        {"", "mayfly"},       {NULL, "mayfly"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        assert_string_equal(cmdline_program_name(rows[i].argv0, "mayfly"), rows[i].name);
}

static void test_app_version_line__called_firecracker__answers_like_it(void **state)
{
    (void)state;
    char line[64];
    int len = app_version_line("firecracker", line, sizeof(line));
    assert_string_equal(line, "Firecracker v1.16.1\n");
    assert_int_equal(len, strlen(line));
}

static void test_app_version_line__own_name__own_version_and_api_level(void **state)
{
    (void)state;
    static const char *const names[] = {"mayfly", "firecracker-v1", "Firecracker", ""};
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        char line[64];
        int len = app_version_line(names[i], line, sizeof(line));
        assert_int_equal(strncmp(line, "Mayfly v", 8), 0);
        assert_non_null(strstr(line, " (Firecracker API v1.16.1)\n"));
        assert_int_equal(len, strlen(line));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cmdline_program_name__path__last_component),
        cmocka_unit_test(test_app_version_line__called_firecracker__answers_like_it),
        cmocka_unit_test(test_app_version_line__own_name__own_version_and_api_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
