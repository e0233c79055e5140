/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every virtio device shares: activation, reset, interrupts, and telling a broken driver so
 * (virtio 1.2, 2.1, 2.3, 3). Under virtio_dev.lock, on the thread that holds it.
 */
#include "devices/virtio/virtio.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "base/clock.h"
#include "base/err.h"
#include "base/log.h"

/* Upper half of virtio_dev.irq_bits: bits raised since the driver last read the status. */
#define IRQ_UNSEEN_SHIFT 16u
#define IRQ_STATUS_MASK 0xffffu

int virtio_dev_init(struct virtio_dev *dev, const struct virtio_dev_ops *ops, uint32_t device_type,
                    uint32_t queues_count)
{
    assert(queues_count >= 1 && queues_count <= VIRTIO_QUEUES_MAX);
    *dev = (struct virtio_dev){
        .ops = ops,
        .device_type = device_type,
        .queues_count = queues_count,
        .offered = (1ull << VIRTIO_F_VERSION_1) | (1ull << VIRTIO_RING_F_EVENT_IDX) |
                   (1ull << VIRTIO_RING_F_INDIRECT_DESC),
    };
    int rc = -pthread_mutex_init(&dev->lock, NULL);
    if (rc < 0)
        return rc;
    rc = -pthread_cond_init(&dev->reset_over, NULL);
    if (rc < 0)
        (void)pthread_mutex_destroy(&dev->lock); /* fresh: cannot fail */
    return rc;
}

void virtio_dev_done(struct virtio_dev *dev)
{
    if (!dev->ops)
        return;
    (void)pthread_cond_destroy(&dev->reset_over); /* nobody waits any more */
    (void)pthread_mutex_destroy(&dev->lock);
    dev->ops = NULL;
}

static int activation_failed(struct virtio_dev *dev, const char *what, int code)
{
    if (dev->activate_fails)
        metric_inc(dev->activate_fails);
    virtio_mark_broken(dev, what, code);
    return code;
}

int virtio_dev_activate(struct virtio_dev *dev, struct gmem *gmem)
{
    bool event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
    bool indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        int rc = vq_activate(&dev->queues[i], gmem, event_idx, indirect);
        if (rc < 0)
            return activation_failed(dev, "activation: ring size or address is not valid", rc);
    }
    dev->gmem = gmem;
    int rc = dev->ops->activate(dev);
    if (rc < 0)
        return activation_failed(dev, "activation refused by the device", rc);
    dev->active = true;
    return 0;
}

void virtio_dev_reset(struct virtio_dev *dev)
{
    if (dev->gmem) {
        dev->active = false;
        dev->resetting = true;
        dev->ops->reset(dev);
        dev->resetting = false;
        (void)pthread_cond_broadcast(&dev->reset_over);
    }
    for (uint32_t i = 0; i < dev->queues_count; i++)
        vq_reset(&dev->queues[i]);
    dev->gmem = NULL;
    dev->acked = 0;
    dev->active = false;
    dev->broken = false;
    atomic_store_explicit(&dev->irq_bits, 0, memory_order_release);
}

int virtio_dev_pause(struct virtio_dev *dev, uint64_t until_ns)
{
    (void)pthread_mutex_lock(&dev->lock);
    dev->paused = true;
    int rc = dev->active && dev->ops->quiesce ? dev->ops->quiesce(dev, until_ns) : 0;
    (void)pthread_mutex_unlock(&dev->lock);
    if (rc < 0)
        virtio_dev_resume(dev);
    return rc;
}

void virtio_dev_resume(struct virtio_dev *dev)
{
    (void)pthread_mutex_lock(&dev->lock);
    bool was_paused = dev->paused;
    dev->paused = false;
    for (uint32_t i = 0; was_paused && i < dev->queues_count; i++)
        virtio_kick_self(dev, i);
    (void)pthread_mutex_unlock(&dev->lock);
}

int virtio_await_reset(struct virtio_dev *dev, uint64_t until_ns)
{
    const struct timespec until = clock_timespec(until_ns);
    int rc = 0;
    while (dev->resetting && rc == 0)
        rc = pthread_cond_clockwait(&dev->reset_over, &dev->lock, CLOCK_MONOTONIC, &until);
    return dev->resetting ? -rc : 0;
}

static void interrupt(struct virtio_dev *dev, uint32_t bits)
{
    /* Release: the bit is there before the line goes up. */
    atomic_fetch_or_explicit(&dev->irq_bits, bits | bits << IRQ_UNSEEN_SHIFT, memory_order_release);
    if (dev->irq)
        irq_raise(dev->irq);
}

uint32_t virtio_irq_status_read(struct virtio_dev *dev)
{
    /* One step: what is raised after it is unseen. */
    return atomic_fetch_and_explicit(&dev->irq_bits, IRQ_STATUS_MASK, memory_order_acq_rel) &
           IRQ_STATUS_MASK;
}

void virtio_irq_ack(struct virtio_dev *dev, uint32_t bits)
{
    uint32_t irq = atomic_load_explicit(&dev->irq_bits, memory_order_acquire);
    uint32_t rest;
    do {
        rest = irq & ~(bits & IRQ_STATUS_MASK & ~(irq >> IRQ_UNSEEN_SHIFT));
    } while (!atomic_compare_exchange_weak_explicit(&dev->irq_bits, &irq, rest,
                                                    memory_order_acq_rel, memory_order_acquire));
}

void virtio_kick_self(struct virtio_dev *dev, uint32_t idx)
{
    if (dev->transport_ops)
        dev->transport_ops->kick(dev->transport, idx);
}

void virtio_queue_flush(struct virtio_dev *dev, uint32_t idx)
{
    struct vq *vq = &dev->queues[idx];
    vq_publish(vq);
    if (vq_needs_kick(vq))
        interrupt(dev, VIRTIO_IRQ_RING);
}

bool virtio_queues_flush(struct virtio_dev *dev, uint32_t lazy)
{
    bool wanted = false;
    bool waits = false;
    if (dev->broken)
        return false;
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        vq_publish(&dev->queues[i]);
        if (!(lazy & 1u << i))
            wanted |= vq_needs_kick(&dev->queues[i]);
    }
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        struct vq *vq = &dev->queues[i];
        if (wanted)
            vq->signalled = vq->published; /* told now, whether or not it asked */
        waits |= vq->published != vq->signalled;
    }
    if (wanted)
        interrupt(dev, VIRTIO_IRQ_RING);
    return waits;
}

void virtio_config_changed(struct virtio_dev *dev)
{
    dev->config_generation++;
    if (dev->active)
        interrupt(dev, VIRTIO_IRQ_CONFIG);
}

void virtio_mark_broken(struct virtio_dev *dev, const char *what, int code)
{
    if (dev->broken)
        return;
    dev->broken = true;
    log_guest_error("virtio device type %u: the driver broke the rules (%s, %s); it must reset the "
                    "device",
                    dev->device_type, what, err_name(code));
    if (dev->transport_ops)
        dev->transport_ops->needs_reset(dev->transport);
    interrupt(dev, VIRTIO_IRQ_CONFIG);
}
