/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Filters at work, each in a child of its own (seccomp(2)). Single thread.
 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/attr.h"
#include "jailer/seccomp/sec.h"
#include "tests/unit/unit.h"

enum { CHILD_FAILED = 99 };

struct child {
    enum sec_filter which;
    bool audit;
    void (*act)(void);
};

/* Sanitizers make calls of their own at a process's end: it has none. */
static _Noreturn void leave(int code)
{
    (void)syscall(SYS_exit_group, code);
    abort();
}

static void run_child(const struct child *child)
{
    struct sec_set set = sec_set_builtin();
    struct err err = ERR_INIT;
    (void)signal(SIGSYS, SIG_DFL); /* cmocka has handlers of its own */
    (void)signal(SIGABRT, SIG_DFL);
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        sec_set_settle(&set, child->audit, &err) < 0 ||
        sec_install(&set, SEC_FILTER_START, &err) < 0 ||
        (child->which != SEC_FILTER_START && sec_install(&set, child->which, &err) < 0))
        leave(CHILD_FAILED);
    child->act();
    leave(0);
}

/* Returns how a child under these filters ended that does this. */
static int status_of(struct child child)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0)
        run_child(&child);
    int status = 0;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    return status;
}

static void expect_exit(int status, int code)
{
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), code);
}

static void expect_signal(int status, int signum)
{
    assert_true(WIFSIGNALED(status));
    assert_int_equal(WTERMSIG(status), signum);
}

static void ask_for_parent(void)
{
    (void)syscall(SYS_getppid);
}

static void abort_self(void)
{
    (void)syscall(SYS_tgkill, getpid(), syscall(SYS_gettid), SIGABRT);
}

static void abort_init(void)
{
    (void)syscall(SYS_tgkill, 1, 1, SIGABRT);
}

static void unmap_nothing(void)
{
    (void)syscall(SYS_munmap, 0, 0);
}

static void narrow_again(void)
{
    (void)syscall(SYS_seccomp, 1, 0, NULL);
}

static void test_sec_install__allowed_calls__are_made(void **state)
{
    (void)state;
    for (int which = 0; which < SEC_FILTERS_COUNT; which++)
        expect_exit(
            status_of((struct child){.which = (enum sec_filter)which, .act = unmap_nothing}), 0);
}

static void test_sec_install__a_forbidden_call__is_sigsys(void **state)
{
    (void)state;
    for (int which = 0; which < SEC_FILTERS_COUNT; which++)
        expect_signal(
            status_of((struct child){.which = (enum sec_filter)which, .act = ask_for_parent}),
            SIGSYS);
}

static void test_sec_install__audit__lets_a_forbidden_call_happen(void **state)
{
    (void)state;
    expect_exit(
        status_of((struct child){.which = SEC_FILTER_VCPU, .audit = true, .act = ask_for_parent}),
        0);
}

static void test_sec_install__own_process__may_be_aborted(void **state)
{
    (void)state;
    expect_signal(status_of((struct child){.which = SEC_FILTER_API, .act = abort_self}), SIGABRT);
}

static void test_sec_install__another_process__may_not(void **state)
{
    (void)state;
    expect_signal(status_of((struct child){.which = SEC_FILTER_API, .act = abort_init}), SIGSYS);
    expect_signal(status_of((struct child){.which = SEC_FILTER_START, .act = abort_init}), SIGSYS);
}

static void test_sec_install__narrowed__cannot_install_more(void **state)
{
    (void)state;
    expect_signal(status_of((struct child){.which = SEC_FILTER_VMM, .act = narrow_again}), SIGSYS);
}

static void test_sec_install__no_program__installs_nothing(void **state)
{
    (void)state;
    const struct sec_set none = {0};
    struct err err = ERR_INIT;
    assert_int_equal(sec_install(&none, SEC_FILTER_VMM, &err), 0);
    assert_int_equal(prctl(PR_GET_SECCOMP), 0);
}

static void test_sec_install__a_program_that_is_none__says_which(void **state)
{
    (void)state;
    const struct sock_filter nonsense = {.code = 0xffff};
    const struct sec_set set = {.programs = {[SEC_FILTER_VMM] = {&nonsense, 1}}};
    struct err err = ERR_INIT;
    assert_int_equal(sec_install(&set, SEC_FILTER_VMM, &err), -EINVAL);
    assert_non_null(strstr(err.msg, "the seccomp filter vmm"));
}

static void test_sec_call_name__numbers__have_names(void **state)
{
    (void)state;
    assert_string_equal(sec_call_name(SYS_execve), "execve");
    assert_string_equal(sec_call_name(0), "read");
    assert_string_equal(sec_call_name(-1), "unknown");
    assert_string_equal(sec_call_name(1 << 30), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sec_install__allowed_calls__are_made),
        cmocka_unit_test(test_sec_install__a_forbidden_call__is_sigsys),
        cmocka_unit_test(test_sec_install__audit__lets_a_forbidden_call_happen),
        cmocka_unit_test(test_sec_install__own_process__may_be_aborted),
        cmocka_unit_test(test_sec_install__another_process__may_not),
        cmocka_unit_test(test_sec_install__narrowed__cannot_install_more),
        cmocka_unit_test(test_sec_install__no_program__installs_nothing),
        cmocka_unit_test(test_sec_install__a_program_that_is_none__says_which),
        cmocka_unit_test(test_sec_call_name__numbers__have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
