/* SPDX-License-Identifier: Apache-2.0 */
/*
 * `mayfly --check-host`: is this host set up for tenants who do not trust each other? For each
 * setting: what was found, whether it is good, and if not what the change costs and how it is made.
 * Only looks, changes nothing. Thread: main, at start.
 */
#pragma once

#include <stddef.h>

#include "base/attr.h"

/* What is looked at: the real host, or a test's made-up one. */
struct app_host {
    const char *root; /* before every path; "": the real one. Borrowed */
    int landlock_abi; /* the kernel's, or -errno of asking for it */
};

/* Room for all lines. */
#define APP_HOST_TEXT_MAX_SIZE 8192u

/* Looks at everything and writes the lines into `buf`, cut to `size` bytes with their NUL. Returns
 * how many settings are advised to change or could not be looked at: 0 is a host that is good. */
MUST_CHECK int app_host_check(const struct app_host *host, char *buf, size_t size);
