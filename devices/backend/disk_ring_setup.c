/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The process's io_uring: set-up, restriction, and the files registered with it. Thread: vmm. Spec:
 * devices.md 3.
 */
#include <errno.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/epoll.h>

#include "base/clock.h"
#include "base/fd.h"
#include "devices/backend/disk_ring_int.h"

/* Set-up flags that save work where the kernel knows them: one submitting thread (6.0), no
 * inter-processor interrupt for completions (5.19). */
#define RING_FLAGS_WANTED (IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_COOP_TASKRUN)

/* The operations that a disk needs; nothing else is accepted once the ring is enabled. */
static const uint8_t allowed_ops[] = {
    IORING_OP_READ, IORING_OP_WRITE, IORING_OP_READV, IORING_OP_WRITEV, IORING_OP_FSYNC,
};

static int uring_init(struct io_uring *uring, unsigned flags)
{
    struct io_uring_params params = {.flags = flags | IORING_SETUP_R_DISABLED};
    return io_uring_queue_init_params(RING_OPS_MAX, uring, &params);
}

static int uring_register_files(struct io_uring *uring)
{
    int fds[RING_FILES_MAX];
    for (uint32_t i = 0; i < RING_FILES_MAX; i++)
        fds[i] = FD_NONE;
    return io_uring_register_files(uring, fds, RING_FILES_MAX);
}

static int uring_restrict(struct io_uring *uring)
{
    struct io_uring_restriction rules[ARRAY_LEN(allowed_ops) + 2] = {
        {.opcode = IORING_RESTRICTION_SQE_FLAGS_REQUIRED, .sqe_flags = IOSQE_FIXED_FILE},
        {.opcode = IORING_RESTRICTION_REGISTER_OP, .register_op = IORING_REGISTER_FILES_UPDATE},
    };
    for (size_t i = 0; i < ARRAY_LEN(allowed_ops); i++)
        rules[i + 2] = (struct io_uring_restriction){.opcode = IORING_RESTRICTION_SQE_OP,
                                                     .sqe_op = allowed_ops[i]};
    return io_uring_register_restrictions(uring, rules, ARRAY_LEN(rules));
}

/* From a fresh disabled ring to an enabled, restricted one. ret_step: what failed. */
static int uring_prepare(struct io_uring *uring, int event_fd, const char **ret_step)
{
    *ret_step = "IORING_REGISTER_FILES";
    int rc = uring_register_files(uring);
    if (rc < 0)
        return rc;
    *ret_step = "IORING_REGISTER_EVENTFD";
    rc = io_uring_register_eventfd(uring, event_fd);
    if (rc < 0)
        return rc;
    unsigned workers[2] = {RING_WORKERS_MAX, RING_WORKERS_MAX};
    *ret_step = "IORING_REGISTER_IOWQ_MAX_WORKERS";
    rc = io_uring_register_iowq_max_workers(uring, workers);
    if (rc < 0 && rc != -EINVAL) /* EINVAL: before Linux 5.15, which has a limit of its own */
        return rc;
    *ret_step = "IORING_REGISTER_RESTRICTIONS";
    rc = uring_restrict(uring);
    if (rc < 0)
        return rc;
    *ret_step = "IORING_REGISTER_ENABLE_RINGS";
    return io_uring_enable_rings(uring);
}

static int refused(const char *step, int code, struct err *err)
{
    return err_set(
        err, code,
        "The kernel refused %s for the Async io_engine: %s, %s. Allow io_uring (Linux 5.10 or "
        "later, sysctl kernel.io_uring_disabled, seccomp) or use the Sync io_engine.",
        step, err_name(code), ERR_OS(code));
}

static void ring_free(struct disk_ring *ring)
{
    (void)pthread_cond_destroy(&ring->moved);
    (void)pthread_mutex_destroy(&ring->lock);
    free(ring);
}

