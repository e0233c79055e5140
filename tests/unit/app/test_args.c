/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The command line's grammar, one rule a test, and instance ids (cli.md A). Single thread.
 */
#include <errno.h>
#include <string.h>

#include "base/attr.h"
#include "tests/unit/unit.h"
#include "vmm/app/args.h"

#define WORDS_MAX 10
#define WORD_SIZE 64u

/* A command line behind the program's name; NULL ends it. */
struct words {
    const char *at[WORDS_MAX];
};

/* Parses; the program's name is put before the words. What *ret_args borrows lives until the next
 * call. */
static int parse(const struct words *words, struct app_args *ret_args, struct err *err)
{
    static char copies[WORDS_MAX + 1][WORD_SIZE] = {"mayfly"};
    char *argv[WORDS_MAX + 1];
    int argc = 0;
    argv[argc++] = copies[0];
    for (; argc <= WORDS_MAX && words->at[argc - 1]; argc++) {
        assert_true(strlen(words->at[argc - 1]) < WORD_SIZE);
        memcpy(copies[argc], words->at[argc - 1], strlen(words->at[argc - 1]) + 1);
        argv[argc] = copies[argc];
    }
    return app_args_parse(argc, argv, ret_args, err);
}

static void expect_fault(const struct words *words, const char *text)
{
    struct app_args args = {.id = "untouched"};
    struct err err = ERR_INIT;
    assert_int_equal(parse(words, &args, &err), -EINVAL);
    assert_string_equal(err.msg, text);
    assert_string_equal(args.id, "untouched");
}

static struct app_args expect_good(const struct words *words)
{
    struct app_args args = {0};
    struct err err = ERR_INIT;
    int rc = parse(words, &args, &err);
    assert_string_equal(err.msg, "");
    assert_int_equal(rc, 0);
    return args;
}

static void test_app_args_parse__nothing__defaults(void **state)
{
    (void)state;
    struct app_args args = expect_good(&(struct words){{NULL}});
    assert_string_equal(args.api_sock, "/run/firecracker.socket");
    assert_string_equal(args.id, "anonymous-instance");
    assert_string_equal(args.http_api_max_payload_size, "51200");
    assert_null(args.irqchip);
    assert_null(args.config_file);
    assert_null(args.level);
    assert_null(args.mmds_size_limit);
    assert_false(args.no_api || args.help || args.version || args.boot_timer || args.probe);
}

static void test_app_args_parse__every_option__lands_in_its_field(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t off;
    } values[] = {
        {"--api-sock", offsetof(struct app_args, api_sock)},
        {"--config-file", offsetof(struct app_args, config_file)},
        {"--describe-snapshot", offsetof(struct app_args, describe_snapshot)},
        {"--load-snapshot", offsetof(struct app_args, load_snapshot)},
        {"--http-api-max-payload-size", offsetof(struct app_args, http_api_max_payload_size)},
        {"--id", offsetof(struct app_args, id)},
        {"--irqchip", offsetof(struct app_args, irqchip)},
        {"--level", offsetof(struct app_args, level)},
        {"--log-path", offsetof(struct app_args, log_path)},
        {"--metadata", offsetof(struct app_args, metadata)},
        {"--metrics-path", offsetof(struct app_args, metrics_path)},
        {"--mmds-size-limit", offsetof(struct app_args, mmds_size_limit)},
        {"--module", offsetof(struct app_args, module)},
        {"--parent-cpu-time-us", offsetof(struct app_args, parent_cpu_time_us)},
        {"--seccomp-filter", offsetof(struct app_args, seccomp_filter)},
        {"--start-time-cpu-us", offsetof(struct app_args, start_time_cpu_us)},
        {"--start-time-us", offsetof(struct app_args, start_time_us)},
    };
    for (size_t i = 0; i < ARRAY_LEN(values); i++) {
        struct app_args args = expect_good(&(struct words){{values[i].name, "-value"}});
        const char *got;
        memcpy(&got, (const char *)&args + values[i].off, sizeof(got));
        assert_string_equal(got, "-value");
    }
}

