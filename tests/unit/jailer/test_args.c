/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The jailer's command line and numbers (cli.md I.1). Single thread.
 */
#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "jailer/args.h"
#include "tests/unit/unit.h"

static int parse(char *const *words, struct jail_args *ret_args, struct err *err)
{
    int argc = 0;
    while (words[argc])
        argc++;
    return jail_args_parse(argc, words, ret_args, err);
}

/* Words of a command line, as main gets them. */
#define WORDS(...) ((char *[]){__VA_ARGS__, NULL})
static char program[] = "jailer";
static char opt_id[] = "--id", opt_exec[] = "--exec-file", opt_uid[] = "--uid", opt_gid[] = "--gid";
static char opt_cgroup[] = "--cgroup", opt_rest[] = "--", one[] = "1", two[] = "2";
static char opt_rootless[] = "--rootless", opt_base[] = "--chroot-base-dir", opt_help[] = "--help";
static char opt_version[] = "--version", nonsense[] = "--nonsense";

static void test_jail_args_parse__needed_ones__defaults_of_others(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    assert_int_equal(
        parse(WORDS(program, opt_id, one, opt_exec, two, opt_uid, one, opt_gid, two), &args, &err),
        0);
    assert_string_equal(args.id, "1");
    assert_string_equal(args.exec_file, "2");
    assert_string_equal(args.chroot_base_dir, "/srv/jailer");
    assert_null(args.cgroup_version);
    assert_null(args.parent_cgroup);
    assert_int_equal(args.rest, 9);
}

static void test_jail_args_parse__behind_the_bare_dashes__the_monitor_s(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    assert_int_equal(parse(WORDS(program, opt_id, one, opt_exec, two, opt_uid, one, opt_gid, two,
                                 opt_rest, opt_id, nonsense),
                           &args, &err),
                     0);
    assert_int_equal(args.rest, 10);
}

static void test_jail_args_parse__cgroups__may_be_given_more_than_once(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    assert_int_equal(parse(WORDS(program, opt_id, one, opt_exec, two, opt_uid, one, opt_gid, two,
                                 opt_cgroup, one, opt_cgroup, two),
                           &args, &err),
                     0);
    assert_int_equal(args.cgroups.count, 2);
    assert_string_equal(args.cgroups.values[1], "2");
}

static void test_jail_args_parse__something_missing__first_in_the_alphabet(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    assert_int_equal(parse(WORDS(program, opt_id, one), &args, &err), -EINVAL);
    assert_string_equal(err.msg,
                        "Failed to parse arguments: Argument 'exec-file' required, but not found.");
}

static void test_jail_args_parse__rootless__has_a_pid_namespace_and_needs_a_base(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    char *words[] = {program, opt_id,  one, opt_exec, two,  opt_uid,
                     one,     opt_gid, two, NULL,     NULL, NULL};
    words[9] = opt_rootless;
    assert_int_equal(parse(words, &args, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "--rootless needs --chroot-base-dir"));
    words[10] = opt_help;
    assert_int_equal(parse(words, &args, &err), 0);
    char *based[] = {program, opt_id, one,          opt_exec, two, opt_uid, one,
                     opt_gid, two,    opt_rootless, opt_base, one, NULL};
    assert_int_equal(parse(based, &args, &err), 0);
    assert_true(args.new_pid_ns);
    assert_string_equal(args.chroot_base_dir, "1");
}

static void test_jail_args_parse__version__wins_over_faults(void **state)
{
    (void)state;
    struct jail_args args = {0};
    struct err err = ERR_INIT;
    assert_int_equal(parse(WORDS(program, nonsense, opt_version), &args, &err), 0);
    assert_true(args.version);
}

static void test_jail_id_parse__numbers__32_bits_but_all_ones(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int rc;
        uint32_t id;
    } rows[] = {
        {"0", 0, 0},
        {"4294967294", 0, 4294967294u},
        {"4294967295", -EINVAL, 0},
        {"-1", -EINVAL, 0},
        {"", -EINVAL, 0},
        {"1x", -EINVAL, 0},
        {" 1", -EINVAL, 0},
        {"99999999999999999999", -EINVAL, 0},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        uint32_t id = 0;
        struct err err = ERR_INIT;
        assert_int_equal(jail_id_parse(rows[i].text, "uid", &id, &err), rows[i].rc);
        assert_int_equal(id, rows[i].id);
    }
}

static struct jail_limits limits_of(const struct cmdline_list *list)
{
    struct jail_limits limits = {0};
    struct err err = ERR_INIT;
    assert_int_equal(jail_limits_parse(list, &limits, &err), 0);
    return limits;
}

static void test_jail_limits_parse__none__files_2048(void **state)
{
    (void)state;
    struct jail_limits limits = limits_of(&(struct cmdline_list){.count = 0});
    assert_int_equal(limits.no_file, 2048);
    assert_false(limits.has_fsize);
}

static void test_jail_limits_parse__both__the_last_one_counts(void **state)
{
    (void)state;
    struct jail_limits limits =
        limits_of(&(struct cmdline_list){{"fsize=1", "no-file=7", "fsize=250"}, 3});
    assert_int_equal(limits.no_file, 7);
    assert_true(limits.has_fsize);
    assert_int_equal(limits.fsize, 250);
}

static void test_jail_limits_parse__bad_ones__the_reference_s_sentences(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *sentence;
    } rows[] = {
        {"fsize", "Invalid format for resources limits: fsize"},
        {"fsize=", "Invalid format for resources limits: fsize="},
        {"fsize=1=2", "Invalid format for resources limits: fsize=1=2"},
        {"=1", "Invalid resource argument: "},
        {"fsiz=1", "Invalid resource argument: fsiz"},
        {"no-file=-1", "Invalid limit value for resource: -1: a number from 0 to 2^64 - 1 is "
                       "expected"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        struct jail_limits limits = {0};
        struct err err = ERR_INIT;
        const struct cmdline_list list = {{rows[i].text}, 1};
        assert_int_equal(jail_limits_parse(&list, &limits, &err), -EINVAL);
        assert_string_equal(err.msg, rows[i].sentence);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_jail_args_parse__needed_ones__defaults_of_others),
        cmocka_unit_test(test_jail_args_parse__behind_the_bare_dashes__the_monitor_s),
        cmocka_unit_test(test_jail_args_parse__cgroups__may_be_given_more_than_once),
        cmocka_unit_test(test_jail_args_parse__something_missing__first_in_the_alphabet),
        cmocka_unit_test(test_jail_args_parse__rootless__has_a_pid_namespace_and_needs_a_base),
        cmocka_unit_test(test_jail_args_parse__version__wins_over_faults),
        cmocka_unit_test(test_jail_id_parse__numbers__32_bits_but_all_ones),
        cmocka_unit_test(test_jail_limits_parse__none__files_2048),
        cmocka_unit_test(test_jail_limits_parse__both__the_last_one_counts),
        cmocka_unit_test(test_jail_limits_parse__bad_ones__the_reference_s_sentences),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
