/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk in memory whose behaviour a fuzz input chooses: done at once or later and in any order,
 * busy, failing, short. It checks every request that a device hands it against the disk and the
 * guest's memory. Single thread.
 */
#pragma once

#include <errno.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/disk.h"
#include "tests/fuzz/fuzz_check.h"
#include "vmm/mem/gmem.h"

#define FUZZ_DISK_REQS_MAX 256u

struct fuzz_disk {
    uint8_t *bytes; /* heap, exactly the disk: the sanitizer guards its ends */
    uint64_t sectors_count;
    bool read_only;
    /* behaviour */
    bool later;       /* requests complete when told */
    uint32_t room;    /* of them in flight before -EBUSY */
    int start_result; /* negative: start refuses with it */
    int fail_with;    /* negative: result of what is carried out */
    bool is_short;    /* half of a transfer is moved */
    int kick_result;
    int drain_result; /* negative: drain gives up, what is in flight completes some day */
    /* state */
    struct disk_req *pending[FUZZ_DISK_REQS_MAX];
    uint32_t pending_count;
    struct disk_req *done[FUZZ_DISK_REQS_MAX];
    uint32_t done_count;
    struct disk_req *orphans[FUZZ_DISK_REQS_MAX]; /* in flight since before a drain that failed */
    uint32_t orphans_count;
    uint32_t orphans_done; /* of them, from the end: completed */
    uint64_t starts;
    disk_notify_fn notify;
    void *notify_ctx;
    const struct gmem *gmem;
    void (*on_start)(void *ctx, const struct disk_req *req);
    void *on_start_ctx;
};

/* Is the iovec inside one region of the guest? */
static inline bool fuzz_disk_iov_valid(const struct gmem *gmem, const struct iovec *iov)
{
    for (uint32_t i = 0; i < gmem_regions_count(gmem); i++) {
        struct gmem_region_view view = gmem_region_at(gmem, i);
        uintptr_t off = (uintptr_t)iov->iov_base - (uintptr_t)view.host;
        if (off <= view.size && iov->iov_len <= view.size - off)
            return true;
    }
    return false;
}

static inline void fuzz_disk_check(const struct fuzz_disk *disk, const struct disk_req *req)
{
    uint64_t sum = 0;
    FUZZ_CHECK(req->iov_count <= DISK_IOVS_MAX);
    for (uint32_t i = 0; i < req->iov_count; i++) {
        FUZZ_CHECK(fuzz_disk_iov_valid(disk->gmem, &req->iov[i]));
        sum += req->iov[i].iov_len;
    }
    FUZZ_CHECK(sum == req->len);
    FUZZ_CHECK(req->len % DISK_SECTOR_SIZE == 0 && req->off % DISK_SECTOR_SIZE == 0);
    FUZZ_CHECK(req->off <= disk->sectors_count * DISK_SECTOR_SIZE &&
               req->len <= disk->sectors_count * DISK_SECTOR_SIZE - req->off);
    FUZZ_CHECK(req->op != DISK_FLUSH || req->iov_count == 0);
    FUZZ_CHECK(req->op != DISK_WRITE || !disk->read_only);
}

static inline void fuzz_disk_carry_out(struct fuzz_disk *disk, struct disk_req *req)
{
    uint64_t off = req->off;
    uint64_t left = disk->is_short ? req->len / 2 : req->len;
    req->result = disk->fail_with < 0 ? disk->fail_with : (int64_t)left;
    if (disk->fail_with < 0)
        return;
    for (uint32_t i = 0; i < req->iov_count && left; i++) {
        size_t part = req->iov[i].iov_len < left ? req->iov[i].iov_len : left;
        if (req->op == DISK_READ)
            memcpy(req->iov[i].iov_base, disk->bytes + off, part);
        else
            memcpy(disk->bytes + off, req->iov[i].iov_base, part);
        off += part;
        left -= part;
    }
}

/* Completes the pending request `idx`: the device may reap it from now on. */
static inline void fuzz_disk_complete(struct fuzz_disk *disk, uint32_t idx)
{
    struct disk_req *req = disk->pending[idx];
    disk->pending[idx] = disk->pending[--disk->pending_count];
    fuzz_disk_carry_out(disk, req);
    disk->done[disk->done_count++] = req;
}

/* A request that the engine still has is not started again. */
static inline void fuzz_disk_check_free(const struct fuzz_disk *disk, const struct disk_req *req)
{
    for (uint32_t i = 0; i < disk->pending_count; i++)
        FUZZ_CHECK(disk->pending[i] != req);
    for (uint32_t i = 0; i < disk->done_count; i++)
        FUZZ_CHECK(disk->done[i] != req);
    for (uint32_t i = 0; i < disk->orphans_count; i++)
        FUZZ_CHECK(disk->orphans[i] != req);
}

/* The engine of a drain that failed completes what it had. */
static inline void fuzz_disk_complete_orphans(struct fuzz_disk *disk)
{
    while (disk->orphans_done < disk->orphans_count)
        fuzz_disk_carry_out(disk, disk->orphans[disk->orphans_count - ++disk->orphans_done]);
}

static inline int fuzz_disk_start(void *ctx, struct disk_req *req)
{
    struct fuzz_disk *disk = ctx;
    fuzz_disk_check(disk, req);
    disk->starts++;
    if (disk->on_start)
        disk->on_start(disk->on_start_ctx, req);
    if (disk->start_result < 0)
        return disk->start_result;
    if (!disk->later) {
        fuzz_disk_carry_out(disk, req);
        return 1;
    }
    if (disk->pending_count + disk->done_count + disk->orphans_count >= disk->room)
        return -EBUSY;
    fuzz_disk_check_free(disk, req);
    disk->pending[disk->pending_count++] = req;
    return 0;
}

static inline int fuzz_disk_kick(void *ctx)
{
    return ((struct fuzz_disk *)ctx)->kick_result;
}

static inline struct disk_req *fuzz_disk_reap(void *ctx)
{
    struct fuzz_disk *disk = ctx;
    if (disk->orphans_done) {
        disk->orphans_done--;
        return disk->orphans[--disk->orphans_count];
    }
    if (disk->done_count == 0)
        return NULL;
    struct disk_req *req = disk->done[0];
    memmove(disk->done, disk->done + 1, --disk->done_count * sizeof(disk->done[0]));
    return req;
}

static inline int fuzz_disk_drain(void *ctx, uint64_t until_ns)
{
    (void)until_ns; /* drains at once or not at all */
    struct fuzz_disk *disk = ctx;
    if (disk->drain_result < 0) {
        while (disk->pending_count)
            disk->orphans[disk->orphans_count++] = disk->pending[--disk->pending_count];
        return disk->drain_result;
    }
    while (disk->pending_count)
        fuzz_disk_complete(disk, 0);
    fuzz_disk_complete_orphans(disk);
    return 0;
}

static inline void fuzz_disk_close(void *ctx)
{
    struct fuzz_disk *disk = ctx;
    free(disk->bytes);
    disk->bytes = NULL;
}

static const struct disk_ops fuzz_disk_ops = {
    .start = fuzz_disk_start,
    .kick = fuzz_disk_kick,
    .reap = fuzz_disk_reap,
    .drain = fuzz_disk_drain,
    .close = fuzz_disk_close,
};