int disk_ring_open_with(struct loop *loop, const struct disk_ring_options *options,
                        struct disk_ring **ret_ring, struct err *err)
{
    struct disk_ring *ring = calloc(1, sizeof(*ring));
    if (!ring)
        return err_set(err, -ENOMEM, "%s", ERR_OS(ENOMEM));
    ring->loop = loop;
    ring->clock = options->clock;
    ring->thread_waits = options->thread_waits;
    ring->owner = pthread_self();
    (void)pthread_mutex_init(&ring->lock, NULL); /* default attributes: cannot fail */
    (void)pthread_cond_init(&ring->moved, NULL);
    for (uint32_t i = 0; i < RING_OPS_MAX; i++)
        ring->free_ops[ring->free_ops_count++] = (uint8_t)i;

    const char *step = "io_uring_setup";
    int rc = uring_init(&ring->uring, options->plain ? 0 : RING_FLAGS_WANTED);
    if (rc == -EINVAL)
        rc = uring_init(&ring->uring, 0);
    if (rc < 0)
        goto err_free;
    step = "eventfd";
    ring->event_fd = rc = fd_eventfd();
    if (rc < 0)
        goto err_exit_uring;
    rc = uring_prepare(&ring->uring, ring->event_fd, &step);
    if (rc < 0)
        goto err_close_event;
    ring->src = (struct loop_src){
        .fd = ring->event_fd, .events = EPOLLIN, .fn = disk_ring_on_event, .ctx = ring};
    step = "epoll_ctl";
    rc = loop_add(loop, &ring->src);
    if (rc < 0)
        goto err_close_event;
    *ret_ring = ring;
    return 0;

err_close_event:
    fd_close(&ring->event_fd);
err_exit_uring:
    io_uring_queue_exit(&ring->uring);
err_free:
    ring_free(ring);
    return refused(step, rc, err);
}

int disk_ring_open(struct loop *loop, struct disk_ring **ret_ring, struct err *err)
{
    const struct disk_ring_options options = {.clock = clock_real(),
                                              .thread_waits = disk_async_thread_waits};
    return disk_ring_open_with(loop, &options, ret_ring, err);
}

void disk_ring_close(struct disk_ring *ring)
{
    if (!ring)
        return;
    loop_remove(ring->loop, &ring->src);
    io_uring_queue_exit(&ring->uring);
    fd_close(&ring->event_fd);
    ring_free(ring);
}

static void slot_set(struct disk_ring *ring, uint32_t slot, struct disk_async *disk)
{
    (void)pthread_mutex_lock(&ring->lock);
    ring->disks[slot] = disk;
    (void)pthread_mutex_unlock(&ring->lock);
}

int disk_ring_attach(struct disk_ring *ring, struct disk_async *disk)
{
    for (uint32_t slot = 0; slot < RING_FILES_MAX; slot++) {
        if (ring->disks[slot] || ring->slots_lost[slot])
            continue;
        int rc = io_uring_register_files_update(&ring->uring, slot, &disk->fd, 1);
        if (rc < 0)
            return rc;
        disk->slot = slot;
        slot_set(ring, slot, disk);
        if (slot >= ring->slots_used)
            ring->slots_used = slot + 1;
        return 0;
    }
    return -ENFILE;
}

void disk_ring_detach(struct disk_ring *ring, struct disk_async *disk)
{
    int none = FD_NONE;
    /* Cannot fail for a slot in range; were it to, the file would only stay open until the slot's
     * next use. */
    (void)io_uring_register_files_update(&ring->uring, disk->slot, &none, 1);
    slot_set(ring, disk->slot, NULL);
}

void disk_ring_abandon(struct disk_ring *ring, struct disk_async *disk)
{
    (void)pthread_mutex_lock(&ring->lock);
    disk->abandoned = true;
    (void)pthread_mutex_unlock(&ring->lock);
    slot_set(ring, disk->slot, NULL);
    ring->slots_lost[disk->slot] = true;
}
