/* SPDX-License-Identifier: Apache-2.0 */
/*
 * virtio-net (virtio 1.2, 5.1; devices.md 4): one pair of queues, a TAP behind it, a rate limiter
 * each way. Payload goes between the guest's buffers and the TAP without a copy; headers that
 * decide anything are copied once. Under the virtio device's lock, on the vmm thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "base/err.h"
#include "devices/backend/frame_filter.h"
#include "devices/backend/tap.h"
#include "devices/virtio/virtio.h"
#include "vmm/config/cfg.h"
#include "vmm/loop/loop.h"

struct net;

/* What a NIC borrows for its life. The functions are the TAP's own, or a test's. */
struct net_env {
    struct loop *loop;
    const struct clock *clock;
    int (*tap_open)(const char *name, struct tap *ret_tap, struct err *err);
    int (*tap_set_offload)(const struct tap *tap, unsigned offload);
};

/*
 * Opens the TAP and makes the device; a name that cannot be opened fails here. nic: read once, not
 * kept. Returns 0 with *ret_net (net_free) or -errno with the sentence of api.md 7, PUT
 * /network-interfaces (without the category). Thread: vmm.
 */
MUST_CHECK int net_create(const struct cfg_nic *nic, const struct net_env *env,
                          struct net **ret_net, struct err *err);

/* Closes the TAP. NULL is fine. Thread: vmm. */
void net_free(struct net *net);

/* The device for a transport; the net's. */
struct virtio_dev *net_virtio(struct net *net);

/* The interface's name as the kernel has it; the net's. */
const char *net_host_name(const struct net *net);

/* Has `filter` answer some of the guest's frames from now on, NULL: nobody. It outlives the net, or
 * is taken away before. Before the driver is ready. Thread: vmm. */
void net_set_filter(struct net *net, struct frame_filter *filter);

/* Replaces the buckets that are present by fresh ones; one of size or time 0 is no limit. Thread:
 * vmm. Takes the lock. */
void net_replace_limiters(struct net *net, const struct cfg_rate_limiter *rx,
                          const struct cfg_rate_limiter *tx);
