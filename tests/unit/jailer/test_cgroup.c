/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of cgroups is text: values, parents, mounts (cli.md I.4). Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "base/attr.h"
#include "jailer/cgroup_int.h"
#include "jailer/rootless_cgroup.h"
#include "tests/unit/unit.h"

static int parse(const char *text, const char *version, struct jail_cgroups *ret, struct err *err)
{
    const struct cmdline_list list = {{text}, 1};
    return jail_cgroups_parse(&list, version, "parent", "id", ret, err);
}

static void test_jail_cgroups_parse__a_value__file_controller_and_value(void **state)
{
    (void)state;
    struct jail_cgroups cgroups = {0};
    struct err err = ERR_INIT;
    assert_int_equal(parse("cpuset.cpus.x=0-1", "2", &cgroups, &err), 0);
    assert_int_equal(cgroups.version, 2);
    assert_int_equal(cgroups.values_count, 1);
    assert_int_equal(cgroups.values[0].controller_len, strlen("cpuset"));
    assert_int_equal(cgroups.values[0].file_len, strlen("cpuset.cpus.x"));
    assert_string_equal(cgroups.values[0].value, "0-1");
}

static void test_jail_cgroups_parse__bad_ones__the_reference_s_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        {"a.b", "Invalid format for cgroups: a.b"},
        {"a.b=", "Invalid format for cgroups: a.b="},
        {"=1", "Invalid format for cgroups: =1"},
        {"a.b=1=2", "Invalid format for cgroups: a.b=1=2"},
        {"ab=1", "Cgroup invalid file: ab"},
        {".b=1", "Cgroup invalid file: .b"},
        {"a/b.c=1", "Cgroup invalid file: a/b.c"},
        {"../a=1", "Cgroup invalid file: ../a"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jail_cgroups cgroups = {0};
        struct err err = ERR_INIT;
        assert_int_equal(parse(rows[i].text, "1", &cgroups, &err), -EINVAL);
        assert_string_equal(err.msg, rows[i].sentence);
    }
}

static void test_jail_cgroups_parse__versions__are_1_and_2(void **state)
{
    (void)state;
    static const char *const bad[] = {"0", "3", "", "11", "v2"};
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct jail_cgroups cgroups = {0};
        struct err err = ERR_INIT;
        assert_int_equal(parse("a.b=1", bad[i], &cgroups, &err), -EINVAL);
    }
}

static void test_jail_cgroup_check_parent__paths__stay_below(void **state)
{
    (void)state;
    static const char *const good[] = {"a", "a/b", "a.b/..c", "...", "a/b/"};
    static const char *const bad[] = {"", "/", "/a", ".", "..", "a/..", "a/./b", "../a", "a/../b"};
    struct err err = ERR_INIT;
    for (size_t i = 0; i < ARRAY_LEN(good); i++)
        assert_int_equal(jail_cgroup_check_parent(good[i], &err), 0);
    for (size_t i = 0; i < ARRAY_LEN(bad); i++)
        if (jail_cgroup_check_parent(bad[i], &err) != -EINVAL)
            fail_msg("'%s' passed", bad[i]);
}

/* Looks for a controller (NULL: version 2), in a buffer of `size`; "" where there is none. */
static int find(const char *mounts, const char *controller, char *ret_path, size_t size)
{
    ret_path[0] = '\0';
    return jail_cgroup_find_mount(mounts, controller, controller ? strlen(controller) : 0, ret_path,
                                  size);
}

static const char usual[] = "proc /proc proc rw 0 0\n"
                            "cgroup /sys/fs/cgroup/cpu,cpuacct cgroup rw,cpuacct,cpu 0 0\n"
                            "none /sys/fs/cgroup/unified cgroup2 rw 0 0\n"
                            "cgroup /sys/fs/cgroup/cpuset cgroup rw,cpuset 0 0\n"
                            "two /second cgroup2 rw 0 0\n";

static void test_jail_cgroup_find_mount__controllers__by_whole_option(void **state)
{
    (void)state;
    char path[64];
    assert_int_equal(find(usual, "cpu", path, sizeof(path)), 1);
    assert_string_equal(path, "/sys/fs/cgroup/cpu,cpuacct");
    assert_int_equal(find(usual, "cpuset", path, sizeof(path)), 1);
    assert_string_equal(path, "/sys/fs/cgroup/cpuset");
    assert_int_equal(find(usual, "cpus", path, sizeof(path)), 0);
    assert_int_equal(find(usual, "memory", path, sizeof(path)), 0);
}

static void test_jail_cgroup_find_mount__version_2__the_first(void **state)
{
    (void)state;
    char path[64];
    assert_int_equal(find(usual, NULL, path, sizeof(path)), 1);
    assert_string_equal(path, "/sys/fs/cgroup/unified");
}

static void test_jail_cgroup_find_mount__octal_digits__are_characters(void **state)
{
    (void)state;
    char path[64];
    assert_int_equal(find("c /a\\040b\\134 cgroup2 rw 0 0\n", NULL, path, sizeof(path)), 1);
    assert_string_equal(path, "/a b\\");
    assert_int_equal(find("c /a\\04 cgroup2 rw 0 0\n", NULL, path, sizeof(path)), 1);
    assert_string_equal(path, "/a\\04");
}

static void test_jail_cgroup_find_mount__a_path_too_long__is_refused(void **state)
{
    (void)state;
    char path[8];
    assert_int_equal(find("c /1234567 cgroup2 rw 0 0\n", NULL, path, sizeof(path)), -ENAMETOOLONG);
    assert_int_equal(find("c /123456 cgroup2 rw 0 0\n", NULL, path, sizeof(path)), 1);
}

static void test_jail_cgroup_find_mount__cut_anywhere__ends(void **state)
{
    (void)state;
    char path[64];
    char text[sizeof(usual)];
    for (size_t len = 0; len < sizeof(usual); len++) {
        memcpy(text, usual, len);
        text[len] = '\0';
        int rc = find(text, "memory", path, sizeof(path));
        assert_int_equal(rc, 0);
    }
}

static void test_jail_cgroup_find_own__text_of_proc__the_line_of_version_2(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *path; /* NULL: there is none */
    } rows[] = {
        {"0::/\n", ""},
        {"0::/user.slice/a b.scope\n", "user.slice/a b.scope"},
        {"4:memory:/other\n0::/own", "own"},
        {"4:memory:/other\n10::/no\n", NULL},
        {"0::\n", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        char path[PATH_MAX] = "as before";
        assert_int_equal(jail_cgroup_find_own(rows[i].text, path), rows[i].path != NULL);
        assert_string_equal(path, rows[i].path ? rows[i].path : "as before");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jail_cgroup_find_own__text_of_proc__the_line_of_version_2),
        cmocka_unit_test(test_jail_cgroups_parse__a_value__file_controller_and_value),
        cmocka_unit_test(test_jail_cgroups_parse__bad_ones__the_reference_s_sentences),
        cmocka_unit_test(test_jail_cgroups_parse__versions__are_1_and_2),
        cmocka_unit_test(test_jail_cgroup_check_parent__paths__stay_below),
        cmocka_unit_test(test_jail_cgroup_find_mount__controllers__by_whole_option),
        cmocka_unit_test(test_jail_cgroup_find_mount__version_2__the_first),
        cmocka_unit_test(test_jail_cgroup_find_mount__octal_digits__are_characters),
        cmocka_unit_test(test_jail_cgroup_find_mount__a_path_too_long__is_refused),
        cmocka_unit_test(test_jail_cgroup_find_mount__cut_anywhere__ends),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
