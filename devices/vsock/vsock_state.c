/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A vsock device's state out of it and into it. Under the device's lock, on the vmm thread, while
 * the VM is paused.
 *
 * The guest's streams do not survive: it is told by an event (virtio 1.2, 5.10.6.7). Until it has
 * taken note, which shows by the event's buffer coming back, nothing is given to it: its handling
 * of the event would end a stream that began before.
 */
#include "devices/vsock/vsock_state.h"

#include <errno.h>
#include <linux/virtio_vsock.h>

#include "base/log.h"
#include "devices/vsock/vsock_int.h"

/* virtio 1.2, 5.10.6.7 */
struct wire_event {
    le32_t id;
};
static_assert(sizeof(struct wire_event) == 4, "virtio 1.2, 5.10.6.7");

/* Returns 1: told; 0: the guest has no buffer for it, or one that is too small; or -errno. */
static int tell_reset(struct vsock *vsock)
{
    const struct wire_event event = {le32_put(VIRTIO_VSOCK_EVENT_TRANSPORT_RESET)};
    struct vq *vq = &vsock->dev.queues[VSOCK_EVENT];
    int rc = vq_pop(vq, &vsock->chain);
    if (rc <= 0)
        return rc;
    rc = vq_chain_write(vsock->dev.gmem, &vsock->chain, 0, &event, sizeof(event));
    vq_push_used(vq, vsock->chain.head, rc < 0 ? 0 : (uint32_t)vsock->chain.writable_len);
    virtio_queue_flush(&vsock->dev, VSOCK_EVENT);
    return rc == 0;
}

static void begin_reset(struct vsock *vsock)
{
    int rc = tell_reset(vsock);
    if (rc > 0) {
        vsock->reset_pending = true;
        vsock->reset_avail_idx = vq_notify_next(&vsock->dev.queues[VSOCK_EVENT]);
        return;
    }
    metric_inc(&metrics.vsock.ev_queue_event_fails);
    if (rc == 0)
        log_guest_warn("vsock: the guest has no buffer to be told in that its streams are gone");
    else
        virtio_mark_broken(&vsock->dev, "vsock event queue: bad index, descriptor or chain", rc);
}

void vsock_save(struct vsock *vsock, struct vsock_state *ret_state)
{
    (void)pthread_mutex_lock(&vsock->dev.lock);
    if (vsock->dev.active && !vsock->dev.broken)
        begin_reset(vsock);
    *ret_state = (struct vsock_state){
        .last_local_port = vsock->last_local_port,
        .reset_pending = vsock->reset_pending,
        .reset_avail_idx = vsock->reset_avail_idx,
    };
    (void)pthread_mutex_unlock(&vsock->dev.lock);
}

int vsock_restore(struct vsock *vsock, const struct vsock_state *state, struct err *err)
{
    uint32_t port = state->last_local_port;
    if (port < VSOCK_LOCAL_PORT_FIRST - 1 || port >= VSOCK_LOCAL_PORT_END)
        return err_set(err, -EINVAL, "its last local port %u is not between %u and %u", port,
                       VSOCK_LOCAL_PORT_FIRST - 1, VSOCK_LOCAL_PORT_END - 1);
    (void)pthread_mutex_lock(&vsock->dev.lock);
    vsock->last_local_port = port;
    vsock->reset_pending = state->reset_pending;
    vsock->reset_avail_idx = state->reset_avail_idx;
    (void)pthread_mutex_unlock(&vsock->dev.lock);
    return 0;
}
