/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The counters of the VM's network policy, which the jailer loaded (docs/network-policy.md): the
 * monitor sees them, and can change nothing. Thread: main, at start.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"

/*
 * Has the Prometheus text show what is counted in the map of which `fd_text` is the inherited
 * descriptor's number. Returns 0, or -errno with the sentence: no such descriptor, or none of such
 * a map.
 */
MUST_CHECK int app_policy_show(const char *fd_text, struct err *err);
