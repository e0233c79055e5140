/* SPDX-License-Identifier: Apache-2.0 */
/* Unit tests of vmm/arch/x86_64/cmdline.c: the rules of devices.md 8.3. */
#include "tests/unit/arch/arch_images.h"

#include <errno.h>

#define TOO_LONG "Inserting string would make command line too long."
#define NOT_PRINTABLE "String contains a non-printable ASCII character."

struct row {
    const char *name;
    const char *boot_args;
    const char *want; /* after "pci=off" and "root=/dev/vda" */
};

static const struct row rows[] = {
    {"absent__default", NULL,
     "reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd "
     "swiotlb=noforce pci=off root=/dev/vda"},
    {"empty__only_ours", "", "pci=off root=/dev/vda"},
    {"plain__appended", "quiet", "quiet pci=off root=/dev/vda"},
    {"pci_off_already_there__again", "pci=off", "pci=off pci=off root=/dev/vda"},
    {"blanks_around__trimmed", "  a b  ", "a b pci=off root=/dev/vda"},
    {"blanks_inside__kept", "a  b", "a  b pci=off root=/dev/vda"},
    {"init_args__before_them", "a -- x", "a pci=off root=/dev/vda -- x"},
    {"init_args__both_halves_trimmed", " a   --   x  y ", "a pci=off root=/dev/vda -- x  y"},
    {"init_args__only_first_split", "a -- x -- y", "a pci=off root=/dev/vda -- x -- y"},
    {"init_args__no_first_half", " -- x", "pci=off root=/dev/vda -- x"},
    {"init_args__no_second_half", "a -- ", "a pci=off root=/dev/vda"},
    {"dashes_at_start__no_split", "-- x", "-- x pci=off root=/dev/vda"},
    {"dashes_in_word__no_split", "a --b", "a --b pci=off root=/dev/vda"},
    {"printable_ends__kept", " !~", "!~ pci=off root=/dev/vda"},
    {"not_printable__kept", "a\nb caf\xc3\xa9 \x7f", "a\nb caf\xc3\xa9 \x7f pci=off root=/dev/vda"},
    {"line_ends_around__trimmed", "\r\n\ta\v\f\n", "a pci=off root=/dev/vda"},
};

static void assert_consistent(const struct arch_cmdline *cmdline)
{
    assert_int_equal(strlen(cmdline->text), cmdline->len);
    assert_true(cmdline->insert_at <= cmdline->len);
}

static void test_arch_cmdline__row__as_written(void **state)
{
    const struct row *row = *state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(arch_cmdline_init(&cmdline, row->boot_args, &err), 0);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "root=%s", "/dev/vda"), 0);
    assert_string_equal(cmdline.text, row->want);
    assert_consistent(&cmdline);
}

/* boot_args of `len` bytes; len + " pci=off" + NUL is 2,048 at 2,039. */
static int init_with_len(struct arch_cmdline *cmdline, size_t len, struct err *err)
{
    char args[4096];
    memset(args, 'a', sizeof(args));
    args[len] = '\0';
    return arch_cmdline_init(cmdline, args, err);
}

static void test_arch_cmdline_init__2047_bytes__fits(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(init_with_len(&cmdline, 2039, &err), 0);
    assert_int_equal(cmdline.len, 2047);
    assert_consistent(&cmdline);
}

static void test_arch_cmdline_init__2048_bytes__refused(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(init_with_len(&cmdline, 2040, &err), -E2BIG);
    assert_string_equal(err.msg, TOO_LONG);
}

static void test_arch_cmdline_init__longer_than_the_buffer__refused(void **state)
{
    (void)state;
    static const size_t lens[] = {2047, 2048, 2049, 4095};
    for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
        struct arch_cmdline cmdline;
        struct err err = ERR_INIT;
        assert_int_equal(init_with_len(&cmdline, lens[i], &err), -E2BIG);
        assert_string_equal(err.msg, TOO_LONG);
    }
}

static void test_arch_cmdline_append__last_byte__fits_and_no_more(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(init_with_len(&cmdline, 2036, &err), 0);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "xyz"), -E2BIG);
    assert_string_equal(err.msg, TOO_LONG);
    assert_int_equal(cmdline.len, 2044);
    assert_consistent(&cmdline);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "xy"), 0);
    assert_int_equal(cmdline.len, 2047);
    assert_consistent(&cmdline);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "z"), -E2BIG);
}

static void test_arch_cmdline_append__word_longer_than_everything__refused(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    char word[3000];
    memset(word, 'w', sizeof(word));
    word[sizeof(word) - 1] = '\0';
    assert_int_equal(arch_cmdline_init(&cmdline, "a", &err), 0);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "%s", word), -E2BIG);
    assert_string_equal(err.msg, TOO_LONG);
    assert_string_equal(cmdline.text, "a pci=off");
}

static void test_arch_cmdline_append__non_printable__refused(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(arch_cmdline_init(&cmdline, "a", &err), 0);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "root=PARTUUID=%s", "x\ny"), -EINVAL);
    assert_string_equal(err.msg, NOT_PRINTABLE);
    assert_string_equal(cmdline.text, "a pci=off");
}

static void test_arch_cmdline_append__empty_word__refused(void **state)
{
    (void)state;
    struct arch_cmdline cmdline;
    struct err err = ERR_INIT;
    assert_int_equal(arch_cmdline_init(&cmdline, "a", &err), 0);
    assert_int_equal(arch_cmdline_append(&cmdline, &err, "%s", ""), -EINVAL);
    assert_string_equal(err.msg, "a word of the command line is empty or cannot be formatted");
    assert_string_equal(cmdline.text, "a pci=off");
}

int main(void)
{
    static const struct CMUnitTest single_tests[] = {
        cmocka_unit_test(test_arch_cmdline_init__2047_bytes__fits),
        cmocka_unit_test(test_arch_cmdline_init__2048_bytes__refused),
        cmocka_unit_test(test_arch_cmdline_init__longer_than_the_buffer__refused),
        cmocka_unit_test(test_arch_cmdline_append__last_byte__fits_and_no_more),
        cmocka_unit_test(test_arch_cmdline_append__word_longer_than_everything__refused),
        cmocka_unit_test(test_arch_cmdline_append__non_printable__refused),
        cmocka_unit_test(test_arch_cmdline_append__empty_word__refused),
    };
    struct CMUnitTest tests[ARRAY_LEN(single_tests) + ARRAY_LEN(rows)];
    memcpy(tests, single_tests, sizeof(single_tests));
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        tests[ARRAY_LEN(single_tests) + i] = (struct CMUnitTest){
            .name = rows[i].name,
            .test_func = test_arch_cmdline__row__as_written,
            .initial_state = (void *)(uintptr_t)&rows[i],
        };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