static void test_app_args_parse__every_flag__is_set(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t off;
    } flags[] = {
        {"--boot-timer", offsetof(struct app_args, boot_timer)},
        {"--enable-pci", offsetof(struct app_args, enable_pci)},
        {"--no-seccomp", offsetof(struct app_args, no_seccomp)},
        {"--check-host", offsetof(struct app_args, check_host)},
        {"--probe", offsetof(struct app_args, probe)},
        {"--show-level", offsetof(struct app_args, show_level)},
        {"--show-log-origin", offsetof(struct app_args, show_log_origin)},
        {"--snapshot-version", offsetof(struct app_args, snapshot_version)},
    };
    for (size_t i = 0; i < ARRAY_LEN(flags); i++) {
        struct app_args args = expect_good(&(struct words){{flags[i].name}});
        assert_true(((const bool *)&args)[flags[i].off]);
    }
    assert_true(expect_good(&(struct words){{"--no-api", "--config-file", "f"}}).no_api);
}

static void test_app_args_parse__unknown_word__named_without_dashes(void **state)
{
    (void)state;
    expect_fault(&(struct words){{"--nothing"}},
                 "Found argument 'nothing' which wasn't expected, or isn't valid in this context.");
    expect_fault(&(struct words){{"word"}},
                 "Found argument 'word' which wasn't expected, or isn't valid in this context.");
    expect_fault(&(struct words){{"-x"}},
                 "Found argument '-x' which wasn't expected, or isn't valid in this context.");
    expect_fault(&(struct words){{"--id=a"}},
                 "Found argument 'id=a' which wasn't expected, or isn't valid in this context.");
    expect_fault(&(struct words){{""}},
                 "Found argument '' which wasn't expected, or isn't valid in this context.");
}

static void test_app_args_parse__strange_bytes__quoted(void **state)
{
    (void)state;
    struct app_args args;
    struct err err = ERR_INIT;
    assert_int_equal(parse(&(struct words){{"--a\x1b\nb"}}, &args, &err), -EINVAL);
    assert_null(strchr(err.msg, '\x1b'));
    assert_null(strchr(err.msg, '\n'));
}

static void test_app_args_parse__option_twice__refused(void **state)
{
    (void)state;
    expect_fault(&(struct words){{"--id", "a", "--id", "b"}},
                 "The argument 'id' was provided more than once.");
    expect_fault(&(struct words){{"--probe", "--probe"}},
                 "The argument 'probe' was provided more than once.");
}

static void test_app_args_parse__value_missing__refused(void **state)
{
    (void)state;
    const char *text = "The argument 'id' requires a value, but none was supplied.";
    expect_fault(&(struct words){{"--id"}}, text);
    expect_fault(&(struct words){{"--id", "--probe"}}, text);
    expect_fault(&(struct words){{"--id", "--"}}, text);
    expect_fault(&(struct words){{"--id", "--unknown"}}, text);
}

static void test_app_args_parse__value_with_one_dash__taken(void **state)
{
    (void)state;
    assert_string_equal(expect_good(&(struct words){{"--id", "-"}}).id, "-");
    assert_string_equal(expect_good(&(struct words){{"--id", ""}}).id, "");
}

static void test_app_args_parse__bare_dashes__end_the_line(void **state)
{
    (void)state;
    struct app_args args =
        expect_good(&(struct words){{"--id", "a", "--", "--id", "--help", "word"}});
    assert_string_equal(args.id, "a");
    assert_false(args.help);
}

static void test_app_args_parse__requirement_missing__named(void **state)
{
    (void)state;
    expect_fault(&(struct words){{"--no-api"}}, "Argument 'config-file' required, but not found.");
}

static void test_app_args_parse__no_api_and_resume__snapshot_is_what_is_missing(void **state)
{
    (void)state;
    const char *text = "Argument 'load-snapshot' required, but not found.";
    expect_fault(&(struct words){{"--no-api", "--resume"}}, text);
    expect_fault(&(struct words){{"--resume", "--no-api", "--config-file", "f"}}, text);
}

