/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside devices/virtio: the MMIO transport, whose registers (vmmio.c) are also saved and restored
 * (virtio_state.c). Under the device's lock.
 */
#pragma once

#include <linux/virtio_config.h>

#include "devices/virtio/vmmio.h"

#define VMMIO_STATUS_ACK VIRTIO_CONFIG_S_ACKNOWLEDGE
#define VMMIO_STATUS_DRIVER (VMMIO_STATUS_ACK | VIRTIO_CONFIG_S_DRIVER)
#define VMMIO_STATUS_FEATURES (VMMIO_STATUS_DRIVER | VIRTIO_CONFIG_S_FEATURES_OK)
#define VMMIO_STATUS_RUNNING (VMMIO_STATUS_FEATURES | VIRTIO_CONFIG_S_DRIVER_OK)
#define VMMIO_STATUS_MASK 0xffu

struct queue_kick {
    struct vmmio *vmmio;
    uint32_t idx;
    int fd;
    struct loop_src src;
};

struct vmmio {
    struct virtio_dev *dev;
    struct gmem *gmem;
    struct loop *loop;
    uint32_t status;
    uint32_t device_features_sel;
    uint32_t driver_features_sel;
    uint32_t queue_sel;
    struct queue_kick kicks[VIRTIO_QUEUES_MAX];
};
