/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio over MMIO, version 2 (virtio 1.2, 4.2; devices.md 2): registers, status state machine,
 * queue kicks. Register accesses come from vCPU threads, kicks from the loop, but for devices that
 * serve notifications where they are made. Everything but the interrupt status is under the
 * device's lock.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/virtio/virtio.h"
#include "vmm/bus/bus.h"
#include "vmm/loop/loop.h"

#define VMMIO_WINDOW_SIZE 0x1000u
#define VMMIO_QUEUE_NOTIFY_OFF 0x50u
/* Writes here may take effect late (hv_vm_coalesce_writes). */
#define VMMIO_INTERRUPT_ACK_OFF 0x64u

struct vmmio;

/*
 * Wires a device to a transport. All borrowed, all outlive the transport: dev; gmem (handed to
 * the device at activation); irq; loop (watches one kick eventfd a queue). Returns 0 with
 * *ret_vmmio (vmmio_free) or -errno. Thread: vmm, before the guest runs.
 */
MUST_CHECK int vmmio_create(struct virtio_dev *dev, struct gmem *gmem, const struct irq_line *irq,
                            struct loop *loop, struct vmmio **ret_vmmio, struct err *err);

/* Resets the device and frees the transport. No vCPU may run. Thread: vmm. */
void vmmio_free(struct vmmio *vmmio);

/* Shall a guest's QueueNotify raise vmmio_kick_fd without an exit to us? False: the device wants
 * to see it. */
bool vmmio_wants_eventfd(const struct vmmio *vmmio);

/* The eventfd that a guest's QueueNotify of queue `idx` raises; the transport's. */
int vmmio_kick_fd(const struct vmmio *vmmio, uint32_t idx);

/* MMIO handlers; ctx is the struct vmmio. vCPU threads. */
extern const struct bus_ops vmmio_bus_ops;
