/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory that another process fills page by page (snapshot.md 6; userfaultfd(2)). Thread:
 * vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine_state.h"
#include "vmm/mem/gmem.h"

/*
 * Makes the memory of a checked state, untouched, and hands the faults on it to the process that
 * listens at `path`. The memory keeps what it needs for that. reserved: memory of that shape to be
 * used (gmem_reserve), which stays its owner's in any case; NULL: it is made. Returns 0 with
 * *ret_gmem, or -errno with the sentence of snapshot.md 4.
 */
MUST_CHECK int snap_uffd_create(const char *path, const struct machine_state *state,
                                const struct cfg_machine *config, struct gmem *reserved,
                                struct gmem **ret_gmem, struct err *err);
