/* SPDX-License-Identifier: Apache-2.0 */
/*
 * merge (snapshot.md 3): a diff's data over its base. What can be checked is, before anything is
 * changed; in place a merge that was cut off is made whole by the same merge again. Single thread.
 */
#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/snap_lock.h"
#include "snapshots/tool/commands.h"
#include "snapshots/tool/copy.h"
#include "snapshots/tool/fail.h"
#include "snapshots/tool/output.h"
#include "snapshots/tool/verify.h"

struct merging {
    const struct snaptool_args *args;
    struct snaptool_file base;
    struct snaptool_file diff;
    struct snapf_content *content; /* NULL: nothing to verify with */
    struct snapf_content *base_content;
    struct snaptool_output output; /* where one is asked for */
};

/* What is read stays as it is while it is open. */
static int lock_source(const struct snaptool_file *file, struct err *err)
{
    int rc = snap_lock_live(file->fd);
    return rc < 0 ? err_set(err, rc,
                            "Cannot read " SNAPTOOL_PATH
                            ": EBUSY: another process is writing it where it is. Try again when "
                            "that has ended",
                            file->path)
                  : 0;
}

/* In place the base changes: nobody else may live from it or write it. It stays locked while it is
 * open. */
static int lock_base(const struct merging *merging, struct err *err)
{
    if (merging->args->output)
        return lock_source(&merging->base, err);
    int rc = snap_lock_write(merging->base.fd, merging->base.fd);
    return rc < 0 ? err_set(err, rc,
                            "Cannot merge into " SNAPTOOL_PATH
                            ": EBUSY: a VM was loaded from it and its memory would change, or "
                            "another process writes it. End that VM, or make another file with "
                            "--output",
                            merging->base.path)
                  : 0;
}

static int open_files(struct merging *merging, struct err *err)
{
    const struct snaptool_args *args = merging->args;
    int rc = snaptool_file_open(&merging->base, args->memory, !args->output, err);
    if (rc == 0)
        rc = lock_base(merging, err);
    if (rc == 0)
        rc = snaptool_file_open(&merging->diff, args->diff, false, err);
    if (rc == 0 && !snaptool_file_is_same(&merging->base, &merging->diff))
        rc = lock_source(&merging->diff, err);
    if (rc == 0 && args->state)
        rc = snaptool_state_read(args->state, &merging->content, err);
    if (rc == 0 && args->base_state)
        rc = snaptool_state_read(args->base_state, &merging->base_content, err);
    return rc;
}

/* The output replaces what has its name: that must be none of the sources but the base. */
static int check_output(const struct merging *merging, struct err *err)
{
    const struct snaptool_args *args = merging->args;
    struct stat output;
    if (!args->output || stat(args->output, &output) < 0)
        return 0;
    if (fd_is_same_file(&output, &merging->diff.stat) || fd_is_file_at(&output, args->state) ||
        fd_is_file_at(&output, args->base_state))
        return err_set(err, -EINVAL,
                       "Cannot make " SNAPTOOL_PATH
                       ": EINVAL: it is the diff or a state file. Name another "
                       "with --output",
                       args->output);
    return 0;
}

static int check_pair(const struct merging *merging, struct err *err)
{
    const struct snaptool_file *base = &merging->base;
    const struct snaptool_file *diff = &merging->diff;
    if (snaptool_file_is_same(base, diff))
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH " and " SNAPTOOL_PATH
                                     " are the same file: EINVAL. Name the base, and then the diff",
                       base->path, diff->path);
    if (base->size != diff->size)
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH " has %llu bytes and " SNAPTOOL_PATH
                                     " has %llu: EINVAL. A diff and its base are memory "
                                     "of one guest and have one size: name such a pair",
                       base->path, (unsigned long long)base->size, diff->path,
                       (unsigned long long)diff->size);
    int rc = check_output(merging, err);
    if (rc == 0 && merging->base_content)
        rc = snaptool_verify_order(merging->base_content, merging->args->base_state,
                                   merging->content, merging->args->state, err);
    if (rc == 0 && merging->content)
        rc = snaptool_verify(merging->content, merging->args->state, base, diff, err);
    return rc;
}

/* What both kinds of merge do to the file that becomes the result. */
static int merge_into(const struct merging *merging, const struct snaptool_file *to,
                      uint64_t *ret_len, struct err *err)
{
    int rc = snaptool_copy_data(&merging->diff, to, ret_len, err);
    if (rc == 0 && fsync(to->fd) < 0)
        rc = snaptool_fail(err, -errno, "make durable", to->path);
    if (rc == 0 && merging->content)
        rc = snaptool_verify(merging->content, merging->args->state, to, NULL, err);
    return rc;
}

static int merge_in_place(const struct merging *merging, uint64_t *ret_len, struct err *err)
{
    int rc = merge_into(merging, &merging->base, ret_len, err);
    return rc < 0 ? err_prefix(err, "A part may be merged; merge again, or take the base anew: ")
                  : 0;
}

static int merge_out(struct merging *merging, uint64_t *ret_len, struct err *err)
{
    struct snaptool_output *output = &merging->output;
    int rc = snaptool_output_open(output, merging->args->output, &merging->base, err);
    if (rc == 0)
        rc = snaptool_copy_whole(&merging->base, &output->file, err);
    if (rc == 0)
        rc = merge_into(merging, &output->file, ret_len, err);
    if (rc == 0)
        rc = snaptool_output_commit(output, err);
    snaptool_output_drop(output);
    return rc;
}

/* Holes say what did not change: a diff without any may have been copied by something that fills
 * them, and then the result is ruined. */
static void warn_of_no_hole(const struct snaptool_file *diff, uint64_t data_len)
{
    if (data_len == diff->size)
        (void)fprintf(
            stderr,
            "Warning: %s has no hole, so the result has nothing of the base. If it was copied "
            "without its holes, the result is wrong\n",
            diff->path);
}

static int merge(struct merging *merging, struct err *err)
{
    uint64_t len = 0;
    if (merging->args->base_state && !merging->args->state)
        return err_set(err, -EINVAL,
                       "--base-state is of no use without --state: EINVAL. Name the diff's state "
                       "file too");
    int rc = open_files(merging, err);
    if (rc == 0)
        rc = check_pair(merging, err);
    if (rc < 0)
        return rc;
    rc = merging->args->output ? merge_out(merging, &len, err) : merge_in_place(merging, &len, err);
    if (rc < 0)
        return rc;
    warn_of_no_hole(&merging->diff, len);
    if (!merging->args->is_editor)
        (void)printf("%llu bytes merged\n", (unsigned long long)len);
    return 0;
}

int snaptool_merge(const struct snaptool_args *args, struct err *err)
{
    struct merging merging = {
        .args = args,
        .base.fd = FD_NONE,
        .diff.fd = FD_NONE,
        .output.file.fd = FD_NONE,
    };
    int rc = merge(&merging, err);
    snaptool_state_free(merging.base_content);
    snaptool_state_free(merging.content);
    snaptool_file_close(&merging.diff);
    snaptool_file_close(&merging.base);
    return rc;
}
