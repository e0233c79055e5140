/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A recorder between a device and its disk: passes every request on and logs what completed, so
 * that a test can make the image that a power cut would have left at worst: one without any write
 * that no completed flush covers. The log is written with plain write(2) calls before the device
 * sees a completion, so it survives a SIGKILL. Thread: the disk's. Issue 3, part 9 (durability).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/disk.h"

struct disk_recorder_options {
    const char *log_path; /* created, or emptied */
    bool broken_flush;    /* flushes are answered as done and neither made nor logged */
};

struct disk_recorder_counts {
    uint64_t writes_kept;
    uint64_t writes_dropped;
    uint64_t bytes_kept;
    uint64_t flushes; /* completed ones */
};

/*
 * Puts a recorder in front of an opened disk, in place: disk_close closes both. Returns 0, or
 * -errno with the disk as it was.
 */
MUST_CHECK int disk_recorder_wrap(struct disk *disk, const struct disk_recorder_options *options,
                                  struct err *err);

/*
 * Applies to the image (a copy of the disk as it was before recording) the writes of the log that
 * completed before the start of a flush that completed; drops the others. A record cut short by a
 * kill ends the log. Returns 0, -EBADMSG for a file that is no log, or -errno.
 */
MUST_CHECK int disk_recorder_replay(const char *log_path, const char *image_path,
                                    struct disk_recorder_counts *ret_counts, struct err *err);
