/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that is made without a name, or beside its place, and takes its place when it is durable,
 * so that a crash leaves what was there. Single thread.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/tool/file.h"

#define SNAPTOOL_PATH_MAX_SIZE 4096u

struct snaptool_output {
    const char *path;          /* borrowed; where it will be */
    struct snaptool_file file; /* what is written; its path is `path` */
    bool is_named;             /* it is at temp_path */
    char temp_path[SNAPTOOL_PATH_MAX_SIZE];
};

/* Makes an empty file beside `path`, open to whom `like` is. A path that is there must be a
 * regular file, and is replaced by the commit. Returns 0 (snaptool_output_drop) or -errno with a
 * sentence. */
MUST_CHECK int snaptool_output_open(struct snaptool_output *ret_output, const char *path,
                                    const struct snaptool_file *like, struct err *err);

/* Gives it its name; its content is durable already. Returns 0 or -errno with a sentence. */
MUST_CHECK int snaptool_output_commit(struct snaptool_output *output, struct err *err);

/* Closes it, and removes it when it has no name yet. Not opened (file.fd FD_NONE) is fine. */
void snaptool_output_drop(struct snaptool_output *output);
