/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-vsock (virtio 1.2, 5.10; vsock.md): streams between programs of the guest and Unix
 * sockets of the host. A program of the host connects to one socket and names the guest's port; a
 * program of the guest reaches the socket named after the port it asks for. Payload goes between
 * the guest's buffers and the sockets without a copy. Under the virtio device's lock, on the vmm
 * thread.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "devices/virtio/virtio.h"
#include "vmm/config/cfg.h"
#include "vmm/loop/loop.h"

/* Streams at a time, those whose host program has not named a port yet included (vsock.md 4). */
#define VSOCK_CONNS_MAX 1023u

struct vsock;

/* What the device borrows for its life. */
struct vsock_env {
    struct loop *loop;
    const struct clock *clock;
};

/*
 * Listens on the host's socket and makes the device; a path that is taken or cannot be bound fails
 * here. config: read once, not kept. Returns 0 with *ret_vsock (vsock_free) or -errno with the
 * sentence of api.md 7, PUT /vsock (without the category). Thread: vmm.
 */
MUST_CHECK int vsock_create(const struct cfg_vsock *config, const struct vsock_env *env,
                            struct vsock **ret_vsock, struct err *err);

/* Ends every stream and stops listening; the socket's file stays. NULL is fine. Thread: vmm. */
void vsock_free(struct vsock *vsock);

/* Removes the file of the host's socket, if it is still ours: another device will take its place.
 * Returns 0 or
 * -errno with the sentence of api.md 7. Thread: vmm. */
MUST_CHECK int vsock_unlink(const struct vsock *vsock, struct err *err);

/* The device for a transport; the vsock's. */
struct virtio_dev *vsock_virtio(struct vsock *vsock);