static void test_app_args_parse__excluded_pair__both_named(void **state)
{
    (void)state;
    const char *text =
        "Argument 'no-seccomp' cannot be used together with argument 'seccomp-filter'.";
    expect_fault(&(struct words){{"--seccomp-filter", "f", "--no-seccomp"}}, text);
    expect_fault(&(struct words){{"--no-seccomp", "--seccomp-filter", "f"}}, text);
}

static void test_app_args_parse__several_faults__first_word_then_alphabet(void **state)
{
    (void)state;
    expect_fault(&(struct words){{"--no-api", "--x", "--id"}},
                 "Found argument 'x' which wasn't expected, or isn't valid in this context.");
    expect_fault(&(struct words){{"--seccomp-filter", "f", "--no-seccomp", "--no-api"}},
                 "Argument 'config-file' required, but not found.");
}

static void test_app_args_parse__help_or_version__win_over_faults(void **state)
{
    (void)state;
    assert_true(expect_good(&(struct words){{"--x", "-h"}}).help);
    assert_true(expect_good(&(struct words){{"--id", "--help"}}).help);
    assert_true(expect_good(&(struct words){{"--no-api", "--version"}}).version);
    struct app_args args = expect_good(&(struct words){{"--version", "--help"}});
    assert_true(args.help && args.version);
}

static void test_app_args_check_numbers__decimal_below_2_to_64__taken(void **state)
{
    (void)state;
    static const char *const good[] = {"0", "00012", "+7", "18446744073709551615"};
    static const char *const bad[] = {"", "+", "-1", "1 ", "0x10", "1e3", "18446744073709551616",
                                      "a"};
    for (size_t i = 0; i < ARRAY_LEN(good); i++) {
        struct err err = ERR_INIT;
        struct app_args args = expect_good(&(struct words){{"--start-time-us", good[i]}});
        assert_int_equal(app_args_check_numbers(&args, &err), 0);
    }
    for (size_t i = 0; i < ARRAY_LEN(bad); i++) {
        struct err err = ERR_INIT;
        struct app_args args = expect_good(&(struct words){{"--mmds-size-limit", bad[i]}});
        assert_int_equal(app_args_check_numbers(&args, &err), -EINVAL);
        assert_string_equal(err.msg, "'mmds-size-limit' parameter expected to be of 'usize' type.");
    }
}

static void test_app_args_help__any_size__full_length_and_no_overrun(void **state)
{
    (void)state;
    char text[8192];
    size_t len = app_args_help(text, sizeof(text));
    assert_int_equal(len, strlen(text));
    assert_non_null(strstr(text, "  --api-sock <api-sock> "));
    assert_non_null(strstr(text, "[default: \"/run/firecracker.socket\"]\n"));
    assert_non_null(strstr(text, "  --no-api "));
    char small[40];
    memset(small, 'x', sizeof(small));
    assert_int_equal(app_args_help(small, 20), len);
    assert_int_equal(strlen(small), 19);
    assert_int_equal(small[20], 'x');
}

struct id_row {
    const char *id;
    const char *sentence; /* NULL: good */
};

static void check_ids(const struct id_row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        struct err err = ERR_INIT;
        assert_int_equal(cmdline_check_id(rows[i].id, &err), rows[i].sentence ? -EINVAL : 0);
        assert_string_equal(err.msg, rows[i].sentence ? rows[i].sentence : "");
    }
}

#define LETTERS_8 "\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4\xc3\xa4" /* 16 bytes */

