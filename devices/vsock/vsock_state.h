/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of a vsock device beside its virtio state (vsock.md 6): no stream. Plain
 * data; belongs to whoever holds it. snapshots/format knows its bytes and versions. Thread: vmm,
 * while the VM is paused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/vsock/vsock.h"

struct vsock_state {
    uint32_t last_local_port;
    bool reset_pending;       /* the guest has not taken note yet that its streams are gone */
    uint16_t reset_avail_idx; /* the event queue's avail index when it was told */
};

/* Tells the guest that its streams are gone, which it hears when it goes on, here or elsewhere, and
 * takes the state. Takes the lock. */
void vsock_save(struct vsock *vsock, struct vsock_state *ret_state);

/* Puts it into a fresh device. Returns 0, or -EINVAL: the port is none of ours. */
MUST_CHECK int vsock_restore(struct vsock *vsock, const struct vsock_state *state, struct err *err);
