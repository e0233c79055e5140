/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Metrics open once in a process: each test's body runs in a child of its own, and tells by its
 * exit status what does not hold. Single thread.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/metrics.h"
#include "tests/unit/unit.h"

static inline int say_failed(int line, const char *cond)
{
    (void)fprintf(stderr, "line %d: %s\n", line, cond);
    return 1;
}

/* In a child: leave with 1, having said where. */
#define CHECK(cond)                                                                                \
    do {                                                                                           \
        if (!(cond))                                                                               \
            return say_failed(__LINE__, #cond);                                                    \
    } while (0)

/* Its exit status; 255: it was killed. */
static inline int status_of_child(int (*body)(void))
{
    pid_t pid = fork();
    if (pid == 0)
        exit(body());
    int status = 0;
    assert_true(pid > 0 && waitpid(pid, &status, 0) == pid);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 255;
}
