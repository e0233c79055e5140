/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Fds 0 and 1 as the guest's console. Thread: main; console_restore: any, also in a signal handler.
 * Spec: devices.md 5. A value is saved before its flag is raised, and the flag before the change,
 * so that a signal at any point restores exactly what had to be.
 */
#include "devices/backend/console.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <sys/stat.h>
#include <unistd.h>

static void raise_flag(volatile sig_atomic_t *flag)
{
    atomic_signal_fence(memory_order_release);
    *flag = 1;
    atomic_signal_fence(memory_order_release);
}

/* Are we the terminal's foreground job, or is it not our session's terminal, so that jobs do not
 * matter? */
static bool terminal_is_ours(int fd)
{
    pid_t foreground = tcgetpgrp(fd);
    return foreground < 0 ? errno == ENOTTY : foreground == getpgrp();
}

/* tcsetattr without being stopped, should we lose the foreground meanwhile. */
static int set_termios(int fd, const struct termios *termios)
{
    sigset_t block;
    sigset_t before;
    sigemptyset(&block);
    sigaddset(&block, SIGTTOU);
    if (pthread_sigmask(SIG_BLOCK, &block, &before) != 0)
        return -EINVAL;
    int rc = tcsetattr(fd, TCSANOW, termios) < 0 ? -errno : 0;
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL); /* valid arguments: cannot fail */
    return rc;
}

static bool input_is_watchable(void)
{
    struct stat st;
    if (fstat(STDIN_FILENO, &st) < 0)
        return false;
    if (S_ISFIFO(st.st_mode))
        return true;
    return isatty(STDIN_FILENO) && terminal_is_ours(STDIN_FILENO);
}

static int set_nonblocking(int fd, int flags, struct err *err)
{
    if (fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0)
        return 0;
    return err_set(err, -errno, "Cannot make %s non-blocking: %s",
                   fd == STDIN_FILENO ? "stdin" : "stdout", ERR_OS(errno));
}

static int make_raw(struct console *console, struct err *err)
{
    if (!isatty(STDIN_FILENO))
        return 0;
    if (tcgetattr(STDIN_FILENO, &console->termios) < 0)
        return err_set(err, -errno, "Cannot read the terminal's modes: %s", ERR_OS(errno));
    struct termios raw = console->termios;
    cfmakeraw(&raw);
    raise_flag(&console->termios_changed);
    int rc = set_termios(STDIN_FILENO, &raw);
    return rc < 0 ? err_set(err, rc, "Cannot make the terminal raw: %s", ERR_OS(rc)) : 0;
}

int console_open(struct console *console, struct err *err)
{
    *console = (struct console){0};
    /* Both are read before either is changed: they may be one open file description. */
    bool input = input_is_watchable();
    console->in_flags = input ? fcntl(STDIN_FILENO, F_GETFL) : -1;
    console->out_flags = fcntl(STDOUT_FILENO, F_GETFL);
    bool has_output = console->out_flags >= 0;
    input = console->in_flags >= 0;

    int rc = 0;
    if (has_output) {
        raise_flag(&console->out_changed);
        rc = set_nonblocking(STDOUT_FILENO, console->out_flags, err);
    }
    if (rc == 0 && input) {
        raise_flag(&console->in_changed);
        rc = set_nonblocking(STDIN_FILENO, console->in_flags, err);
    }
    if (rc == 0 && input)
        rc = make_raw(console, err);
    if (rc < 0) {
        console_restore(console);
        return rc;
    }
    console->input = input;
    return 0;
}

void console_restore(const struct console *console)
{
    int saved = errno;
    /* Nothing can be done about a failure here, on the way out. */
    if (console->termios_changed && terminal_is_ours(STDIN_FILENO))
        (void)set_termios(STDIN_FILENO, &console->termios);
    if (console->in_changed)
        (void)fcntl(STDIN_FILENO, F_SETFL, console->in_flags);
    if (console->out_changed)
        (void)fcntl(STDOUT_FILENO, F_SETFL, console->out_flags);
    errno = saved;
}
