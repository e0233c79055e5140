/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --metadata (cli.md A.2, B): read and judged before any socket is bound. Thread: main.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define APP_METADATA_FILE_MAX_SIZE (64u * 1024u * 1024u)

/*
 * Reads a document. max_size: bytes of its compact form. ret_text: that form, NUL-terminated, the
 * caller frees. Sentences: "Unable to open or read from the mmds content file: ...", "MMDS error:
 * metadata provided not valid json: ...", and for -EMSGSIZE the store's. Returns 0, -EINVAL (no
 * JSON), -EMSGSIZE, -EFBIG (larger than APP_METADATA_FILE_MAX_SIZE), -ENOMEM or -errno of
 * open/read.
 */
MUST_CHECK int app_metadata_load(const char *path, uint64_t max_size, char **ret_text,
                                 size_t *ret_len, struct err *err);
