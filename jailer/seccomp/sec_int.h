/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the generator prints (gen.c).
 */
#pragma once

#include "jailer/seccomp/sec.h"

extern const struct sec_program sec_builtin[SEC_FILTERS_COUNT];

/* By number; NULL: no call has it. */
extern const char *const sec_call_names[];
extern const size_t sec_call_names_count;
