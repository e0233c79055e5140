/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of any virtio device: what its driver negotiated, its rings' places and
 * indexes, and the transport's registers. Nothing is in flight while it is taken. Plain data;
 * belongs to whoever holds it. snapshots/format knows its bytes and versions. Thread: vmm, while
 * the VM is paused.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/virtio/virtio.h"
#include "devices/virtio/vmmio.h"

struct vq_state {
    struct vq_setup setup;
    uint16_t next_avail; /* the next avail entry that the device takes */
    uint16_t next_used;  /* the next used entry that it fills; all before it are published */
    uint16_t signalled;  /* as of the last interrupt decision */
};

struct virtio_state {
    uint32_t device_type;
    uint32_t queues_count;
    uint64_t acked;
    uint32_t config_generation;
    uint32_t irq_bits; /* status, and above it the bits not seen by the driver yet */
    bool active;
    bool broken;
    struct vq_state queues[VIRTIO_QUEUES_MAX];
    uint32_t status; /* the transport's registers */
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
};

/* Takes the state of a device and its transport. The VM is paused. */
void vmmio_save(const struct vmmio *vmmio, struct virtio_state *ret_state);

/* Can the state be one that vmmio_save has written? What is wrong with it is said. Returns 0 or
 * -EINVAL. */
MUST_CHECK int virtio_state_check(const struct virtio_state *state, struct err *err);

/*
 * Puts a checked state into a device that no driver has touched, as paused: it serves nothing
 * before virtio_dev_resume. An active device has its rings opened and is told (activate). Returns
 * 0, -EINVAL (another device's, or features that this one does not have), or -errno of the rings or
 * of the device.
 */
MUST_CHECK int vmmio_restore(struct vmmio *vmmio, const struct virtio_state *state,
                             struct err *err);

/* Raises the line again when the driver has not acknowledged all: an interrupt on its way while
 * the state was taken is not lost. One too many does no harm. */
void vmmio_renotify(const struct vmmio *vmmio);
