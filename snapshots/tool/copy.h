/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Data from one memory file into another, hole by hole. Single thread.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/tool/file.h"

/* Copies what `from` holds to the same places of `to`; what are holes of `from` stays as it is in
 * `to`. Returns 0 with the bytes copied, or -errno with a sentence: then a part of it is copied. */
MUST_CHECK int snaptool_copy_data(const struct snaptool_file *from, const struct snaptool_file *to,
                                  uint64_t *ret_len, struct err *err);

/* Makes `to`, which is empty, what `from` is: its blocks shared where the file system can, else
 * copied, with its holes. Returns 0 or -errno with a sentence. */
MUST_CHECK int snaptool_copy_whole(const struct snaptool_file *from, const struct snaptool_file *to,
                                   struct err *err);
