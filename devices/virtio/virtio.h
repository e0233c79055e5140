/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The device contract: what a virtio device is to its transport. A device has no guest memory and
 * no interrupt until its driver is ready (virtio_dev_activate), and never a KVM fd. Lock:
 * virtio_dev.lock guards the device, its queues and its transport registers; it is taken by the
 * transport before any op. Lock order: vmm/machine/machine.h. The interrupt status is atomic and
 * outside it, so that an interrupt handler in the guest never waits for a queue being served.
 */
#pragma once

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/metrics.h"
#include "devices/virtio/queue.h"
#include "vmm/bus/irq.h"
#include "vmm/mem/gmem.h"

#define VIRTIO_QUEUES_MAX 3u
#define VIRTIO_CONFIG_SIZE_MAX 256u

/* Bits of InterruptStatus (virtio 1.2, 4.2.2). */
#define VIRTIO_IRQ_RING 0x1u
#define VIRTIO_IRQ_CONFIG 0x2u

struct virtio_dev;

struct virtio_dev_ops {
    /* The driver is ready and the rings are open. Returns 0, or -errno: then the device needs a
     * reset. */
    int (*activate)(struct virtio_dev *dev);
    /* The driver wrote 0: finish or forget what is in flight; after this no guest memory is
     * touched. May give the lock up while it waits: `resetting` keeps everybody else away. */
    void (*reset)(struct virtio_dev *dev);
    /* Serve queue `idx`: the driver notified it, or the device was just activated. Thread: the
     * loop's. */
    void (*on_queue)(struct virtio_dev *dev, uint32_t idx);
    /* The VM pauses: finish what is in flight, publish it, until `until_ns` (monotonic). After it
     * no guest memory is touched; on_queue is not called before the VM goes on. Returns 0,
     * -ETIMEDOUT or -errno. Thread: the loop's, no vCPU runs. NULL: nothing is ever in flight. */
    int (*quiesce)(struct virtio_dev *dev, uint64_t until_ns);
    /*
     * NULL: notifications come to on_queue by an eventfd, which the vCPU does not wait for. Else
     * the transport asks for no eventfd and calls this on the vCPU's thread; true: it was served
     * here; false: it is for on_queue, later, on the loop.
     */
    bool (*on_notify)(struct virtio_dev *dev, uint32_t idx);
};

/* What a transport does for its device; called under the lock. */
struct virtio_transport_ops {
    void (*needs_reset)(void *transport);              /* show DEVICE_NEEDS_RESET in the status */
    void (*kick)(void *transport, uint32_t queue_idx); /* serve the queue again, later */
};

struct virtio_dev {
    const struct virtio_dev_ops *ops;
    pthread_mutex_t lock;
    uint32_t device_type; /* virtio 1.2, 5 */
    uint64_t offered;     /* feature bits */
    uint64_t acked;       /* subset of offered */
    uint32_t queues_count;
    struct vq queues[VIRTIO_QUEUES_MAX];
    uint8_t config[VIRTIO_CONFIG_SIZE_MAX]; /* little-endian config space */
    uint32_t config_size;                   /* bytes of it that exist */
    uint32_t config_generation;
    bool active;                /* activate succeeded */
    bool resetting;             /* a reset waits for the backend, without the lock */
    pthread_cond_t reset_over;  /* resetting became false */
    metric_t *activate_fails;   /* the device's counter, set by it; NULL: none */
    metric_t *cfg_fails;        /* likewise: writes to its config space */
    bool paused;                /* the VM is: nothing is served */
    bool broken;                /* needs-reset was said; nothing is served until the reset */
    struct gmem *gmem;          /* borrowed while active */
    const struct irq_line *irq; /* borrowed from the transport while it exists */
    _Atomic uint32_t irq_bits;  /* status, and above it the bits not seen by the driver yet */
    const struct virtio_transport_ops *transport_ops; /* NULL: no transport yet */
    void *transport;
};

/* Prepares the common part; the device sets offered, config and config_size itself. Returns 0 or
 * -errno. */
MUST_CHECK int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_ops *ops,
                               uint32_t device_type, uint32_t queues_count);
void virtio_dev_done(struct virtio_dev *dev);

/* Was feature bit `bit` negotiated? Under the lock. */
static inline bool virtio_has(const struct virtio_dev *dev, uint32_t bit)
{
    return dev->acked & (1ull << bit);
}

/* Opens every queue the driver made ready and hands gmem to the device. Under the lock; transport
 * only.
 * Returns 0, or -errno with the device marked broken. */
MUST_CHECK int virtio_dev_activate(struct virtio_dev *dev, struct gmem *gmem);

/* Takes gmem, queues and features away again. Under the lock; transport only. */
void virtio_dev_reset(struct virtio_dev *dev);

/* Waits until no other thread is resetting the device, or until `until_ns` (monotonic). Under the
 * lock, which it gives up meanwhile. Returns 0 or -ETIMEDOUT. */
MUST_CHECK int virtio_await_reset(struct virtio_dev *dev, uint64_t until_ns);

/*
 * The VM pauses: the device stops serving and finishes what is in flight. Returns 0, or -ETIMEDOUT
 * or -errno and the device serves on. Thread: the loop's; no vCPU runs. Takes the lock.
 */
MUST_CHECK int virtio_dev_pause(struct virtio_dev *dev, uint64_t until_ns);

/* The VM goes on: every queue is looked at. Not paused is fine. Takes the lock. */
void virtio_dev_resume(struct virtio_dev *dev);

/* May the device serve its queues now? Under the lock. */
static inline bool virtio_serves(const struct virtio_dev *dev)
{
    return dev->active && !dev->broken && !dev->paused;
}

/* Has queue `idx` served again after other devices had their turn. Under the lock. */
void virtio_kick_self(struct virtio_dev *dev, uint32_t idx);

/* Publishes what queue `idx` pushed and raises the ring interrupt when the driver wants it. Under
 * the lock. */
void virtio_queue_flush(struct virtio_dev *dev, uint32_t idx);

/*
 * The same for every queue, with one interrupt. lazy: a bit for each queue whose news may wait for
 * another queue's interrupt. A broken device is left alone. Returns whether such news waits: flush
 * it soon. Under the lock.
 */
bool virtio_queues_flush(struct virtio_dev *dev, uint32_t lazy);

/* What the driver reads as its InterruptStatus. Any thread, no lock needed. */
uint32_t virtio_irq_status_read(struct virtio_dev *dev);

/*
 * The driver acknowledged `bits`. It may have done so a while ago, since KVM keeps
 * acknowledgements while no vCPU exits: a bit raised since the driver last read the status stays,
 * as the acknowledgement is not for that. Any thread, no lock needed.
 */
void virtio_irq_ack(struct virtio_dev *dev, uint32_t bits);

/* The device's config bytes changed: new generation, config interrupt when active. Under the
 * lock. */
void virtio_config_changed(struct virtio_dev *dev);

/*
 * The driver broke the rules: needs-reset bit, config interrupt, one limited log line; nothing is
 * served until it resets. what: a sentence part ("queue 0: descriptor index out of range"). Under
 * the lock.
 */
void virtio_mark_broken(struct virtio_dev *dev, const char *what, int code);
