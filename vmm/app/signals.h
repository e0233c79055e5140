/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Signals of cli.md D: fatal ones name themselves and their cause, flush the metrics, give the
 * terminal back and exit with their code; so does a check of our own that fails, which then dies of
 * SIGABRT; SIGTERM and SIGINT give the terminal back and then die of the signal. Any thread;
 * async-signal-safe.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/console.h"
#include "vmm/app/exit_code.h"
#include "vmm/mem/gmem.h"

/* Installs all handlers. console: restored by every fatal handler; borrowed until the process ends.
 * Call once, before the second thread. */
MUST_CHECK int app_signals_install(const struct console *console, struct err *err);

/* Guest memory is mapped from the file at `path`, which a handler of SIGBUS names when the memory
 * is touched and nothing is behind it. gmem, path: not needed after the call. Thread: vmm. */
void app_signals_name_memory(const struct gmem *gmem, const char *path);

/* Ends the process as a fatal signal does: metrics written, the terminal given back, nothing waited
 * for. Any thread. */
_Noreturn void app_signals_end_now(enum exit_code code);
