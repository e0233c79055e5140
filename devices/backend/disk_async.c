/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The Async engine: reads and flushes over the process's io_uring, batched; writes into the page
 * cache at once while that is quick, over the ring while it is not. Thread: vmm. Spec: devices.md
 * 3, deltas.md 2.
 *
 * Why writes differ: ext4 and tmpfs cannot say "would block" to a buffered write, so the kernel
 * hands each one to a worker thread, and the completions wake us one by one. 4 KiB random writes in
 * cached tmpfs, Linux 6.1, one CPU, instruction clock, us an operation at queue depth 1 / 32 (reads
 * over the ring: 3.3 / 2.5):
 *
 *   ring 14.6 / 8.5    ring, one hard-linked chain a batch 14.6 / 4.6    pwrite at once 2.9 / 2.9
 *
 * A write that waits for something (dirty throttling, journal, network file system) holds up the
 * thread: a disk where this happens twice in a row writes over the ring for a while, twice as long
 * each time that it comes again. Losing the CPU to others also makes a write long, but is no wait;
 * only the kernel's count of voluntary switches tells the two apart, and asking for it costs a
 * syscall, so it is asked after a long write only.
 */
#include <errno.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/uio.h>

#include "base/fd.h"
#include "devices/backend/disk_ring_int.h"

/* Longer writes are left to the ring: a worker costs little beside the copy, and the thread stays
 * free. */
#define INLINE_WRITE_MAX_SIZE (128u * 1024u)
/* A write of that size that takes this long is suspect. */
#define WRITE_LONG_NS (2 * NS_PER_MS)
/* Writes that are watched for waits after a long one. */
#define WATCHED_WRITES 256u
#define BACKOFF_MIN_NS (1 * NS_PER_S)
#define BACKOFF_MAX_NS (64 * NS_PER_S)

uint64_t disk_async_thread_waits(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) < 0 ? 0 : (uint64_t)usage.ru_nvcsw;
}

/* A write waited between start_ns and end_ns: use the ring for a while. */
static void back_off(struct disk_async *disk, uint64_t start_ns, uint64_t end_ns)
{
    bool soon = disk->backoff_ns && start_ns - disk->inline_since_ns < disk->backoff_ns;
    disk->backoff_ns = soon ? disk->backoff_ns * 2 : BACKOFF_MIN_NS;
    if (disk->backoff_ns > BACKOFF_MAX_NS)
        disk->backoff_ns = BACKOFF_MAX_NS;
    disk->ring_until_ns = disk->inline_since_ns = end_ns + disk->backoff_ns;
}

static int64_t write_timed(struct disk_async *disk, const struct disk_req *req, uint64_t start_ns)
{
    const struct disk_ring *ring = disk->ring;
    bool watched = disk->watched_writes > 0;
    uint64_t waits_before = watched ? ring->thread_waits() : 0;
    int64_t result = disk_transfer(disk->fd, req, 0);
    uint64_t end_ns = clock_now_ns(ring->clock);
    if (watched)
        disk->watched_writes--;
    if (end_ns - start_ns > WRITE_LONG_NS) {
        disk->watched_writes = WATCHED_WRITES;
        if (watched && ring->thread_waits() != waits_before)
            back_off(disk, start_ns, end_ns);
    }
    return result;
}

/*
 * First writes of a disk: finds out whether its file system knows a write that does not block.
 * Returns true when the request is done.
 */
static bool try_nowait(struct disk_async *disk, struct disk_req *req)
{
    ssize_t n = pwritev2(disk->fd, req->iov, (int)req->iov_count, (off_t)req->off, RWF_NOWAIT);
    if (n < 0 && errno == EOPNOTSUPP) {
        disk->nowait_refused = true;
        return false;
    }
    if (n < 0 || (uint64_t)n != req->len)
        return false; /* would block, or an error that the ring will meet too */
    disk->kernel_writes_inline = true;
    req->result = n;
    return true;
}

/* Does the write here if that is the better way. Returns true when the request is done. */
static bool write_inline(struct disk_async *disk, struct disk_req *req)
{
    if (disk->kernel_writes_inline || req->len == 0 || req->len > INLINE_WRITE_MAX_SIZE)
        return false;
    if (!disk->nowait_refused) {
        if (try_nowait(disk, req))
            return true;
        if (!disk->nowait_refused)
            return false;
    }
    uint64_t now_ns = clock_now_ns(disk->ring->clock);
    if (now_ns < disk->ring_until_ns)
        return false;
    req->result = write_timed(disk, req, now_ns);
    return true;
}

static int async_start(void *ctx, struct disk_req *req)
{
    struct disk_async *disk = ctx;
    int rc = disk_req_check(req);
    if (rc < 0)
        return rc;
    if (req->op == DISK_WRITE && write_inline(disk, req))
        return 1;
    return disk_ring_queue(disk->ring, disk, req);
}

static int async_kick(void *ctx)
{
    struct disk_async *disk = ctx;
    return disk_ring_submit(disk->ring, disk);
}

static struct disk_req *async_reap(void *ctx)
{
    struct disk_async *disk = ctx;
    if (!disk->reaped.first)
        disk_ring_reap(disk->ring, disk, &disk->reaped);
    return disk_req_list_pop(&disk->reaped);
}

static int async_drain(void *ctx, uint64_t until_ns)
{
    struct disk_async *disk = ctx;
    return disk_ring_drain(disk->ring, disk, until_ns);
}

static void async_close(void *ctx)
{
    struct disk_async *disk = ctx;
    if (disk_ring_drain(disk->ring, disk, UINT64_MAX) < 0 && disk->in_flight) {
        /* The ring is beyond use, and what it holds names this disk: leave both to the end of the
         * process. */
        disk_ring_abandon(disk->ring, disk);
        return;
    }
    disk_ring_detach(disk->ring, disk);
    fd_close(&disk->fd);
    free(disk);
}

static const struct disk_ops async_ops = {
    .start = async_start,
    .kick = async_kick,
    .reap = async_reap,
    .drain = async_drain,
    .close = async_close,
};

int disk_async_open(struct disk_ring *ring, int fd, disk_notify_fn notify, void *notify_ctx,
                    struct disk *ret_disk, struct err *err)
{
    struct disk_async *disk = calloc(1, sizeof(*disk));
    if (!disk)
        return err_set(err, -ENOMEM, "%s", ERR_OS(ENOMEM));
    disk->ring = ring;
    disk->fd = fd;
    disk->notify = notify;
    disk->notify_ctx = notify_ctx;
    int rc = disk_ring_attach(ring, disk);
    if (rc < 0) {
        free(disk);
        return err_set(err, rc, "The kernel refused to register the file with io_uring: %s, %s",
                       err_name(rc), ERR_OS(rc));
    }
    ret_disk->ops = &async_ops;
    ret_disk->ctx = disk;
    return 0;
}
