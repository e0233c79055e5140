/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's stdin and stdout as the guest's serial console: which of them may be watched, and
 * putting file flags and terminal back as they were. Fds 0 and 1 usually share their open file
 * description with the shell that started us, so what is not restored stays broken there. Threads:
 * main at start; restore: any, also in a signal handler. Spec: devices.md 5.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>
#include <termios.h>

#include "base/attr.h"
#include "base/err.h"

/* In the caller's storage, which must outlive every signal handler that restores it. Zeroed:
 * nothing to restore. */
struct console {
    bool input;             /* stdin is worth watching: a FIFO, or a terminal that we may read */
    int in_flags;           /* of fd 0 before us; valid when in_changed */
    int out_flags;          /* of fd 1 before us; valid when out_changed */
    struct termios termios; /* of fd 0 before us; valid when termios_changed */
    volatile sig_atomic_t in_changed;
    volatile sig_atomic_t out_changed;
    volatile sig_atomic_t termios_changed;
};

/*
 * Makes fd 1 non-blocking and, when fd 0 is a FIFO or a terminal in whose foreground we are, fd 0
 * too; such a terminal becomes raw. A terminal that belongs to another job is left alone and not
 * watched: reading or changing it would stop us (SIGTTIN, SIGTTOU). /dev/null, a regular file, a
 * socket or a closed fd is no error, and no input. Call once. Returns 0 or -errno with everything
 * restored.
 */
MUST_CHECK int console_open(struct console *console, struct err *err);

/*
 * Puts back what console_open changed. Async-signal-safe, keeps errno, may be called any number of
 * times and while console_open runs. The terminal's modes are put back only from its foreground: in
 * the background the shell has set its own.
 */
void console_restore(const struct console *console);
