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

#include "base/err.h"
#include "base/log.h"

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
    return -pthread_mutex_init(&dev->lock, NULL);
}

void virtio_dev_done(struct virtio_dev *dev)
{
    if (dev->ops)
        (void)pthread_mutex_destroy(&dev->lock); /* nobody holds it any more */
    dev->ops = NULL;
}

int virtio_dev_activate(struct virtio_dev *dev, struct gmem *gmem)
{
    bool event_idx = virtio_has(dev, VIRTIO_RING_F_EVENT_IDX);
    bool indirect = virtio_has(dev, VIRTIO_RING_F_INDIRECT_DESC);
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        int rc = vq_activate(&dev->queues[i], gmem, event_idx, indirect);
        if (rc < 0) {
            virtio_mark_broken(dev, "activation: ring size or address is not valid", rc);
            return rc;
        }
    }
    dev->gmem = gmem;
    int rc = dev->ops->activate(dev);
    if (rc < 0) {
        virtio_mark_broken(dev, "activation refused by the device", rc);
        return rc;
    }
    dev->active = true;
    return 0;
}

void virtio_dev_reset(struct virtio_dev *dev)
{
    if (dev->gmem)
        dev->ops->reset(dev);
    for (uint32_t i = 0; i < dev->queues_count; i++)
        vq_reset(&dev->queues[i]);
    dev->gmem = NULL;
    dev->acked = 0;
    dev->active = false;
    dev->broken = false;
    atomic_store_explicit(&dev->irq_status, 0, memory_order_release);
}

static void interrupt(struct virtio_dev *dev, uint32_t bits)
{
    /* Release: the bit is there before the line goes up. */
    atomic_fetch_or_explicit(&dev->irq_status, bits, memory_order_release);
    if (dev->irq)
        irq_raise(dev->irq);
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
