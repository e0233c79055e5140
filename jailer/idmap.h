/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ranges of ids that a user may map (subuid(5)). Pure but for jail_idmap_read.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

struct jail_idmap_range {
    uint32_t start; /* the host's id of number 1 */
    uint32_t count;
};

/*
 * Finds the first range of a user in the text of /etc/subuid or /etc/subgid: lines
 * NAME:START:COUNT, of which NAME may be the number `uid`. name: NULL: only the number counts.
 * Returns 1 with *ret_range, or 0: there is none.
 */
MUST_CHECK int jail_idmap_find(const char *text, const char *name, uint32_t uid,
                               struct jail_idmap_range *ret_range);

/* The name of a user in the text of /etc/passwd. Returns 1, or 0: there is none that ret_name, of
 * `size` bytes, has room for. */
MUST_CHECK int jail_idmap_name(const char *text, uint32_t uid, char *ret_name, size_t size);

/* The user's range in `path` ("/etc/subuid"). Returns 1, 0, or -errno with a sentence. */
MUST_CHECK int jail_idmap_read(const char *path, uint32_t uid, struct jail_idmap_range *ret_range,
                               struct err *err);
