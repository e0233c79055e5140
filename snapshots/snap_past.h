/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot that a VM last took or was loaded from: what the next one says it follows, and what
 * a Diff is merged onto where that is (snapshot.md 3). Thread: vmm.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/format/snapf.h"
#include "snapshots/snap_file.h"
#include "vmm/mem/gmem.h"

/* Zeroed: there was none. */
struct snap_past {
    uint8_t id[SNAPF_ID_SIZE];
    uint32_t samples_count;
    struct snapf_sample *samples; /* heap: most monitors wait long for their first snapshot */
    struct snapf_stamp stamp;     /* of its memory file; zero: that is a diff, or nobody knows */
    /* A file that a snapshot has begun to change, and has not ended. */
    bool has_begun;
    struct stat begun;
};

/* This is the last one from now on; without memory for its samples, any file will do. What was
 * begun has ended. */
void snap_past_set(struct snap_past *past, const struct snapf_content *content);
/* Frees what it holds. */
void snap_past_done(struct snap_past *past);

/* This file begins to change: should that fail, the next try goes onto it, whatever is there. */
void snap_past_begin(struct snap_past *past, int fd);

/* Is the file all of the last snapshot's memory, as nobody has changed it since? */
bool snap_past_is_whole(const struct snap_past *past, int fd);

/*
 * May a diff be merged into this file? What it holds of the sampled pages has to be as the last
 * snapshot has it; its holes are a diff's own, which is merged later. Without dirty bits a diff
 * goes onto any older memory of the VM, and pages that it has need not match. Returns 0, -EINVAL
 * with the page that differs, or -errno of the read.
 */
MUST_CHECK int snap_past_check(const struct snap_past *past, const struct gmem *gmem,
                               const struct snap_file *memory, struct err *err);
