/* SPDX-License-Identifier: Apache-2.0 */
/*
 * info, and the version of a state file. Single thread.
 */
#include <stdio.h>
#include <stdlib.h>

#include "base/fd.h"
#include "snapshots/snap.h"
#include "snapshots/tool/commands.h"
#include "snapshots/tool/file.h"
#include "snapshots/tool/verify.h"

static int print_version(const char *before, const char *path, struct err *err)
{
    uint32_t version[3];
    int rc = snap_version(path, version, err);
    if (rc == 0)
        (void)printf("%sv%u.%u.%u\n", before, version[0], version[1], version[2]);
    return rc;
}

int snaptool_version(const struct snaptool_args *args, struct err *err)
{
    return print_version("", args->state, err);
}

static int print_state(const char *path, struct err *err)
{
    char *text = NULL;
    int rc = snap_describe(path, &text, err);
    if (rc == 0)
        rc = print_version("format: ", path, err);
    if (rc == 0)
        (void)fputs(text, stdout);
    free(text);
    return rc;
}

static int print_sizes(const struct snaptool_file *file, struct err *err)
{
    struct snaptool_extent extent = {0};
    uint64_t data = 0;
    uint64_t extents_count = 0;
    int rc;
    while ((rc = snaptool_file_next(file, extent.off + extent.len, &extent, err)) == 1) {
        data += extent.len;
        extents_count++;
    }
    if (rc < 0)
        return rc;
    (void)printf("memory file: %s\nsize: %llu bytes\nallocated: %llu bytes\n"
                 "data: %llu bytes in %llu extents\n",
                 file->path, (unsigned long long)file->size, (unsigned long long)file->allocated,
                 (unsigned long long)data, (unsigned long long)extents_count);
    return 0;
}

static int check_pair(const struct snaptool_args *args, const struct snaptool_file *file,
                      struct err *err)
{
    struct snapf_content *content = NULL;
    int rc = snaptool_state_read(args->state, &content, err);
    if (rc < 0)
        return rc;
    rc = snaptool_verify(content, args->state, file, NULL, err);
    (void)printf("sampled pages match: %s\n", rc == 0 ? "yes" : "no");
    snaptool_state_free(content);
    return rc;
}

int snaptool_info(const struct snaptool_args *args, struct err *err)
{
    struct snaptool_file file = {.fd = FD_NONE};
    int rc = print_state(args->state, err);
    if (rc < 0 || !args->memory)
        return rc;
    rc = snaptool_file_open(&file, args->memory, false, err);
    if (rc == 0)
        rc = print_sizes(&file, err);
    if (rc == 0)
        rc = check_pair(args, &file, err);
    snaptool_file_close(&file);
    return rc;
}
