/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of a block device beside its virtio state: its limiter, and what tells its
 * file from another. Plain data; belongs to whoever holds it. snapshots/format knows its bytes and
 * versions. Thread: vmm, while the VM is paused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/rl_state.h"
#include "devices/blk/blk.h"

struct blk_state {
    struct rl_state rl;
    uint64_t file_size; /* bytes */
    bool read_only;
};

/* Takes the state, with everything written so far made durable. Returns 0, or -errno of the flush.
 * Takes the lock. */
MUST_CHECK int blk_save(struct blk *blk, struct blk_state *ret_state, struct err *err);

/* Puts it into a fresh device. Returns 0 or -EINVAL: the file is not the one that the guest has
 * (shorter, or, of a drive that is only read, of another size), or the limiter's state is none. */
MUST_CHECK int blk_restore(struct blk *blk, const struct blk_state *state, struct err *err);
