/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The common state of a virtio device out of it, checked, and into it. Under the device's lock, on
 * the vmm thread, while the VM is paused.
 */
#include "devices/virtio/virtio_state.h"

#include <assert.h>
#include <errno.h>

#include "devices/virtio/vmmio_int.h"

/* Both halves of virtio_dev.irq_bits. */
#define IRQ_BITS_MASK 0x00030003u

void vmmio_save(const struct vmmio *vmmio, struct virtio_state *ret_state)
{
    const struct virtio_dev *dev = vmmio->dev;
    *ret_state = (struct virtio_state){
        .device_type = dev->device_type,
        .queues_count = dev->queues_count,
        .acked = dev->acked,
        .config_generation = dev->config_generation,
        .irq_bits = atomic_load_explicit(&dev->irq_bits, memory_order_acquire),
        .active = dev->active,
        .broken = dev->broken,
        .status = vmmio->status,
        .device_features_sel = vmmio->device_features_sel,
        .driver_features_sel = vmmio->driver_features_sel,
        .queue_sel = vmmio->queue_sel,
    };
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        const struct vq *vq = &dev->queues[i];
        assert(dev->broken || (vq_in_flight_count(vq) == 0 && vq->published == vq->next_used));
        ret_state->queues[i] =
            (struct vq_state){vq->setup, vq->next_avail, vq->published, vq->signalled};
    }
}

int virtio_state_check(const struct virtio_state *state, struct err *err)
{
    if (state->queues_count == 0 || state->queues_count > VIRTIO_QUEUES_MAX)
        return err_set(err, -EINVAL, "it has %u queues, expected 1 to %u", state->queues_count,
                       VIRTIO_QUEUES_MAX);
    if (state->irq_bits & ~IRQ_BITS_MASK)
        return err_set(err, -EINVAL, "its interrupt status 0x%x has unknown bits", state->irq_bits);
    if (state->status > VMMIO_STATUS_MASK)
        return err_set(err, -EINVAL, "its status 0x%x has unknown bits", state->status);
    if (state->active && (state->status & VMMIO_STATUS_RUNNING) != VMMIO_STATUS_RUNNING)
        return err_set(err, -EINVAL, "it is active in status 0x%x", state->status);
    for (uint32_t i = 0; i < state->queues_count; i++)
        if (state->queues[i].setup.size > VQ_SIZE_MAX)
            return err_set(err, -EINVAL, "its queue %u has %u entries, more than %u", i,
                           state->queues[i].setup.size, VQ_SIZE_MAX);
    return 0;
}

static int check_device(const struct virtio_dev *dev, const struct virtio_state *state,
                        struct err *err)
{
    if (state->device_type != dev->device_type || state->queues_count != dev->queues_count)
        return err_set(err, -EINVAL,
                       "the state is of device type %u with %u queues, expected %u "
                       "with %u",
                       state->device_type, state->queues_count, dev->device_type,
                       dev->queues_count);
    if (state->acked & ~dev->offered)
        return err_set(err, -EINVAL,
                       "the guest uses features 0x%llx, which the device does not have here",
                       (unsigned long long)(state->acked & ~dev->offered));
    return 0;
}

static void restore_indexes(struct virtio_dev *dev, const struct virtio_state *state)
{
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        const struct vq_state *from = &state->queues[i];
        struct vq *vq = &dev->queues[i];
        vq->next_avail = vq->seen_avail = from->next_avail;
        vq->next_used = vq->published = from->next_used;
        vq->signalled = from->signalled;
    }
}

static int restore_locked(struct vmmio *vmmio, const struct virtio_state *state, struct err *err)
{
    struct virtio_dev *dev = vmmio->dev;
    dev->paused = true;
    dev->acked = state->acked;
    dev->config_generation = state->config_generation;
    vmmio->status = state->status;
    vmmio->device_features_sel = state->device_features_sel;
    vmmio->driver_features_sel = state->driver_features_sel;
    vmmio->queue_sel = state->queue_sel;
    for (uint32_t i = 0; i < dev->queues_count; i++)
        dev->queues[i].setup = state->queues[i].setup;
    int rc = state->active ? virtio_dev_activate(dev, vmmio->gmem) : 0;
    if (rc < 0)
        return err_set(err, rc, "its rings or its backend cannot be used here: %s", ERR_OS(rc));
    restore_indexes(dev, state);
    dev->broken = state->broken;
    atomic_store_explicit(&dev->irq_bits, state->irq_bits, memory_order_release);
    return 0;
}

int vmmio_restore(struct vmmio *vmmio, const struct virtio_state *state, struct err *err)
{
    struct virtio_dev *dev = vmmio->dev;
    int rc = check_device(dev, state, err);
    if (rc < 0)
        return rc;
    (void)pthread_mutex_lock(&dev->lock);
    rc = restore_locked(vmmio, state, err);
    (void)pthread_mutex_unlock(&dev->lock);
    return rc;
}

void vmmio_renotify(const struct vmmio *vmmio)
{
    const struct virtio_dev *dev = vmmio->dev;
    uint32_t bits = atomic_load_explicit(&dev->irq_bits, memory_order_acquire);
    if (dev->irq && (bits & (VIRTIO_IRQ_RING | VIRTIO_IRQ_CONFIG)))
        irq_raise(dev->irq);
}
