/* SPDX-License-Identifier: Apache-2.0 */
/*
 * This host and this build in words, as a snapshot remembers where it was taken. Single thread.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/format/snapf.h"

/* Returns 0 with every text set (heap) or -ENOMEM. */
MUST_CHECK int snap_host_describe(struct snapf_info *ret_info, struct err *err);

/* Is it of the vendor of this host's CPU? cpu: of snapf_info; NULL: nobody knows, yes. */
bool snap_host_is_vendor(const char *cpu);
