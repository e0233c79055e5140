/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A policy of system calls in JSON, as Firecracker's seccompiler takes it, into a filter file.
 * Thread: main. Spec: docs/seccomp.md.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"

/* Bytes of a policy. */
#define SECTOOL_POLICY_SIZE_MAX (1u << 20)

/*
 * Compiles the policy in `text` into a filter file's bytes. ret_file: heap, the caller frees.
 * Returns 0, or -errno with a sentence that has line and column: -EINVAL, -ENOENT a call of no such
 * name, -EFBIG.
 */
MUST_CHECK int sectool_compile(const char *text, size_t len, char **ret_file, size_t *ret_size,
                               struct err *err);

/* The built-in table, one rule a line in columns, on standard output. */
void sectool_list(void);
