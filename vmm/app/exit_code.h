/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit codes of the monitor (cli.md C). Constants only.
 */
#pragma once

enum exit_code {
    EXIT_CODE_OK = 0,
    EXIT_CODE_GENERIC = 1,
    EXIT_CODE_UNEXPECTED = 2,
    EXIT_CODE_BAD_SYSCALL = 148,
    EXIT_CODE_SIGBUS = 149,
    EXIT_CODE_SIGSEGV = 150,
    EXIT_CODE_SIGXFSZ = 151,
    EXIT_CODE_BAD_CONFIGURATION = 152,
    EXIT_CODE_ARG_PARSING = 153,
    EXIT_CODE_SIGXCPU = 154,
    EXIT_CODE_SIGHUP = 156,
    EXIT_CODE_SIGILL = 157,
};
