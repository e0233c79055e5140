/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TAP interface: where a NIC's frames go. Each frame has a virtio_net_hdr of TAP_HEADER_SIZE
 * bytes in front. Knows interfaces, not virtio queues. Not blocking. Thread: tap_write any, one at
 * a time; all else vmm. Spec: devices.md 4; api.md 7, PUT /network-interfaces.
 */
#pragma once

#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/err.h"

#define TAP_HEADER_SIZE 12u
/* Largest frame with its header: 64 KiB of a segment, Ethernet and VLAN headers. */
#define TAP_FRAME_MAX_SIZE 65562u

struct tap {
    int fd;
    bool has_ufo; /* what its kernel can segment beside TSO */
    bool has_uso;
    char name[IFNAMSIZ]; /* as the kernel calls it */
};

/*
 * Opens the interface of that name, which is made when there is none and the process may; "fd:N":
 * takes a copy of the inherited descriptor N, which has to be a TAP with IFF_NO_PI and
 * IFF_VNET_HDR, not persistent settings but the descriptor's own. Returns 0 with *ret_tap
 * (tap_close) or -errno with the sentence of api.md, its "Open tap device failed: " included: the
 * interface, what differs, what to do.
 */
MUST_CHECK int tap_open(const char *name, struct tap *ret_tap, struct err *err);

/* Closed already, or never opened (fd FD_NONE), is fine. */
void tap_close(struct tap *tap);

/* Which segmentation and checksum work the guest takes over from the host: TUN_F_* flags.
 * Returns 0 or -errno. */
MUST_CHECK int tap_set_offload(const struct tap *tap, unsigned offload);

/* One frame, header first. Returns its bytes, -EAGAIN when there is none, or -errno; -EBADFD
 * when the interface is gone. */
ssize_t tap_read(const struct tap *tap, const struct iovec *iov, uint32_t iov_count);

/* One frame, header first. Returns its bytes or -errno: it is dropped then. */
ssize_t tap_write(const struct tap *tap, const struct iovec *iov, uint32_t iov_count);
