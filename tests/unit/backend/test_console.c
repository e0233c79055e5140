/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unit tests of devices/backend/console.c. Each runs in a child process with fds 0 and 1 of the
 * test's choice; the child's exit code is the line of the check that failed, or 0.
 */
#include "tests/unit/unit.h"

#include <errno.h>
#include <fcntl.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "devices/backend/console.h"

/* In the child: a failed check ends it with its line, which is reported by the parent. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            report_and_leave(__LINE__);                                                            \
    } while (0)

static int report_fd;

static void report_and_leave(int line)
{
    int rc = write(report_fd, &line, sizeof(line)) == sizeof(line) ? 1 : 2;
    _exit(rc);
}

/* Runs `body` in a child whose fds 0 and 1 are these; the test fails where the child did. */
static void in_child(int in_fd, int out_fd, void (*body)(void))
{
    int report[2];
    assert_int_equal(pipe2(report, O_CLOEXEC), 0);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        report_fd = report[1];
        alarm(10);
        CHECK(dup2(in_fd, 0) == 0 && dup2(out_fd, 1) == 1);
        body();
        _exit(0);
    }
    close(report[1]);
    int status = 0;
    int line = 0;
    assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
    ssize_t n = read(report[0], &line, sizeof(line));
    close(report[0]);
    if (WIFSTOPPED(status)) {
        kill(pid, SIGKILL);
        fail_msg("child stopped by signal %d", WSTOPSIG(status));
    }
    if (n > 0 || status != 0)
        fail_msg("child failed at line %d, status 0x%x", line, (unsigned)status);
}

static bool nonblocking(int fd)
{
    int flags = fcntl(fd, F_GETFL);
    CHECK(flags >= 0);
    return (flags & O_NONBLOCK) != 0;
}

static bool raw(int fd)
{
    struct termios termios;
    CHECK(tcgetattr(fd, &termios) == 0);
    return (termios.c_lflag & (ICANON | ECHO | ISIG)) == 0;
}

static void body_pipe(void)
{
    struct console console;
    CHECK(console_open(&console, NULL) == 0);
    CHECK(console.input);
    CHECK(nonblocking(0) && nonblocking(1));
    console_restore(&console);
    CHECK(!nonblocking(0) && !nonblocking(1));
    console_restore(&console);
    CHECK(!nonblocking(0) && !nonblocking(1));
}

static void test_console_open__pipes__non_blocking_until_restored(void **state)
{
    (void)state;
    int in[2];
    int out[2];
    assert_int_equal(pipe2(in, O_CLOEXEC), 0);
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    in_child(in[0], out[1], body_pipe);
    /* The descriptions are ours too: what the child left is what we see. */
    assert_int_equal(fcntl(in[0], F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(fcntl(out[1], F_GETFL) & O_NONBLOCK, 0);
    for (int i = 0; i < 2; i++) {
        close(in[i]);
        close(out[i]);
    }
}

static void body_no_input(void)
{
    struct console console;
    bool before = nonblocking(0);
    CHECK(console_open(&console, NULL) == 0);
    CHECK(!console.input);
    CHECK(nonblocking(0) == before);
    CHECK(nonblocking(1));
    console_restore(&console);
    CHECK(nonblocking(0) == before);
    CHECK(!nonblocking(1));
}

static void test_console_open__null_file_socket__no_input(void **state)
{
    (void)state;
    int out[2];
    int pair[2];
    assert_int_equal(pipe2(out, O_CLOEXEC), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    int inputs[] = {open("/dev/null", O_RDONLY | O_CLOEXEC),
                    open("/etc/passwd", O_RDONLY | O_CLOEXEC), pair[0]};
    for (size_t i = 0; i < ARRAY_LEN(inputs); i++) {
        assert_true(inputs[i] >= 0);
        in_child(inputs[i], out[1], body_no_input);
        close(inputs[i]);
    }
    close(pair[1]);
    close(out[0]);
    close(out[1]);
}

static void body_closed(void)
{
    struct console console;
    CHECK(close(0) == 0 && close(1) == 0);
    CHECK(console_open(&console, NULL) == 0);
    CHECK(!console.input);
    console_restore(&console);
}

static void test_console_open__closed_fds__no_error(void **state)
{
    (void)state;
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
    in_child(fd, fd, body_closed);
    close(fd);
}

/* In the child: makes fd 0 the controlling terminal of a new session. */
static void take_terminal(void)
{
    CHECK(setsid() == getpid());
    CHECK(ioctl(0, TIOCSCTTY, 0) == 0);
}

static void body_foreground(void)
{
    take_terminal();
    struct console console;
    CHECK(console_open(&console, NULL) == 0);
    CHECK(console.input);
    /* 0 and 1 are one description here. */
    CHECK(nonblocking(0) && nonblocking(1) && raw(0));
    console_restore(&console);
    CHECK(!nonblocking(0) && !nonblocking(1) && !raw(0));
}

static void body_not_our_session(void)
{
    struct console console;
    CHECK(console_open(&console, NULL) == 0);
    CHECK(console.input && raw(0));
    console_restore(&console);
    CHECK(!raw(0) && !nonblocking(0));
}

/* A job in the background, with a foreground process group that is another one. */
static void body_background(void)
{
    take_terminal();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setpgid(0, 0) == 0);
        struct console console;
        CHECK(console_open(&console, NULL) == 0);
        CHECK(!console.input && !raw(0) && nonblocking(1));
        console_restore(&console);
        CHECK(!raw(0) && !nonblocking(1));
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid);
    CHECK(status == 0);
}

/* Raw in the foreground, then sent to the background: leaving must neither stop us nor touch the
 * terminal. */
static void body_loses_foreground(void)
{
    take_terminal();
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0) {
        CHECK(setpgid(0, 0) == 0);
        signal(SIGTTOU, SIG_IGN);
        CHECK(tcsetpgrp(0, getpgrp()) == 0);
        struct console console;
        CHECK(console_open(&console, NULL) == 0);
        CHECK(console.input && raw(0));
        CHECK(tcsetpgrp(0, getppid()) == 0);
        signal(SIGTTOU, SIG_DFL);
        console_restore(&console);
        CHECK(raw(0) && !nonblocking(0));
        _exit(0);
    }
    int status;
    CHECK(waitpid(pid, &status, WUNTRACED) == pid);
    CHECK(status == 0);
}

