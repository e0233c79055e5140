/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What Landlock this kernel has. Any thread; no state. Spec: landlock(7).
 */
#pragma once

#include "base/attr.h"

/* The first ABI that keeps abstract Unix sockets and signals, of Linux 6.12. */
#define LANDLOCK_ABI_SCOPES 6

/* Returns the ABI, 1 or more, or -errno: ENOSYS and EOPNOTSUPP where there is none. */
MUST_CHECK int landlock_abi(void);
