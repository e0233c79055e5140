/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One virtio-blk request, parsed (virtio 1.2, 5.2.6): pure, so that a unit test and a fuzzer
 * drive it.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/le.h"
#include "devices/virtio/queue.h"

/* The header every chain starts with. */
struct blk_wire_header {
    le32_t type;
    le32_t reserved;
    le64_t sector;
};
#define BLK_HEADER_SIZE 16u
#define BLK_STATUS_SIZE 1u
/* Most a request may move, since it is carried out in one go; larger ones are I/O errors. Linux
 * asks for 1,280 KiB at most, unless somebody raises max_sectors_kb. */
#define BLK_DATA_MAX_SIZE (64u * 1024 * 1024)

enum blk_op { BLK_OP_READ, BLK_OP_WRITE, BLK_OP_FLUSH, BLK_OP_GET_ID, BLK_OP_UNSUPPORTED };

/* What a request may ask for. */
struct blk_limits {
    uint64_t sectors_count;
    bool read_only;
};

struct blk_request {
    enum blk_op op;
    uint64_t off;        /* bytes into the disk; 0 unless read or write */
    uint64_t data_len;   /* bytes of payload, without header and status */
    uint64_t status_off; /* of the status byte in the chain's writable part */
};

/*
 * Parses a popped chain. Returns
 *   1 with *ret_req: carry it out;
 *   0 with *ret_req (op, status_off) and *ret_status: complete it with that status, nothing to
 *   carry out;
 *   -EPROTO: no room for header or status byte, so nothing can be said to the driver: the device
 *   is broken;
 *   -EFAULT: the header is not in guest memory.
 */
MUST_CHECK int blk_req_parse(const struct gmem *gmem, const struct vq_chain *chain,
                             const struct blk_limits *limits, struct blk_request *ret_req,
                             uint8_t *ret_status);
