/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A disk: where a block device's bytes go. Two engines behind one contract: Sync
 * (preadv/pwritev/fsync done at once) and Async (io_uring). Knows files, not virtio. Threads: see
 * struct disk_ops.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/attr.h"
#include "base/err.h"

#define DISK_SECTOR_SIZE 512u
#define DISK_SERIAL_SIZE 20u
/* Scatter-gather entries of one request: every data descriptor of the longest chain. */
#define DISK_IOVS_MAX 256u

enum disk_op { DISK_READ, DISK_WRITE, DISK_FLUSH };

/*
 * One transfer, in the submitter's storage until it completes. iov: payload only, borrowed until
 * completion. `result`, set at completion: bytes moved (0 for a flush) or -errno.
 */
struct disk_req {
    enum disk_op op;
    uint64_t off; /* bytes into the disk */
    const struct iovec *iov;
    uint32_t iov_count;
    uint64_t len; /* bytes, sum of iov */
    int64_t result;
    struct disk_req *next; /* the engine's */
};

struct disk;

/*
 * Engine contract; also the seam where tests record, break or fake writes (style.md rule 8).
 * start: takes a request; 1 when it is done already (result is set), 0 when it will complete
 *   later, -EBUSY when no more fit now (try after the next completion), else -errno (request
 *   untouched).
 * kick: submits what start collected since the last kick (one syscall a batch). What completes in
 *   that very moment is not announced: reap after it. Returns 0 or -errno.
 * reap: next completed request, or NULL.
 * drain: waits until nothing is in flight, or until `until_ns` of the monotonic clock (-ETIMEDOUT);
 *   what completed is still to be reaped. Returns 0 or -errno.
 * Thread: Sync any, Async vmm and drain any. The disk's owner sees to it that no two run at a time
 * (its device's lock); drain is the one that may run beside reap.
 */
struct disk_ops {
    int (*start)(void *ctx, struct disk_req *req);
    int (*kick)(void *ctx);
    struct disk_req *(*reap)(void *ctx);
    int (*drain)(void *ctx, uint64_t until_ns);
    void (*close)(void *ctx);
};

/* Which file it is on this host, and since when it is as it is. */
struct disk_stamp {
    bool is_file; /* else a block device, whose times say nothing of its content */
    uint64_t dev;
    uint64_t ino;
    uint64_t mtime_ns; /* since 1970 */
    uint64_t ctime_ns;
};

struct disk {
    const struct disk_ops *ops;
    void *ctx;               /* engine's state */
    int fd;                  /* the engine's, while it is open: to look at, for snapshots */
    struct disk_stamp stamp; /* as it was opened */
    uint64_t size;           /* bytes as the host sees them */
    uint64_t sectors_count;  /* size / 512; a tail is invisible */
    uint8_t serial[DISK_SERIAL_SIZE];
    bool read_only;
};

/* The process's one io_uring (architecture.md, speed decisions). */
struct disk_ring;

struct loop;

/*
 * Makes the ring, restricts it to read, write, fsync and file updates on registered files,
 * enables it, and watches its completion eventfd in `loop` (borrowed). 128 requests in flight,
 * all disks together. Everything on the ring happens on the thread that opened it. Returns 0 with
 * *ret_ring (disk_ring_close) or -errno with a sentence that names the call that the kernel
 * refused.
 */
MUST_CHECK int disk_ring_open(struct loop *loop, struct disk_ring **ret_ring, struct err *err);

/* NULL is fine. Every disk on the ring must be closed before. */
void disk_ring_close(struct disk_ring *ring);

/* How an Async disk tells its device that requests completed, or that one refused with -EBUSY
 * would fit now. Never called from inside start, kick, reap or drain. Thread: vmm, from the loop.
 */
typedef void (*disk_notify_fn)(void *ctx);

/*
 * Opens `path` (regular file or block device) read-only or read-write and makes a disk of it.
 * ring: NULL for the Sync engine, else Async on that ring. notify/ctx: called when an Async
 * request completed; may be NULL for Sync. A size that is not a multiple of 512 is the caller's
 * to warn about (size % DISK_SECTOR_SIZE).
 * Returns 0 with *ret_disk filled (disk_close), or -errno: the sentence is "<errno text> <path>"
 * as devices.md/api.md have it, or names a directory, FIFO, socket or character device.
 */
MUST_CHECK int disk_open(const char *path, bool read_only, struct disk_ring *ring,
                         disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                         struct err *err);

/* What a file's metadata say of it. */
struct stat;
struct disk_stamp disk_stamp_of(const struct stat *stat);

/* Waits for what is in flight and closes. A disk that was never opened (zeroed) is fine. */
void disk_close(struct disk *disk);

static inline MUST_CHECK int disk_start(struct disk *disk, struct disk_req *req)
{
    return disk->ops->start(disk->ctx, req);
}
static inline MUST_CHECK int disk_kick(struct disk *disk)
{
    return disk->ops->kick(disk->ctx);
}
static inline struct disk_req *disk_reap(struct disk *disk)
{
    return disk->ops->reap(disk->ctx);
}
static inline MUST_CHECK int disk_drain_until(struct disk *disk, uint64_t until_ns)
{
    return disk->ops->drain(disk->ctx, until_ns);
}
static inline MUST_CHECK int disk_drain(struct disk *disk)
{
    return disk_drain_until(disk, UINT64_MAX);
}
