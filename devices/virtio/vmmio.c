/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-mmio registers (virtio 1.2, 4.2.2) and the strict status machine of devices.md 2. vCPU
 * threads through the bus, the vmm thread through the kick eventfds; all state but the interrupt
 * status is under the device's lock.
 */
#include "devices/virtio/vmmio.h"

#include <errno.h>
#include <linux/virtio_mmio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "base/fd.h"
#include "base/le.h"
#include "base/log.h"
#include "devices/virtio/vmmio_int.h"

#define VMMIO_MAGIC 0x74726976u
#define VMMIO_VERSION 2u
#define VMMIO_VENDOR 0u
#define VMMIO_NO_SHM 0xffffffffu /* a shared-memory region that does not exist has length -1 */

static void serve(struct vmmio *vmmio, uint32_t idx)
{
    struct virtio_dev *dev = vmmio->dev;
    if (virtio_serves(dev))
        dev->ops->on_queue(dev, idx);
}

static void on_kick(struct loop_src *src, uint32_t revents)
{
    struct queue_kick *queue = src->ctx;
    (void)revents; /* only EPOLLIN is asked for */
    if (fd_event_take(queue->fd) <= 0)
        return;
    (void)pthread_mutex_lock(&queue->vmmio->dev->lock);
    serve(queue->vmmio, queue->idx);
    (void)pthread_mutex_unlock(&queue->vmmio->dev->lock);
}

static void needs_reset(void *transport)
{
    struct vmmio *vmmio = transport;
    vmmio->status |= VIRTIO_CONFIG_S_NEEDS_RESET;
}

static void kick(void *transport, uint32_t queue_idx)
{
    struct vmmio *vmmio = transport;
    IGNORE_RESULT(fd_event_raise(vmmio->kicks[queue_idx].fd)); /* full: a kick is pending */
}

static const struct virtio_transport_ops transport_ops = {
    .needs_reset = needs_reset,
    .kick = kick,
};

static struct vq *selected_queue(struct vmmio *vmmio)
{
    return vmmio->queue_sel < vmmio->dev->queues_count ? &vmmio->dev->queues[vmmio->queue_sel]
                                                       : NULL;
}

static uint32_t features_word(uint64_t features, uint32_t sel)
{
    return sel < 2 ? (uint32_t)(features >> (32 * sel)) : 0;
}

static uint32_t register_read(struct vmmio *vmmio, uint32_t off)
{
    const struct virtio_dev *dev = vmmio->dev;
    const struct vq *vq = selected_queue(vmmio);

    switch (off) {
    case VIRTIO_MMIO_MAGIC_VALUE:
        return VMMIO_MAGIC;
    case VIRTIO_MMIO_VERSION:
        return VMMIO_VERSION;
    case VIRTIO_MMIO_DEVICE_ID:
        return dev->device_type;
    case VIRTIO_MMIO_VENDOR_ID:
        return VMMIO_VENDOR;
    case VIRTIO_MMIO_DEVICE_FEATURES:
        return features_word(dev->offered, vmmio->device_features_sel);
    case VIRTIO_MMIO_QUEUE_NUM_MAX:
        return vq ? VQ_SIZE_MAX : 0;
    case VIRTIO_MMIO_QUEUE_READY:
        return vq ? vq->setup.ready : 0;
    case VIRTIO_MMIO_STATUS:
        return vmmio->status;
    case VIRTIO_MMIO_SHM_LEN_LOW:
    case VIRTIO_MMIO_SHM_LEN_HIGH:
        return VMMIO_NO_SHM;
    case VIRTIO_MMIO_CONFIG_GENERATION:
        return dev->config_generation;
    default:
        log_guest_warn("virtio-mmio: read of register 0x%x, which cannot be read", off);
        return 0;
    }
}

static void set_low(uint64_t *field, uint32_t value)
{
    *field = (*field & ~0xffffffffull) | value;
}

