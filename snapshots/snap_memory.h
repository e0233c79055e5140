/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory into a file and samples of it (snapshot.md 3). Thread: vmm, while the machine is
 * paused.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/format/snapf.h"
#include "snapshots/snap_file.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine_state.h"

/* How many pages are kept as samples, beside those that change from one snapshot to the next
 * (clocks, rings, VMGenID): of a diff half of those that it has, and half of those that were there
 * and that it has not, so that one that was left out before it shows. */
#define SNAP_RANDOM_SAMPLES 14u

/* What was written, and what of the tracked changes that took: snap_written_done. */
struct snap_written {
    uint64_t pages_count;
    uint64_t picked[SNAP_RANDOM_SAMPLES]; /* offsets in the file, chosen at random */
    uint32_t picked_count;
    uint64_t *dirty[GMEM_REGIONS_MAX]; /* heap; NULL: not tracked */
};

/* Bytes of the memory file of a machine. */
uint64_t snap_memory_size(const struct gmem *gmem);

/*
 * Writes the memory: all of it, or what changed since the last snapshot (all that the host has in
 * memory, when changes are not tracked). Pages that are zero become holes of a whole memory, and
 * zeros of a diff, where a hole says that nothing changed. Tracking starts anew; what was tracked
 * is in *ret_written. Returns 0 or -errno: then nothing was taken.
 */
MUST_CHECK int snap_memory_write(struct machine *machine, const struct snap_file *file,
                                 enum cfg_snapshot_type type, struct snap_written *ret_written,
                                 struct err *err);

/* Frees it. One that is freed already is fine. */
void snap_written_done(struct snap_written *written);

/* The snapshot failed: what was tracked is tracked again, for the next. Frees it too. */
void snap_written_give_back(struct gmem *gmem, struct snap_written *written);

/* Samples of what a load relies on: the pages of the guest's clocks, of rings and of VMGenID, then
 * those picked. */
void snap_samples_take(const struct gmem *gmem, const struct snap_written *written,
                       struct snapf_content *content);

/*
 * Is memory that is being loaded the state's? Asked when its file has not the state's stamp
 * (snapshots/snap_stamp.h). The pages that a load touches anyway are compared
 * where they are mapped, the random ones as they are read from the file: a page fault costs more.
 * Return 0, -EINVAL with the page that differs, or -errno of the read.
 */
MUST_CHECK int snap_samples_check(const struct gmem *gmem, const struct snapf_content *content,
                                  struct err *err);
MUST_CHECK int snap_samples_check_file(int fd, const struct snapf_content *content,
                                       struct err *err);
