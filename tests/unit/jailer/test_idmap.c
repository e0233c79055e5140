/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of ids in texts (subuid(5), passwd(5)). Single thread.
 */
#include <stdio.h>

#include "base/attr.h"
#include "jailer/idmap.h"
#include "tests/unit/unit.h"

static struct jail_idmap_range found(const char *text, const char *name, uint32_t uid)
{
    struct jail_idmap_range range = {0};
    assert_int_equal(jail_idmap_find(text, name, uid, &range), 1);
    return range;
}

static void test_jail_idmap_find__name_or_number__the_first(void **state)
{
    (void)state;
    static const char text[] = "root:1:2\nann:100000:65536\nann:7:8\n1001:200000:10";
    assert_int_equal(found(text, "ann", 5).start, 100000);
    assert_int_equal(found(text, "ann", 5).count, 65536);
    assert_int_equal(found(text, NULL, 1001).start, 200000);
    assert_int_equal(found(text, "bob", 1001).count, 10);
}

static void test_jail_idmap_find__nobody_s__is_none(void **state)
{
    (void)state;
    static const char text[] = "ann:100000:65536\n1001:200000:10\n";
    struct jail_idmap_range range = {1, 1};
    assert_int_equal(jail_idmap_find(text, "an", 5, &range), 0);
    assert_int_equal(jail_idmap_find(text, "anna", 5, &range), 0);
    assert_int_equal(jail_idmap_find(text, NULL, 100, &range), 0);
    assert_int_equal(jail_idmap_find("", "ann", 5, &range), 0);
    assert_int_equal(range.start, 1);
}

static void test_jail_idmap_find__bad_lines__are_passed_over(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "ann\n",
        "ann:\n",
        "ann:1\n",
        "ann:1:\n",
        "ann:x:1\n",
        "ann:1:x\n",
        "ann:-1:5\n",
        "ann:1:0\n",
        "ann:1:2:3\n",
        "ann:4294967296:1\n",
        "ann:4294967295:2\n",
        "ann: 1:2\n",
    };
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct jail_idmap_range range;
        char text[64];
        if (jail_idmap_find(bad[i], "ann", 5, &range) != 0)
            fail_msg("'%s' passed", bad[i]);
        (void)snprintf(text, sizeof(text), "%sann:9:9\n", bad[i]);
        assert_int_equal(found(text, "ann", 5).start, 9);
    }
}

static void test_jail_idmap_name__of_a_number__its_line_s(void **state)
{
    (void)state;
    static const char text[] = "root:x:0:0::/:/bin/sh\nbad:x\nann::1001:5::/:\nbob:x:1001:1::/:\n";
    char name[8];
    assert_int_equal(jail_idmap_name(text, 1001, name, sizeof(name)), 1);
    assert_string_equal(name, "ann");
    assert_int_equal(jail_idmap_name(text, 0, name, sizeof(name)), 1);
    assert_string_equal(name, "root");
    assert_int_equal(jail_idmap_name(text, 5, name, sizeof(name)), 0);
}

static void test_jail_idmap_name__too_long__is_none(void **state)
{
    (void)state;
    char name[4];
    assert_int_equal(jail_idmap_name("anna:x:5:5\n", 5, name, sizeof(name)), 0);
    assert_int_equal(jail_idmap_name("ann:x:5:5\n", 5, name, sizeof(name)), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jail_idmap_find__name_or_number__the_first),
        cmocka_unit_test(test_jail_idmap_find__nobody_s__is_none),
        cmocka_unit_test(test_jail_idmap_find__bad_lines__are_passed_over),
        cmocka_unit_test(test_jail_idmap_name__of_a_number__its_line_s),
        cmocka_unit_test(test_jail_idmap_name__too_long__is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
