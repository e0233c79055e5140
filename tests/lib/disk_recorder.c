/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recording half: a struct disk_ops in front of another one. Thread: the disk's. A write is
 * logged when it completes, with the bytes it had then; a flush when it starts and when it
 * completes.
 */
#include "tests/lib/disk_recorder.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fd.h"
#include "tests/lib/disk_recorder_int.h"

struct disk_recorder {
    struct disk inner;
    int log_fd;
    bool broken_flush;
    int log_error; /* first -errno of a failed log write: nothing after it counts */
};

/* Keeps the first failure; the device then meets it as an I/O error, which no test can overlook. */
static void log_bytes(struct disk_recorder *rec, const void *buf, size_t len)
{
    int rc = fd_write_full(rec->log_fd, buf, len);
    if (rc < 0 && rec->log_error == 0)
        rec->log_error = rc;
}

static void log_record(struct disk_recorder *rec, enum record_kind kind, uint64_t off, uint64_t len)
{
    const struct record_head head = {
        .magic = RECORD_MAGIC, .kind = (uint32_t)kind, .off = off, .len = len};
    log_bytes(rec, &head, sizeof(head));
}

static void log_write(struct disk_recorder *rec, const struct disk_req *req)
{
    log_record(rec, RECORD_WRITE, req->off, req->len);
    uint64_t left = req->len;
    for (uint32_t i = 0; i < req->iov_count; i++) {
        uint64_t part = req->iov[i].iov_len < left ? req->iov[i].iov_len : left;
        log_bytes(rec, req->iov[i].iov_base, part);
        left -= part;
    }
}

/* A flush is known by its request's address: no two in flight share one. */
static uint64_t flush_id(const struct disk_req *req)
{
    return (uint64_t)(uintptr_t)req;
}

static void log_completion(struct disk_recorder *rec, struct disk_req *req)
{
    if (req->op == DISK_WRITE && req->result == (int64_t)req->len)
        log_write(rec, req);
    else if (req->op == DISK_FLUSH && req->result == 0)
        log_record(rec, RECORD_FLUSH_DONE, flush_id(req), 0);
    if (rec->log_error)
        req->result = rec->log_error;
}

static int recorder_start(void *ctx, struct disk_req *req)
{
    struct disk_recorder *rec = ctx;
    if (req->op == DISK_FLUSH && rec->broken_flush) {
        req->result = 0;
        return 1;
    }
    if (req->op == DISK_FLUSH)
        log_record(rec, RECORD_FLUSH_START, flush_id(req), 0);
    int rc = disk_start(&rec->inner, req);
    if (rc == 1)
        log_completion(rec, req);
    return rc;
}

static int recorder_kick(void *ctx)
{
    struct disk_recorder *rec = ctx;
    return disk_kick(&rec->inner);
}

static struct disk_req *recorder_reap(void *ctx)
{
    struct disk_recorder *rec = ctx;
    struct disk_req *req = disk_reap(&rec->inner);
    if (req)
        log_completion(rec, req);
    return req;
}

static int recorder_drain(void *ctx, uint64_t until_ns)
{
    struct disk_recorder *rec = ctx;
    return disk_drain_until(&rec->inner, until_ns);
}

static void recorder_close(void *ctx)
{
    struct disk_recorder *rec = ctx;
    disk_close(&rec->inner);
    fd_close(&rec->log_fd);
    free(rec);
}

static const struct disk_ops recorder_ops = {
    .start = recorder_start,
    .kick = recorder_kick,
    .reap = recorder_reap,
    .drain = recorder_drain,
    .close = recorder_close,
};

int disk_recorder_wrap(struct disk *disk, const struct disk_recorder_options *options,
                       struct err *err)
{
    struct disk_recorder *rec = calloc(1, sizeof(*rec));
    if (!rec)
        return err_set(err, -ENOMEM, "%s", ERR_OS(ENOMEM));
    rec->log_fd =
        open(options->log_path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (rec->log_fd < 0) {
        int code = errno;
        free(rec);
        return err_set(err, -code, "%s %s", ERR_OS(code), options->log_path);
    }
    rec->inner = *disk;
    rec->broken_flush = options->broken_flush;
    disk->ops = &recorder_ops;
    disk->ctx = rec;
    return 0;
}
