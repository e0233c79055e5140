/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network policy as people write it, in JSON (docs/network-policy.md). Pure but for the reading
 * of the file; thread: main.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"
#include "base/err.h"
#include "jailer/policy/policy.h"

#define JAIL_POLICY_SIZE_MAX (1u << 20)

/* Decodes a policy's text. Returns 0 with *ret_policy (pol_policy_done), or -EINVAL with the
 * sentence and where; -ENOMEM. */
MUST_CHECK int jail_policy_parse(const char *text, size_t len, struct pol_policy *ret_policy,
                                 struct err *err);

/* The same of a file. Returns also -errno of open and read, -EFBIG. */
MUST_CHECK int jail_policy_read(const char *path, struct pol_policy *ret_policy, struct err *err);
