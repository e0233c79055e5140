/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A state file from its path to its content. Single thread.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/format/snapf.h"

/* The file's bytes, at most SNAPF_FILE_MAX_SIZE. Returns 0 with *ret_bytes (the caller frees) or
 * -errno with "Failed to open snapshot file: ..." or "Failed to load snapshot state from file:
 * ...". */
MUST_CHECK int snap_read_bytes(const char *path, uint8_t **ret_bytes, size_t *ret_len,
                               struct err *err);

/* Its content, of which only the format is checked. Returns 0 (snapf_content_done) or -errno. */
MUST_CHECK int snap_read(const char *path, struct snapf_content *ret_content, struct err *err);
