/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a fuzz target asserts: unlike assert() it stays in every build. Any thread.
 */
#pragma once

#include <stdio.h>
#include <stdlib.h>

#define FUZZ_CHECK(condition)                                                                      \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            (void)fprintf(stderr, "does not hold: %s\n", #condition);                              \
            abort();                                                                               \
        }                                                                                          \
    } while (0)
