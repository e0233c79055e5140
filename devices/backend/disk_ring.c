/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's io_uring at work: submission, completion, drain; its set-up is disk_ring_setup.c's.
 * Thread: vmm; a drain: any. Spec: devices.md 3.
 *
 * Completions are announced by an eventfd, which is muted (IORING_CQ_EVENTFD_DISABLED) during a
 * submit, since the completion queue is looked at right after it: a page-cached read costs one
 * syscall and no wake-up. IORING_REGISTER_EVENTFD_ASYNC is not used for that: it announces only
 * what kernel workers complete, and so lost the wake-up of 90 of 90 uncached ext4 reads that went
 * on by task work (Linux 6.18).
 */
#include <assert.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>

#include "base/ck.h"
#include "base/clock.h"
#include "base/fd.h"
#include "devices/backend/disk_ring_int.h"

static_assert(RING_OPS_MAX <= UINT8_MAX + 1u, "free_ops holds op indexes in a byte");
static_assert(RING_FILES_MAX <= 32, "take_news has a bit for each");

/* How often a drain on another thread looks for completions that nobody has told it of. */
#define DRAIN_LOOK_NS (1 * NS_PER_MS)
#define DRAIN_POLL_MS 20
#define DRAIN_UNSUBMITTED_MAX_NS (1 * NS_PER_S)

static void prepare_sqe(struct io_uring_sqe *sqe, const struct disk_async *disk,
                        const struct disk_req *req)
{
    int slot = (int)disk->slot;
    const struct iovec *iov = req->iov;
    switch (req->op) {
    case DISK_READ:
        if (req->iov_count == 1 && iov->iov_len <= UINT32_MAX)
            io_uring_prep_read(sqe, slot, iov->iov_base, (unsigned)iov->iov_len, req->off);
        else
            io_uring_prep_readv(sqe, slot, iov, req->iov_count, req->off);
        break;
    case DISK_WRITE:
        if (req->iov_count == 1 && iov->iov_len <= UINT32_MAX)
            io_uring_prep_write(sqe, slot, iov->iov_base, (unsigned)iov->iov_len, req->off);
        else
            io_uring_prep_writev(sqe, slot, iov, req->iov_count, req->off);
        break;
    case DISK_FLUSH:
        io_uring_prep_fsync(sqe, slot, IORING_FSYNC_DATASYNC);
        break;
    }
    sqe->flags |= IOSQE_FIXED_FILE;
}

static int queue_locked(struct disk_ring *ring, struct disk_async *disk, struct disk_req *req)
{
    if (ring->broken)
        return ring->broken;
    struct io_uring_sqe *sqe = NULL;
    if (ring->free_ops_count)
        sqe = io_uring_get_sqe(&ring->uring);
    if (!sqe) {
        disk->starved = true;
        return -EBUSY;
    }
    uint8_t idx = ring->free_ops[--ring->free_ops_count];
    ring->ops[idx] = (struct ring_op){.req = req, .disk = disk};
    prepare_sqe(sqe, disk, req);
    io_uring_sqe_set_data64(sqe, idx);
    disk->in_flight++;
    return 0;
}

int disk_ring_queue(struct disk_ring *ring, struct disk_async *disk, struct disk_req *req)
{
    (void)pthread_mutex_lock(&ring->lock);
    int rc = queue_locked(ring, disk, req);
    (void)pthread_mutex_unlock(&ring->lock);
    return rc;
}

/* A transfer that the kernel broke off is finished here, so that both engines give the same
 * results. */
static int64_t final_result(const struct ring_op *op, int32_t res)
{
    const struct disk_req *req = op->req;
    bool again = res == -EAGAIN || res == -EINTR;
    if (req->op == DISK_FLUSH)
        return again ? disk_sync_data(op->disk->fd) : res;
    if (again)
        return disk_transfer(op->disk->fd, req, 0);
    if (res > 0 && (uint64_t)res < req->len)
        return disk_transfer(op->disk->fd, req, (uint64_t)res);
    return res;
}

static void complete(struct disk_ring *ring, const struct io_uring_cqe *cqe)
{
    uint32_t idx;
    if (cqe->user_data >= RING_OPS_MAX || !ck_index((uint32_t)cqe->user_data, RING_OPS_MAX, &idx))
        return;
    struct ring_op *op = &ring->ops[idx];
    struct disk_async *disk = op->disk;
    if (!disk)
        return;
    disk->in_flight--;
    if (!disk->abandoned) {
        op->req->result = final_result(op, cqe->res);
        disk_req_list_push(&disk->done, op->req);
    }
    *op = (struct ring_op){0};
    ring->free_ops[ring->free_ops_count++] = (uint8_t)idx;
}

