/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is a memory file the one of a state file? By the pages that the state vouches for. Single thread.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/format/snapf.h"
#include "snapshots/tool/file.h"

/* Reads a state file. Returns 0 with *ret_content on the heap (snaptool_state_free) or -errno
 * with a sentence. */
MUST_CHECK int snaptool_state_read(const char *path, struct snapf_content **ret_content,
                                   struct err *err);

/* NULL is fine. */
void snaptool_state_free(struct snapf_content *content);

/* Was `after` taken of the VM that last took or was loaded from `before`? Each with its state
 * file's path. Returns 0 or -EINVAL with a sentence. */
MUST_CHECK int snaptool_verify_order(const struct snapf_content *before, const char *before_path,
                                     const struct snapf_content *after, const char *after_path,
                                     struct err *err);

/*
 * Compares the state's sampled pages with those of `memory` as it is when `diff` is merged onto it
 * (NULL: as it is). state_path: for sentences. Returns 0, -EINVAL with a sentence when they differ
 * or the memory is too short, or -errno.
 */
MUST_CHECK int snaptool_verify(const struct snapf_content *content, const char *state_path,
                               const struct snaptool_file *memory, const struct snaptool_file *diff,
                               struct err *err);
