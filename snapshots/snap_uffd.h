/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that another process fills page by page (snapshot.md 6; userfaultfd(2)). Thread:
 * vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/snap_watch.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine_state.h"
#include "vmm/mem/gmem.h"

/*
 * Makes the memory of a checked state, untouched, and hands the faults on it to the process that
 * source names; that one is watched from then on. The memory keeps what it needs for that.
 * reserved: memory of that shape to be used (gmem_reserve), which stays its owner's in any case;
 * NULL: it is made. Returns 0 with *ret_gmem and *ret_watch (snap_watch_free), or -errno with the
 * sentence of snapshot.md 4.
 */
MUST_CHECK int snap_uffd_create(const struct cfg_mem_source *source,
                                const struct machine_state *state, const struct cfg_machine *config,
                                const struct snap_watch_news *news, struct gmem *reserved,
                                struct gmem **ret_gmem, struct snap_watch **ret_watch,
                                struct err *err);

/* The load is done, with rc: snap_watch_end_load with the sentence of snapshot.md 4. */
MUST_CHECK int snap_uffd_end_load(struct snap_watch *watch, const struct cfg_mem_source *source,
                                  int rc, struct err *err);