static void take_completions(struct disk_ring *ring)
{
    struct io_uring_cqe *cqe;
    unsigned head;
    unsigned count = 0;
    io_uring_for_each_cqe(&ring->uring, head, cqe)
    {
        complete(ring, cqe);
        count++;
    }
    io_uring_cq_advance(&ring->uring, count);
    if (count && ring->drainers_count)
        (void)pthread_cond_broadcast(&ring->moved);
}

static bool has_news(const struct disk_ring *ring, const struct disk_async *disk)
{
    return disk->done.first || (disk->starved && (ring->free_ops_count || ring->broken));
}

/* Makes the loop call disk_ring_on_event soon when a disk has news, other than what `disk` (may
 * be NULL) is about to reap. */
static int announce(struct disk_ring *ring, const struct disk_async *disk)
{
    for (uint32_t slot = 0; slot < ring->slots_used; slot++) {
        const struct disk_async *other = ring->disks[slot];
        if (other && has_news(ring, other) && (other != disk || other->starved))
            return fd_event_raise(ring->event_fd);
    }
    return 0;
}

/* No submit can succeed any more: all disks are called, and learn it from their next start. */
static int break_ring(struct disk_ring *ring, int code)
{
    ring->broken = code;
    for (uint32_t slot = 0; slot < ring->slots_used; slot++) {
        if (ring->disks[slot])
            ring->disks[slot]->starved = true;
    }
    return code;
}

/* The kernel is short of something for the moment: what is queued stays queued. */
static bool is_temporary(int rc)
{
    return rc == -EINTR || rc == -EAGAIN || rc == -EBUSY || rc == -ENOMEM;
}

/* Hands all queued entries to the kernel; wait_count: completions to wait for. */
static int enter(struct disk_ring *ring, unsigned wait_count)
{
    do {
        int rc = io_uring_submit_and_wait(&ring->uring, wait_count);
        if (rc == -EINTR)
            continue;
        if (rc < 0) {
            ring->refused = true;
            return rc;
        }
        wait_count = 0;
    } while (io_uring_sq_ready(&ring->uring));
    ring->refused = false;
    return 0;
}

static int submit_locked(struct disk_ring *ring, const struct disk_async *disk)
{
    if (!io_uring_sq_ready(&ring->uring))
        return 0;
    (void)io_uring_cq_eventfd_toggle(&ring->uring, false); /* only saves wake-ups */
    int rc = enter(ring, 0);
    (void)io_uring_cq_eventfd_toggle(&ring->uring, true);
    /* Whatever completed while muted is seen below; whatever completes later raises the eventfd. */
    atomic_thread_fence(memory_order_seq_cst);
    take_completions(ring);
    if (is_temporary(rc))
        return fd_event_raise(ring->event_fd); /* disk_ring_on_event tries again */
    if (rc < 0)
        return break_ring(ring, rc);
    return announce(ring, disk);
}

int disk_ring_submit(struct disk_ring *ring, const struct disk_async *disk)
{
    (void)pthread_mutex_lock(&ring->lock);
    int rc = submit_locked(ring, disk);
    (void)pthread_mutex_unlock(&ring->lock);
    return rc;
}

void disk_ring_reap(struct disk_ring *ring, struct disk_async *disk, struct disk_req_list *ret_reqs)
{
    (void)pthread_mutex_lock(&ring->lock);
    *ret_reqs = disk->done;
    disk->done = (struct disk_req_list){0};
    (void)pthread_mutex_unlock(&ring->lock);
}

/* Waits for a completion's event for a while; what came before it is taken first. */
static void await_event(struct disk_ring *ring, const struct disk_async *disk)
{
    IGNORE_RESULT(fd_event_take(ring->event_fd)); /* raised or not: what is there is taken now */
    take_completions(ring);
    struct pollfd event = {.fd = ring->event_fd, .events = POLLIN};
    if (disk->in_flight)
        (void)poll(&event, 1, DRAIN_POLL_MS); /* a signal or nothing: the caller looks again */
}

/* On the owner's thread: the kernel wakes us. */
static int drain_inside(struct disk_ring *ring, const struct disk_async *disk, uint64_t until_ns)
{
    bool for_ever = until_ns == UINT64_MAX;
    while (disk->in_flight) {
        int rc = enter(ring, for_ever ? 1 : 0);
        if (rc < 0 && !is_temporary(rc))
            return break_ring(ring, rc);
        take_completions(ring);
        if (for_ever || !disk->in_flight)
            continue;
        if (clock_mono_ns() >= until_ns)
            return -ETIMEDOUT;
        await_event(ring, disk);
    }
    return 0;
}