static void set_high(uint64_t *field, uint32_t value)
{
    *field = (*field & 0xffffffffull) | ((uint64_t)value << 32);
}

/* Queue registers are writable between FEATURES_OK and DRIVER_OK only. */
static void queue_write(struct vmmio *vmmio, uint32_t off, uint32_t value)
{
    struct vq *vq = selected_queue(vmmio);
    if (!vq || vmmio->status != VMMIO_STATUS_FEATURES) {
        log_guest_warn("virtio-mmio: write to queue register 0x%x in status 0x%x ignored", off,
                       vmmio->status);
        return;
    }
    switch (off) {
    case VIRTIO_MMIO_QUEUE_NUM:
        vq->setup.size = value <= VQ_SIZE_MAX ? (uint16_t)value : 0; /* 0: refused at activation */
        break;
    case VIRTIO_MMIO_QUEUE_READY:
        vq->setup.ready = value == 1;
        break;
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
        set_low(&vq->setup.desc, value);
        break;
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
        set_high(&vq->setup.desc, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
        set_low(&vq->setup.avail, value);
        break;
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
        set_high(&vq->setup.avail, value);
        break;
    case VIRTIO_MMIO_QUEUE_USED_LOW:
        set_low(&vq->setup.used, value);
        break;
    default: /* VIRTIO_MMIO_QUEUE_USED_HIGH: the caller's switch names them all */
        set_high(&vq->setup.used, value);
        break;
    }
}

static void features_write(struct vmmio *vmmio, uint32_t value)
{
    struct virtio_dev *dev = vmmio->dev;
    if (vmmio->status != VMMIO_STATUS_DRIVER) {
        log_guest_warn("virtio-mmio: features written in status 0x%x ignored", vmmio->status);
        return;
    }
    uint32_t sel = vmmio->driver_features_sel;
    uint64_t bits = sel < 2 ? (uint64_t)value << (32 * sel) : 0;
    uint64_t mask = sel < 2 ? 0xffffffffull << (32 * sel) : 0;
    if ((bits & ~dev->offered) || (sel >= 2 && value))
        log_guest_warn("virtio-mmio: features 0x%x (word %u) hold bits that were not offered",
                       value, sel);
    dev->acked = (dev->acked & ~mask) | (bits & dev->offered);
}

static void reset(struct vmmio *vmmio)
{
    virtio_dev_reset(vmmio->dev);
    vmmio->status = 0;
    vmmio->device_features_sel = 0;
    vmmio->driver_features_sel = 0;
    vmmio->queue_sel = 0;
}

static void driver_ok(struct vmmio *vmmio)
{
    struct virtio_dev *dev = vmmio->dev;
    vmmio->status = VMMIO_STATUS_RUNNING;
    if (virtio_dev_activate(dev, vmmio->gmem) < 0)
        return; /* needs-reset was said */
    /* Requests queued before DRIVER_OK are not lost. */
    for (uint32_t i = 0; i < dev->queues_count; i++)
        kick(vmmio, i);
}

static void status_write(struct vmmio *vmmio, uint32_t value)
{
    if (value == 0) {
        reset(vmmio);
        return;
    }
    if (value & VIRTIO_CONFIG_S_FAILED) {
        vmmio->status |= VIRTIO_CONFIG_S_FAILED;
        return;
    }
    uint32_t sticky = VIRTIO_CONFIG_S_NEEDS_RESET;
    uint32_t now = vmmio->status & ~sticky;
    if (now == 0 && value == VMMIO_STATUS_ACK)
        vmmio->status = value;
    else if (now == VMMIO_STATUS_ACK && value == VMMIO_STATUS_DRIVER)
        vmmio->status = value;
    else if (now == VMMIO_STATUS_DRIVER && value == VMMIO_STATUS_FEATURES &&
             virtio_has(vmmio->dev, VIRTIO_F_VERSION_1))
        vmmio->status = value;
    else if (now == VMMIO_STATUS_FEATURES && value == VMMIO_STATUS_RUNNING)
        driver_ok(vmmio);
    else
        log_guest_warn("virtio-mmio: status 0x%x written in status 0x%x ignored", value,
                       vmmio->status);
}

/* The driver notified a queue and KVM did not turn that into the queue's eventfd. While somebody
 * else has the device, the vCPU does not wait for them. */
static void queue_notify(struct vmmio *vmmio, uint32_t idx)
{
    struct virtio_dev *dev = vmmio->dev;
    if (idx >= dev->queues_count)
        return;
    bool mine = pthread_mutex_trylock(&dev->lock) == 0;
    bool served =
        mine && virtio_serves(dev) && dev->ops->on_notify && dev->ops->on_notify(dev, idx);
    if (mine)
        (void)pthread_mutex_unlock(&dev->lock);
    if (!served)
        kick(vmmio, idx);
}

static void register_write(struct vmmio *vmmio, uint32_t off, uint32_t value)
{
    switch (off) {
    case VIRTIO_MMIO_DEVICE_FEATURES_SEL:
        vmmio->device_features_sel = value;
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES:
        features_write(vmmio, value);
        break;
    case VIRTIO_MMIO_DRIVER_FEATURES_SEL:
        vmmio->driver_features_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_SEL:
        vmmio->queue_sel = value;
        break;
    case VIRTIO_MMIO_QUEUE_NUM:
    case VIRTIO_MMIO_QUEUE_READY:
    case VIRTIO_MMIO_QUEUE_DESC_LOW:
    case VIRTIO_MMIO_QUEUE_DESC_HIGH:
    case VIRTIO_MMIO_QUEUE_AVAIL_LOW:
    case VIRTIO_MMIO_QUEUE_AVAIL_HIGH:
    case VIRTIO_MMIO_QUEUE_USED_LOW:
    case VIRTIO_MMIO_QUEUE_USED_HIGH:
        queue_write(vmmio, off, value);
        break;
    case VIRTIO_MMIO_STATUS:
        status_write(vmmio, value);
        break;
    case VIRTIO_MMIO_SHM_SEL: /* no shared-memory regions: any selection has length -1 */
        break;
    default:
        log_guest_warn("virtio-mmio: write to register 0x%x, which cannot be written", off);
        break;
    }
}

static void config_read(const struct virtio_dev *dev, uint64_t off, void *data, uint32_t len)
{
    memset(data, 0, len);
    if (off < dev->config_size) {
        uint32_t have = dev->config_size - (uint32_t)off;
        memcpy(data, dev->config + off, len < have ? len : have);
    }
}

static void vmmio_read(void *ctx, uint64_t off, void *data, uint32_t len)
{
    struct vmmio *vmmio = ctx;
    le32_t value;
    if (off < VIRTIO_MMIO_CONFIG && (len != sizeof(uint32_t) || off % sizeof(uint32_t))) {
        log_guest_warn("virtio-mmio: %u-byte read of register 0x%x ignored", len, (unsigned)off);
        memset(data, 0, len);
        return;
    }
    if (off == VIRTIO_MMIO_INTERRUPT_STATUS) {
        value = le32_put(virtio_irq_status_read(vmmio->dev));
        memcpy(data, &value, sizeof(value));
        return;
    }
    (void)pthread_mutex_lock(&vmmio->dev->lock);
    if (off >= VIRTIO_MMIO_CONFIG) {
        config_read(vmmio->dev, off - VIRTIO_MMIO_CONFIG, data, len);
    } else {
        value = le32_put(register_read(vmmio, (uint32_t)off));
        memcpy(data, &value, sizeof(value));
    }
    (void)pthread_mutex_unlock(&vmmio->dev->lock);
}

static void vmmio_write(void *ctx, uint64_t off, const void *data, uint32_t len)
{
    struct vmmio *vmmio = ctx;
    if (off >= VIRTIO_MMIO_CONFIG) {
        if (vmmio->dev->cfg_fails)
            metric_inc(vmmio->dev->cfg_fails);
        log_guest_warn("virtio-mmio: write to the config space refused");
        return;
    }
    if (len != sizeof(uint32_t) || off % sizeof(uint32_t)) {
        log_guest_warn("virtio-mmio: %u-byte write to register 0x%x ignored", len, (unsigned)off);
        return;
    }
    le32_t value;
    memcpy(&value, data, sizeof(value));
    if (off == VIRTIO_MMIO_INTERRUPT_ACK) {
        virtio_irq_ack(vmmio->dev, le32_get(value));
        return;
    }
    if (off == VIRTIO_MMIO_QUEUE_NOTIFY) {
        queue_notify(vmmio, le32_get(value));
        return;
    }
    (void)pthread_mutex_lock(&vmmio->dev->lock);
    IGNORE_RESULT(virtio_await_reset(vmmio->dev, UINT64_MAX)); /* for ever: cannot fail */
    register_write(vmmio, (uint32_t)off, le32_get(value));
    (void)pthread_mutex_unlock(&vmmio->dev->lock);
}

const struct bus_ops vmmio_bus_ops = {.read = vmmio_read, .write = vmmio_write};

static int kick_open(struct vmmio *vmmio, uint32_t idx, struct err *err)
{
    struct queue_kick *queue = &vmmio->kicks[idx];
    int fd = fd_eventfd();
    if (fd < 0)
        return err_set(err, fd, "eventfd for a queue: %s", ERR_OS(fd));
    queue->vmmio = vmmio;
    queue->idx = idx;
    queue->fd = fd;
    queue->src = (struct loop_src){.fd = fd, .events = EPOLLIN, .fn = on_kick, .ctx = queue};
    int rc = loop_add(vmmio->loop, &queue->src);
    if (rc < 0)
        return err_set(err, rc, "watching a queue's eventfd: %s", ERR_OS(rc));
    return 0;
}

int vmmio_create(struct virtio_dev *dev, struct gmem *gmem, const struct irq_line *irq,
                 struct loop *loop, struct vmmio **ret_vmmio, struct err *err)
{
    struct vmmio *vmmio = calloc(1, sizeof(*vmmio));
    if (!vmmio)
        return err_set(err, -ENOMEM, "no memory for a virtio transport");
    vmmio->dev = dev;
    vmmio->gmem = gmem;
    vmmio->loop = loop;
    for (uint32_t i = 0; i < VIRTIO_QUEUES_MAX; i++)
        vmmio->kicks[i].fd = FD_NONE;
    for (uint32_t i = 0; i < dev->queues_count; i++) {
        int rc = kick_open(vmmio, i, err);
        if (rc < 0) {
            vmmio_free(vmmio);
            return rc;
        }
    }
    dev->irq = irq;
    dev->transport_ops = &transport_ops;
    dev->transport = vmmio;
    *ret_vmmio = vmmio;
    return 0;
}

void vmmio_free(struct vmmio *vmmio)
{
    if (!vmmio)
        return;
    (void)pthread_mutex_lock(&vmmio->dev->lock);
    reset(vmmio);
    vmmio->dev->irq = NULL;
    vmmio->dev->transport_ops = NULL;
    vmmio->dev->transport = NULL;
    (void)pthread_mutex_unlock(&vmmio->dev->lock);
    for (uint32_t i = 0; i < VIRTIO_QUEUES_MAX; i++) {
        loop_remove(vmmio->loop, &vmmio->kicks[i].src);
        fd_close(&vmmio->kicks[i].fd);
    }
    free(vmmio);
}

int vmmio_kick_fd(const struct vmmio *vmmio, uint32_t idx)
{
    return vmmio->kicks[idx].fd;
}

bool vmmio_wants_eventfd(const struct vmmio *vmmio)
{
    return !vmmio->dev->ops->on_notify;
}
