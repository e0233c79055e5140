/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sampled pages of a state file against a memory file. Single thread.
 */
#include "snapshots/tool/verify.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "snapshots/snap_read.h"
#include "snapshots/tool/fail.h"

int snaptool_state_read(const char *path, struct snapf_content **ret_content, struct err *err)
{
    struct snapf_content *content = calloc(1, sizeof(*content));
    if (!content)
        return err_set(err, -ENOMEM, "No memory for the state file %s: ENOMEM", path);
    int rc = snap_read(path, content, err);
    if (rc < 0) {
        snaptool_state_free(content);
        return rc;
    }
    *ret_content = content;
    return 0;
}

void snaptool_state_free(struct snapf_content *content)
{
    if (content)
        snapf_content_done(content);
    free(content);
}

/* The page at `off` of what `memory` is with `diff` merged onto it. */
static int read_page(const struct snaptool_file *memory, const struct snaptool_file *diff,
                     uint64_t off, uint8_t ret_page[static SNAPTOOL_PAGE_SIZE], struct err *err)
{
    struct snaptool_extent extent = {.off = off};
    const uint64_t end = off + SNAPTOOL_PAGE_SIZE;
    int rc = snaptool_file_read(memory, off, ret_page, SNAPTOOL_PAGE_SIZE, err);
    while (rc == 0 && diff && extent.off + extent.len < end) {
        rc = snaptool_file_next(diff, extent.off + extent.len, &extent, err);
        if (rc <= 0 || extent.off >= end)
            return rc < 0 ? rc : 0;
        if (extent.len > end - extent.off)
            extent.len = end - extent.off;
        rc = snaptool_file_read(diff, extent.off, ret_page + (extent.off - off), (size_t)extent.len,
                                err);
    }
    return rc;
}

/* Bytes of the memory that the state describes. Returns false when no memory has them. */
static bool size_of(const struct machine_state *state, uint64_t *ret_size)
{
    *ret_size = 0;
    for (uint32_t i = 0; i < state->regions_count; i++)
        if (!ck_add(*ret_size, state->regions[i].size, ret_size))
            return false;
    return true;
}

static int check_size(const struct snapf_content *content, const char *state_path,
                      const struct snaptool_file *memory, struct err *err)
{
    uint64_t size;
    if (!size_of(&content->machine, &size) || memory->size < size)
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH " is not the memory of the state file " SNAPTOOL_PATH
                                     ": EINVAL: it has %llu bytes, expected "
                                     "%llu. Name both files of one snapshot",
                       memory->path, state_path, (unsigned long long)memory->size,
                       (unsigned long long)size);
    return 0;
}

static bool has_id(const uint8_t id[static SNAPF_ID_SIZE])
{
    static const uint8_t none[SNAPF_ID_SIZE];
    return memcmp(id, none, sizeof(none)) != 0;
}

int snaptool_verify_order(const struct snapf_content *before, const char *before_path,
                          const struct snapf_content *after, const char *after_path,
                          struct err *err)
{
    const char *old = !has_id(before->id) ? before_path : after_path;
    if (!has_id(before->id) || !has_id(after->id))
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH " has no id: EINVAL. A build with format 1.1 or older wrote "
                                     "it: leave --base-state away, and look at the order yourself",
                       old);
    if (memcmp(before->id, after->predecessor, sizeof(before->id)) == 0)
        return 0;
    return err_set(
        err, -EINVAL,
        SNAPTOOL_PATH
        " does not follow " SNAPTOOL_PATH
        ": EINVAL: it was made after %s. Merge diffs oldest first: mayfly-snap info prints "
        "the id of each and of the one before",
        after_path, before_path,
        has_id(after->predecessor) ? "another snapshot" : "none, as a VM's first");
}

int snaptool_verify(const struct snapf_content *content, const char *state_path,
                    const struct snaptool_file *memory, const struct snaptool_file *diff,
                    struct err *err)
{
    uint8_t page[SNAPTOOL_PAGE_SIZE];
    uint8_t sum[CRYPTO_CHECKSUM_SIZE];
    int rc = check_size(content, state_path, memory, err);
    for (uint32_t i = 0; rc == 0 && i < content->samples_count; i++) {
        const struct snapf_sample *sample = &content->samples[i];
        bool is_there = sample->off % SNAPTOOL_PAGE_SIZE == 0 &&
                        ck_range(sample->off, SNAPTOOL_PAGE_SIZE, memory->size);
        if (is_there)
            rc = read_page(memory, diff, sample->off, page, err);
        if (rc < 0)
            return rc;
        if (is_there)
            crypto_checksum(page, sizeof(page), sum);
        if (is_there && memcmp(sum, sample->sum, sizeof(sum)) == 0)
            continue;
        rc = err_set(err, -EINVAL,
                     SNAPTOOL_PATH SNAPTOOL_PATH
                     " is not the memory of the state file " SNAPTOOL_PATH
                     ": EINVAL: the page at byte %llu has "
                     "other content. Merge diffs oldest first, and take the state file of the last",
                     memory->path, diff ? " with the diff" : "", state_path,
                     (unsigned long long)sample->off);
    }
    return rc;
}
