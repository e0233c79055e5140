/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Children of mayfly-init, its signals, and the end of the VM.
 */
#pragma once

#include "guest/init/options.h"

enum { RUN_STATUS_NOT_FOUND = 127, RUN_STATUS_NOT_EXECUTABLE = 126 };

/*
 * Blocks the signals that pid 1 waits for, and asks the kernel to send SIGINT at Ctrl-Alt-Del.
 * The first thing to call: a signal that comes earlier is lost.
 */
void run_block_signals(void);

/*
 * Starts argv as a child. interactive: in its own session with the console as its terminal; a
 * command must not have one, since the end of a session throws away what its terminal has not sent
 * yet. Without a slash, argv[0] is looked for in /bin /sbin /usr/bin /usr/sbin. Returns the pid or
 * -errno.
 */
long run_start(char *const argv[], char *const envp[], bool interactive)
    __attribute__((warn_unused_result));

/*
 * Reaps children until `pid` ends or a signal asks for the end of the VM (then *end is changed:
 * SIGINT and SIGTERM reboot, SIGUSR1 halts, SIGUSR2 powers off, as busybox's tools send them).
 * pid 0: waits for the signal alone. Returns 1 and the exit status (128 + signal when killed) for
 * the child, 0 for a signal.
 */
int run_wait(long pid, enum opt_end *end, int *ret_status) __attribute__((warn_unused_result));

/* Ends every process and leaves the disks clean: SIGTERM, SIGKILL, sync, root read-only. */
void run_stop_all(void);

/* Waits until the console has sent everything, then ends the VM. Never returns. */
void run_end(enum opt_end end) __attribute__((noreturn));
