/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fuzz target asserts: unlike assert() it stays in every build. Any thread.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

static inline __attribute__((noreturn)) void fuzz_fail(const char *condition)
{
    (void)fprintf(stderr, "does not hold: %s\n", condition);
    abort();
}

#define FUZZ_CHECK(condition) ((condition) ? (void)0 : fuzz_fail(#condition))
