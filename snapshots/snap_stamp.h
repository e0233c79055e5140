/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file's stamp: its time of last change, whose fraction of a second is chosen at random
 * when a snapshot is complete. Whoever writes the file afterwards changes it; copies that keep
 * times keep it. A load that finds the stamp of the state file reads no page to know that they are
 * a pair. Single thread.
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "snapshots/format/snapf.h"

/* Gives the file a stamp, behind its last byte. *ret_stamp: zero when this file system does not
 * keep such times, or the file is somebody else's. */
void snap_stamp_set(int fd, struct snapf_stamp *ret_stamp);

/* Has the file that stamp? A zero one: no. */
bool snap_stamp_is(const struct stat *stat, const struct snapf_stamp *stamp);
