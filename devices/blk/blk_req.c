/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parsing of virtio-blk requests (virtio 1.2, 5.2.6). Pure: guest memory is read once, nothing is
 * written.
 */
#include "devices/blk/blk_req.h"

#include <assert.h>
#include <errno.h>
#include <linux/virtio_blk.h>

#include "base/ck.h"
#include "devices/backend/disk.h"

static_assert(sizeof(struct blk_wire_header) == BLK_HEADER_SIZE, "virtio 1.2, 5.2.6");

static enum blk_op op_from_wire(uint32_t type)
{
    switch (type) {
    case VIRTIO_BLK_T_IN:
        return BLK_OP_READ;
    case VIRTIO_BLK_T_OUT:
        return BLK_OP_WRITE;
    case VIRTIO_BLK_T_FLUSH:
        return BLK_OP_FLUSH;
    case VIRTIO_BLK_T_GET_ID:
        return BLK_OP_GET_ID;
    default:
        return BLK_OP_UNSUPPORTED;
    }
}

/* Is [sector, sector + data) whole sectors inside the disk, and no more than is moved at once? */
static bool transfer_fits(uint64_t sector, uint64_t data_len, const struct blk_limits *limits)
{
    return data_len % DISK_SECTOR_SIZE == 0 && data_len <= BLK_DATA_MAX_SIZE &&
           ck_range(sector, data_len / DISK_SECTOR_SIZE, limits->sectors_count);
}

int blk_req_parse(const struct gmem *gmem, const struct vq_chain *chain,
                  const struct blk_limits *limits, struct blk_request *ret_req, uint8_t *ret_status)
{
    struct blk_wire_header header;
    if (chain->readable_len < sizeof(header) || chain->writable_len < BLK_STATUS_SIZE)
        return -EPROTO;
    int rc = vq_chain_read(gmem, chain, 0, &header, sizeof(header));
    if (rc < 0)
        return rc;

    uint64_t sector = le64_get(header.sector);
    uint64_t out_len = chain->readable_len - sizeof(header);
    uint64_t in_len = chain->writable_len - BLK_STATUS_SIZE;
    struct blk_request req = {.op = op_from_wire(le32_get(header.type)), .status_off = in_len};
    uint8_t status = VIRTIO_BLK_S_OK;

    switch (req.op) {
    case BLK_OP_READ:
    case BLK_OP_WRITE:
        req.data_len = req.op == BLK_OP_READ ? in_len : out_len;
        if (!transfer_fits(sector, req.data_len, limits) ||
            (req.op == BLK_OP_WRITE && limits->read_only))
            status = VIRTIO_BLK_S_IOERR;
        else
            req.off = sector * DISK_SECTOR_SIZE;
        break;
    case BLK_OP_GET_ID:
        req.data_len = in_len;
        if (in_len < DISK_SERIAL_SIZE)
            status = VIRTIO_BLK_S_IOERR;
        break;
    case BLK_OP_FLUSH:
        break;
    case BLK_OP_UNSUPPORTED:
        status = VIRTIO_BLK_S_UNSUPP;
        break;
    }
    *ret_req = req;
    *ret_status = status;
    return status == VIRTIO_BLK_S_OK;
}