/* How many entries of the disk the kernel has not seen. make_void: they become ones that touch no
 * memory; the ring's restrictions refuse them (EACCES). */
static uint32_t unsubmitted(struct disk_ring *ring, const struct disk_async *disk, bool make_void)
{
    const struct io_uring_sq *sq = &ring->uring.sq;
    uint32_t count = 0;
    for (unsigned at = sq->sqe_tail - io_uring_sq_ready(&ring->uring); at != sq->sqe_tail; at++) {
        struct io_uring_sqe *sqe = &sq->sqes[at & sq->ring_mask];
        uint64_t idx = sqe->user_data;
        if (idx >= RING_OPS_MAX || ring->ops[idx].disk != disk)
            continue;
        count++;
        if (make_void) {
            io_uring_prep_nop(sqe);
            io_uring_sqe_set_data64(sqe, idx);
        }
    }
    return count;
}

/*
 * On another thread: only the owner may enter the kernel. So this only looks at the completion
 * queue, when told and at intervals. What the owner was refused to submit (it is short of memory,
 * say) is waited for DRAIN_UNSUBMITTED_MAX_NS, since the owner may be waiting for this very thread
 * to end; then it is made to do nothing.
 */
static int drain_outside(struct disk_ring *ring, const struct disk_async *disk, uint64_t until_ns)
{
    uint64_t stuck_since_ns = 0;
    ring->drainers_count++;
    /* What a broken ring has not submitted never completes. */
    while (disk->in_flight && !ring->broken) {
        uint64_t now_ns = clock_mono_ns();
        if (now_ns >= until_ns)
            break;
        if (!ring->refused || disk->in_flight > unsubmitted(ring, disk, false)) {
            stuck_since_ns = 0;
        } else if (stuck_since_ns == 0) {
            stuck_since_ns = now_ns;
        } else if (now_ns - stuck_since_ns > DRAIN_UNSUBMITTED_MAX_NS) {
            (void)unsubmitted(ring, disk, true); /* all that is in flight */
            break;
        }
        uint64_t look_ns = now_ns + DRAIN_LOOK_NS;
        const struct timespec until = clock_timespec(look_ns);
        (void)pthread_cond_clockwait(&ring->moved, &ring->lock, CLOCK_MONOTONIC, &until);
        take_completions(ring);
    }
    ring->drainers_count--;
    if (!disk->in_flight)
        return 0;
    if (ring->broken)
        return ring->broken;
    return clock_mono_ns() >= until_ns ? -ETIMEDOUT : -EAGAIN;
}

int disk_ring_drain(struct disk_ring *ring, const struct disk_async *disk, uint64_t until_ns)
{
    bool inside = pthread_equal(pthread_self(), ring->owner);
    (void)pthread_mutex_lock(&ring->lock);
    take_completions(ring);
    int rc = inside ? drain_inside(ring, disk, until_ns) : drain_outside(ring, disk, until_ns);
    if (rc == 0 || rc == -ETIMEDOUT) {
        int told = announce(ring, disk);
        rc = rc < 0 ? rc : told;
    }
    (void)pthread_mutex_unlock(&ring->lock);
    return rc;
}

/* Slots of the disks to call, as bits; each is told only once that it fits now. */
static uint32_t take_news(struct disk_ring *ring)
{
    uint32_t news = 0;
    for (uint32_t slot = 0; slot < ring->slots_used; slot++) {
        struct disk_async *disk = ring->disks[slot];
        if (!disk || !has_news(ring, disk))
            continue;
        disk->starved = false;
        news |= 1u << slot;
    }
    return news;
}

void disk_ring_on_event(struct loop_src *src, uint32_t revents)
{
    (void)revents;
    struct disk_ring *ring = src->ctx;
    /* 0 (raised for what a submit has taken meanwhile) and errors change nothing: the rings are the
     * truth. */
    int raised = fd_event_take(ring->event_fd);
    (void)raised;
    (void)pthread_mutex_lock(&ring->lock);
    take_completions(ring);
    int rc = submit_locked(ring, NULL);
    (void)rc; /* kept in ring->broken, and told to every disk below */
    uint32_t news = take_news(ring);
    (void)pthread_mutex_unlock(&ring->lock);

    /* Without the lock, since devices have theirs, and from the array, since a callback may close
     * disks; slots change on this thread only. */
    for (uint32_t slot = 0; slot < ring->slots_used; slot++) {
        const struct disk_async *disk = ring->disks[slot];
        if (disk && (news & 1u << slot))
            disk->notify(disk->notify_ctx);
    }
}