static void test_cmdline_check_id__rules__of_the_reference(void **state)
{
    (void)state;
    static const char longest[] =
        "0123456789012345678901234567890123456789012345678901234567890123";
    static const struct id_row rows[] = {
        {"a", NULL},
        {"-", NULL},
        {"Vm-01", NULL},
        {longest, NULL},
        {"\xc3\xa4", NULL},                      /* a letter outside ASCII */
        {"\xe6\xbc\xa2\xd9\xa3-\xc2\xbd", NULL}, /* Han, an Arabic digit, a half */
        {LETTERS_8 LETTERS_8 LETTERS_8 LETTERS_8, NULL},
        {"", "Invalid instance ID: Invalid len (0);  the length must be between 1 and 64"},
        {"01234567890123456789012345678901234567890123456789012345678901234",
         "Invalid instance ID: Invalid len (65);  the length must be between 1 and 64"},
        {"a_b", "Invalid instance ID: Invalid char (_) at position 1"},
        {"ab/c", "Invalid instance ID: Invalid char (/) at position 2"},
        {" ", "Invalid instance ID: Invalid char ( ) at position 0"},
        {"a\n", "Invalid instance ID: Invalid char (?) at position 1"},
        {"a\x7f", "Invalid instance ID: Invalid char (?) at position 1"},
        {"\xc2\x85", "Invalid instance ID: Invalid char (?) at position 0"}, /* a control */
        {"a\xe2\x82\xac", "Invalid instance ID: Invalid char (\xe2\x82\xac) at position 1"},
        {"\xc3\xa4\xe6\xbc\xa2_", "Invalid instance ID: Invalid char (_) at position 2"},
        {"\xc3\xa4\xc3\x97", "Invalid instance ID: Invalid char (\xc3\x97) at position 1"},
        {"\xf0\x9f\x98\x80", "Invalid instance ID: Invalid char (\xf0\x9f\x98\x80) at position 0"},
        {LETTERS_8 LETTERS_8 LETTERS_8 LETTERS_8 "a",
         "Invalid instance ID: Invalid len (65);  the length must be between 1 and 64"},
    };
    check_ids(rows, ARRAY_LEN(rows));
}

static void test_cmdline_check_id__not_utf8__refused_with_its_byte(void **state)
{
    (void)state;
    static const struct id_row rows[] = {
        {"vm\xff", "Invalid instance ID: Invalid char (\\xff) at position 2: not UTF-8"},
        {"\x80", "Invalid instance ID: Invalid char (\\x80) at position 0: not UTF-8"},
        {"\xc3", "Invalid instance ID: Invalid char (\\xc3) at position 0: not UTF-8"},
        {"\xc3-", "Invalid instance ID: Invalid char (\\xc3) at position 0: not UTF-8"},
        {"\xc3\xa4\xe6\xbc", "Invalid instance ID: Invalid char (\\xe6) at position 1: not UTF-8"},
        {"\xc1\x81", "Invalid instance ID: Invalid char (\\xc1) at position 0: not UTF-8"},
        {"\xed\xa0\x80", "Invalid instance ID: Invalid char (\\xed) at position 0: not UTF-8"},
        {"\xf4\x90\x80\x80", "Invalid instance ID: Invalid char (\\xf4) at position 0: not UTF-8"},
    };
    check_ids(rows, ARRAY_LEN(rows));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_app_args_parse__nothing__defaults),
        cmocka_unit_test(test_app_args_parse__every_option__lands_in_its_field),
        cmocka_unit_test(test_app_args_parse__every_flag__is_set),
        cmocka_unit_test(test_app_args_parse__unknown_word__named_without_dashes),
        cmocka_unit_test(test_app_args_parse__strange_bytes__quoted),
        cmocka_unit_test(test_app_args_parse__option_twice__refused),
        cmocka_unit_test(test_app_args_parse__value_missing__refused),
        cmocka_unit_test(test_app_args_parse__value_with_one_dash__taken),
        cmocka_unit_test(test_app_args_parse__bare_dashes__end_the_line),
        cmocka_unit_test(test_app_args_parse__requirement_missing__named),
        cmocka_unit_test(test_app_args_parse__no_api_and_resume__snapshot_is_what_is_missing),
        cmocka_unit_test(test_app_args_parse__excluded_pair__both_named),
        cmocka_unit_test(test_app_args_parse__several_faults__first_word_then_alphabet),
        cmocka_unit_test(test_app_args_parse__help_or_version__win_over_faults),
        cmocka_unit_test(test_app_args_check_numbers__decimal_below_2_to_64__taken),
        cmocka_unit_test(test_app_args_help__any_size__full_length_and_no_overrun),
        cmocka_unit_test(test_cmdline_check_id__rules__of_the_reference),
        cmocka_unit_test(test_cmdline_check_id__not_utf8__refused_with_its_byte),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