static const struct console *signal_console;

static void on_signal(int number)
{
    (void)number;
    console_restore(signal_console);
}

static void body_signal_handler(void)
{
    take_terminal();
    struct console console;
    signal_console = &console;
    CHECK(console_open(&console, NULL) == 0);
    CHECK(raw(0) && nonblocking(1));
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    CHECK(sigaction(SIGSEGV, &action, NULL) == 0);
    errno = 1234;
    CHECK(raise(SIGSEGV) == 0);
    CHECK(errno == 1234);
    CHECK(!raw(0) && !nonblocking(0) && !nonblocking(1));
}

static void on_terminal(void (*body)(void))
{
    int master;
    int slave;
    assert_int_equal(openpty(&master, &slave, NULL, NULL, NULL), 0);
    in_child(slave, slave, body);
    close(master);
    close(slave);
}

static void test_console_open__terminal__raw_until_restored(void **state)
{
    (void)state;
    on_terminal(body_foreground);
}

static void test_console_open__terminal_of_no_session__raw_until_restored(void **state)
{
    (void)state;
    on_terminal(body_not_our_session);
}

static void test_console_open__background_job__terminal_left_alone(void **state)
{
    (void)state;
    on_terminal(body_background);
}

static void test_console_restore__lost_the_foreground__flags_only(void **state)
{
    (void)state;
    on_terminal(body_loses_foreground);
}

static void test_console_restore__from_a_signal_handler__restores(void **state)
{
    (void)state;
    on_terminal(body_signal_handler);
}

static void body_zeroed(void)
{
    const struct console console = {0};
    int before = fcntl(1, F_GETFL);
    console_restore(&console);
    CHECK(fcntl(1, F_GETFL) == before);
}

static void test_console_restore__never_opened__changes_nothing(void **state)
{
    (void)state;
    int out[2];
    assert_int_equal(pipe2(out, O_CLOEXEC | O_NONBLOCK), 0);
    in_child(out[0], out[1], body_zeroed);
    assert_true(fcntl(out[1], F_GETFL) & O_NONBLOCK);
    close(out[0]);
    close(out[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_console_open__pipes__non_blocking_until_restored),
        cmocka_unit_test(test_console_open__null_file_socket__no_input),
        cmocka_unit_test(test_console_open__closed_fds__no_error),
        cmocka_unit_test(test_console_open__terminal__raw_until_restored),
        cmocka_unit_test(test_console_open__terminal_of_no_session__raw_until_restored),
        cmocka_unit_test(test_console_open__background_job__terminal_left_alone),
        cmocka_unit_test(test_console_restore__lost_the_foreground__flags_only),
        cmocka_unit_test(test_console_restore__from_a_signal_handler__restores),
        cmocka_unit_test(test_console_restore__never_opened__changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
