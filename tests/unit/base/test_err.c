/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of base/err.c: sentences, prefixes, cutting, and the errno texts that clients match
 * (api.md 3.1).
 */
#include <errno.h>
#include <string.h>

#include "base/err.h"
#include "tests/unit/unit.h"

static void test_err_set__arguments__code_and_sentence(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    assert_int_equal(err_set(&err, -EINVAL, "drive %s: %d", "root", 7), -EINVAL);
    assert_int_equal(err.code, -EINVAL);
    assert_string_equal(err.msg, "drive root: 7");
}

static void test_err_set__no_err__code_returned(void **state)
{
    (void)state;
    assert_int_equal(err_set(NULL, -EIO, "nobody %s", "reads this"), -EIO);
}

static void test_err_set__second_call__replaces_first(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EINVAL, "a long first sentence");
    (void)err_set(&err, -EIO, "short");
    assert_int_equal(err.code, -EIO);
    assert_string_equal(err.msg, "short");
}

static void test_err_set__own_sentence_as_argument__survives(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EINVAL, "inner");
    (void)err_set(&err, -EIO, "outer (%s)", err.msg);
    assert_string_equal(err.msg, "outer (inner)");
}

static void test_err_set__longest_sentence__kept_whole(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EIO, "%0*d", (int)ERR_MSG_MAX_SIZE - 1, 5);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX_SIZE - 1);
    assert_string_equal(err.msg + ERR_MSG_MAX_SIZE - 4, "005");
}

static void test_err_set__too_long__cut_with_dots(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EIO, "%0*d", (int)ERR_MSG_MAX_SIZE, 5);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX_SIZE - 1);
    assert_string_equal(err.msg + ERR_MSG_MAX_SIZE - 5, "0...");
}

static void test_err_prefix__sentence__context_first(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -ENOENT, "no file");
    assert_int_equal(err_prefix(&err, "drive %s: ", "root"), -ENOENT);
    assert_string_equal(err.msg, "drive root: no file");
    assert_int_equal(err.code, -ENOENT);
}

static void test_err_prefix__no_err__eio(void **state)
{
    (void)state;
    assert_int_equal(err_prefix(NULL, "context: "), -EIO);
}

static void test_err_prefix__sum_too_long__cut_with_dots(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EIO, "%0*d", (int)ERR_MSG_MAX_SIZE - 3, 5);
    (void)err_prefix(&err, "abc");
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX_SIZE - 1);
    assert_memory_equal(err.msg, "abc0", 4);
    assert_string_equal(err.msg + ERR_MSG_MAX_SIZE - 5, "0...");
}

static void test_err_prefix__prefix_fills_all__cut_with_dots(void **state)
{
    (void)state;
    struct err err = ERR_INIT;

    (void)err_set(&err, -EIO, "lost");
    (void)err_prefix(&err, "%0*d", 3000, 5);
    assert_int_equal(strlen(err.msg), ERR_MSG_MAX_SIZE - 1);
    assert_string_equal(err.msg + ERR_MSG_MAX_SIZE - 5, "0...");
}

static void test_err_os_text__texts_clients_match__musl(void **state)
{
    (void)state;
    static const struct {
        int errnum;
        const char *text;
    } rows[] = {
        {ENOENT, "No such file or directory (os error 2)"},
        {EIO, "I/O error (os error 5)"},
        {ECHILD, "No child process (os error 10)"},
        {ENOMEM, "Out of memory (os error 12)"},
        {EACCES, "Permission denied (os error 13)"},
        {EBUSY, "Resource busy (os error 16)"},
        {EINVAL, "Invalid argument (os error 22)"},
        {ENFILE, "Too many open files in system (os error 23)"},
        {EMFILE, "No file descriptors available (os error 24)"},
        {ENOTTY, "Not a tty (os error 25)"},
        {ENAMETOOLONG, "Filename too long (os error 36)"},
        {ELOOP, "Symbolic link loop (os error 40)"},
        {EADDRINUSE, "Address in use (os error 98)"},
        {ETIMEDOUT, "Operation timed out (os error 110)"},
        {ECONNREFUSED, "Connection refused (os error 111)"},
        {EHWPOISON, "No error information (os error 133)"},
        {0, "No error information (os error 0)"},
        {4095, "No error information (os error 4095)"},
    };

    for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
        assert_string_equal(ERR_OS(rows[i].errnum), rows[i].text);
        assert_string_equal(ERR_OS(-rows[i].errnum), rows[i].text);
    }
}

static void test_err_os_text__every_errno__fits_room(void **state)
{
    (void)state;
    char buf[ERR_OS_TEXT_MAX_SIZE];

    for (int errnum = -4095; errnum <= 4095; errnum++)
        assert_null(strstr(err_os_text(errnum, buf, sizeof(buf)), "..."));
    assert_string_equal(err_os_text(INT32_MIN, buf, sizeof(buf)),
                        "No error information (os error 2147483648)");
}

static void test_err_os_text__small_buffer__cut_inside(void **state)
{
    (void)state;
    char buf[12] = "############";

    assert_ptr_equal(err_os_text(ENOENT, buf, 10), buf);
    assert_string_equal(buf, "No suc...");
    assert_int_equal(buf[10], '#');
    assert_ptr_equal(err_os_text(ENOENT, buf, 0), buf);
    assert_string_equal(buf, "No suc...");
}

static void test_err_name__known_and_unknown__name_or_errno(void **state)
{
    (void)state;
    assert_string_equal(err_name(ENOENT), "ENOENT");
    assert_string_equal(err_name(-EINVAL), "EINVAL");
    assert_string_equal(err_name(EPERM), "EPERM");
    assert_string_equal(err_name(-EHWPOISON), "EHWPOISON");
    assert_string_equal(err_name(0), "errno");
    assert_string_equal(err_name(41), "errno"); /* a hole in Linux's numbers */
    assert_string_equal(err_name(134), "errno");
    assert_string_equal(err_name(INT32_MIN), "errno");
}

/* glibc knows the names too: an independent table to compare with. */
static void test_err_name__all_numbers__as_libc(void **state)
{
    (void)state;
    for (int errnum = 1; errnum < 256; errnum++) {
        const char *libc_name = strerrorname_np(errnum);
        assert_string_equal(err_name(errnum), libc_name ? libc_name : "errno");
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_err_set__arguments__code_and_sentence),
        cmocka_unit_test(test_err_set__no_err__code_returned),
        cmocka_unit_test(test_err_set__second_call__replaces_first),
        cmocka_unit_test(test_err_set__own_sentence_as_argument__survives),
        cmocka_unit_test(test_err_set__longest_sentence__kept_whole),
        cmocka_unit_test(test_err_set__too_long__cut_with_dots),
        cmocka_unit_test(test_err_prefix__sentence__context_first),
        cmocka_unit_test(test_err_prefix__no_err__eio),
        cmocka_unit_test(test_err_prefix__sum_too_long__cut_with_dots),
        cmocka_unit_test(test_err_prefix__prefix_fills_all__cut_with_dots),
        cmocka_unit_test(test_err_os_text__texts_clients_match__musl),
        cmocka_unit_test(test_err_os_text__every_errno__fits_room),
        cmocka_unit_test(test_err_os_text__small_buffer__cut_inside),
        cmocka_unit_test(test_err_name__known_and_unknown__name_or_errno),
        cmocka_unit_test(test_err_name__all_numbers__as_libc),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
