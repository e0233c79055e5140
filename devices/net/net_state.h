/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of a NIC beside its virtio state: its limiters. Plain data; belongs to
 * whoever holds it. snapshots/format knows its bytes and versions. Thread: vmm, while the VM is
 * paused.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/rl_state.h"
#include "devices/net/net.h"

struct net_state {
    struct rl_state rx_rl;
    struct rl_state tx_rl;
};

/* Takes the state. Takes the lock. */
void net_save(struct net *net, struct net_state *ret_state);

/* Puts it into a fresh device. Returns 0 or -EINVAL: a limiter's state is none. */
MUST_CHECK int net_restore(struct net *net, const struct net_state *state, struct err *err);
