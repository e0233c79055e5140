/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Sync engine: every request is done when start returns, through the page cache, straight
 * between the file and the caller's memory. Thread: any, one at a time. Spec: devices.md 3.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/ck.h"
#include "base/fd.h"
#include "devices/backend/disk_int.h"

struct disk_sync {
    int fd;
};

int disk_req_check(const struct disk_req *req)
{
    if (req->iov_count > DISK_IOVS_MAX)
        return -EINVAL;
    return ck_range(req->off, req->len, INT64_MAX) ? 0 : -EINVAL;
}

/* One attempt; EINTR is not seen by the caller. Returns bytes or -errno. */
static int64_t move_once(int fd, enum disk_op op, const struct iovec *iov, uint32_t iov_count,
                         uint64_t off)
{
    ssize_t n;
    do {
        /* The plain calls spare the kernel the import of a vector. */
        if (iov_count == 1)
            n = op == DISK_READ ? pread(fd, iov->iov_base, iov->iov_len, (off_t)off)
                                : pwrite(fd, iov->iov_base, iov->iov_len, (off_t)off);
        else
            n = op == DISK_READ ? preadv(fd, iov, (int)iov_count, (off_t)off)
                                : pwritev(fd, iov, (int)iov_count, (off_t)off);
    } while (n < 0 && errno == EINTR);
    return n < 0 ? -errno : n;
}

/* Copies what lies behind the first `done` bytes of req's vector to `rest`; returns its entries. */
static uint32_t iov_behind(const struct disk_req *req, uint64_t done, struct iovec *rest)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < req->iov_count; i++) {
        struct iovec part = req->iov[i];
        if (done >= part.iov_len) {
            done -= part.iov_len;
            continue;
        }
        rest[count++] = (struct iovec){(char *)part.iov_base + done, part.iov_len - done};
        done = 0;
    }
    return count;
}

static int64_t move_rest(int fd, const struct disk_req *req, uint64_t done)
{
    struct iovec rest[DISK_IOVS_MAX];
    while (done < req->len) {
        uint32_t count = iov_behind(req, done, rest);
        if (count == 0)
            return -EINVAL;
        int64_t n = move_once(fd, req->op, rest, count, req->off + done);
        if (n < 0)
            return n;
        if (n == 0)
            return req->op == DISK_READ ? (int64_t)done : -EIO;
        done += (uint64_t)n;
    }
    return (int64_t)done;
}

int64_t disk_transfer(int fd, const struct disk_req *req, uint64_t done)
{
    if (done == 0) {
        int64_t n = move_once(fd, req->op, req->iov, req->iov_count, req->off);
        if (n < 0 || (uint64_t)n == req->len)
            return n;
        done = (uint64_t)n;
    }
    return move_rest(fd, req, done);
}

int disk_sync_data(int fd)
{
    int rc;
    do {
        rc = fdatasync(fd);
    } while (rc < 0 && errno == EINTR);
    return rc < 0 ? -errno : 0;
}

static int sync_start(void *ctx, struct disk_req *req)
{
    const struct disk_sync *sync = ctx;
    int rc = disk_req_check(req);
    if (rc < 0)
        return rc;
    req->result =
        req->op == DISK_FLUSH ? disk_sync_data(sync->fd) : disk_transfer(sync->fd, req, 0);
    return 1;
}

static int sync_kick(void *ctx)
{
    (void)ctx;
    return 0;
}

static struct disk_req *sync_reap(void *ctx)
{
    (void)ctx;
    return NULL;
}

static int sync_drain(void *ctx)
{
    (void)ctx;
    return 0;
}

static void sync_close(void *ctx)
{
    struct disk_sync *sync = ctx;
    fd_close(&sync->fd);
    free(sync);
}

static const struct disk_ops sync_ops = {
    .start = sync_start,
    .kick = sync_kick,
    .reap = sync_reap,
    .drain = sync_drain,
    .close = sync_close,
};

int disk_sync_open(int fd, struct disk *ret_disk, struct err *err)
{
    struct disk_sync *sync = calloc(1, sizeof(*sync));
    if (!sync)
        return err_set(err, -ENOMEM, "%s", ERR_OS(ENOMEM));
    sync->fd = fd;
    ret_disk->ops = &sync_ops;
    ret_disk->ctx = sync;
    return 0;
}
