/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Is the file of a drive that is only read the one that the guest has? What it was is noted when a
 * snapshot is taken, and compared by a load (docs/snapshots.md, Loading). Thread: vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/disk.h"
#include "snapshots/format/snapf_base.h"
#include "vmm/config/cfg.h"

/* Notes what an open disk's file is now. Returns 0, or -errno of fstat or a read (-EIO: it became
 * shorter). */
MUST_CHECK int snap_base_take(const struct disk *disk, uint32_t drive_idx,
                              struct snapf_base *ret_base);

/*
 * Compares the file that was opened for a drive with what was noted, or NULL: nothing was.
 * override: of this drive, or NULL: then nothing is read, and a difference is a warning. Returns 0,
 * -EINVAL (another file, and not forced), -ENOMEM or -errno of a read.
 */
MUST_CHECK int snap_base_check(const struct cfg_drive *drive, const struct disk *disk,
                               const struct snapf_base *base,
                               const struct cfg_drive_override *override, struct err *err);
