/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a load asks to be another than the snapshot says (snapshot.md 4): put into the configuration
 * and the state before anything is opened, so that it holds from the guest's first instruction.
 * Thread: vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine_state.h"

/* Puts every override of `load` (settled) into what the snapshot has, which is a machine's
 * (machine_state_check). Returns 0, -EINVAL (names what the snapshot does not have, or needs and
 * was not given), -EEXIST (a MAC of another interface) or -ENOMEM. */
MUST_CHECK int snap_override(const struct cfg_snapshot_load *load, struct cfg_vm *config,
                             struct machine_state *state, struct err *err);

/* What the load says of a drive, or NULL. Borrowed. */
const struct cfg_drive_override *snap_override_of_drive(const struct cfg_snapshot_load *load,
                                                        const char *drive_id);
