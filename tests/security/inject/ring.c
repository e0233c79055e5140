/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The monitor's io_uring, used from outside: an operation is written into its submission queue as
 * the monitor would, the thread submits it, and what became of it is read from the completion
 * queue. The monitor's own idea of the queue's end (liburing's) is corrected behind that. No drive
 * may work meanwhile. Single thread.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/security/inject/inject.h"

#define OP_SOCKET 45u /* IORING_OP_SOCKET of Linux 5.19 */
#define CHUNK_SIZE 65536u
#define HEAP_MAX_SIZE (16u << 20) /* guest memory is larger */
#define COOKIE 0x6d61796676ull

/* Where the queues are in the target. */
struct ring {
    int fd;
    uint32_t sq_mask;
    uint32_t cq_mask;
    uint64_t rings; /* addresses of the mappings */
    uint64_t sqes;
    struct io_uring_params layout;
};

static uint32_t number_behind(const char *line, const char *name)
{
    size_t len = strlen(name);
    return strncmp(line, name, len) == 0 ? (uint32_t)strtoul(line + len, NULL, 0) : 0;
}

/* Sizes from the descriptor's fdinfo. */
static void read_masks(pid_t pid, struct ring *ring)
{
    char path[64], line[256];
    (void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%d", pid, ring->fd);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        ring->sq_mask |= number_behind(line, "SqMask:");
        ring->cq_mask |= number_behind(line, "CqMask:");
    }
    if (file)
        (void)fclose(file);
}

/* Mappings by the offsets of io_uring_setup(2). */
static void read_mappings(pid_t pid, struct ring *ring)
{
    char path[64], line[512];
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", pid);
    FILE *file = fopen(path, "re");
    while (file && fgets(line, sizeof(line), file)) {
        char *end = NULL;
        uint64_t from = strtoull(line, &end, 16);
        const char *rights = strchr(line, ' ');
        uint64_t off = rights ? strtoull(rights + 6, NULL, 16) : 1;
        if (!strstr(line, "anon_inode:[io_uring]"))
            continue;
        if (off == IORING_OFF_SQES)
            ring->sqes = from;
        else if (off == IORING_OFF_SQ_RING)
            ring->rings = from;
    }
    if (file)
        (void)fclose(file);
}

/* A ring of the same size has the same layout. */
static int read_layout(struct ring *ring)
{
    struct io_uring_params params = {.flags = IORING_SETUP_CQSIZE, .cq_entries = ring->cq_mask + 1};
    int fd = (int)syscall(SYS_io_uring_setup, ring->sq_mask + 1, &params);
    if (fd < 0)
        return -1;
    (void)close(fd);
    ring->layout = params;
    return 0;
}

static int find_ring(const struct tracee *tracee, const struct settings *settings,
                     struct ring *ret_ring)
{
    const char *fd = setting_find(settings, "ring_fd");
    if (!fd)
        return -1;
    *ret_ring = (struct ring){.fd = (int)strtol(fd, NULL, 10)};
    read_masks(tracee->target->pid, ret_ring);
    read_mappings(tracee->target->pid, ret_ring);
    if (!ret_ring->rings || !ret_ring->sqes || !ret_ring->sq_mask)
        return -1;
    return read_layout(ret_ring);
}

static uint32_t load(const struct tracee *tracee, uint64_t address)
{
    uint32_t value = 0;
    return tracee_read(tracee, address, &value, sizeof(value)) == 0 ? value : 0;
}

static int store(const struct tracee *tracee, uint64_t address, const void *bytes, size_t size)
{
    return pwrite(tracee->target->mem_fd, bytes, size, (off_t)address) == (ssize_t)size ? 0 : -1;
}

/* liburing's struct io_uring_sq: eight pointers, then the ends of the queue as the program knows
 * them. */
struct liburing_sq {
    uint64_t khead, ktail, others[5], sqes;
    uint32_t sqe_head, sqe_tail;
};

/* Looks through a mapping for liburing's struct, and moves its ends on by one. */
static bool move_ends_in(const struct tracee *tracee, const struct ring *ring, uint64_t from,
                         uint64_t to)
{
    static unsigned char chunk[CHUNK_SIZE];
    struct liburing_sq sq;
    for (uint64_t at = from; at < to; at += CHUNK_SIZE - sizeof(sq)) {
        ssize_t len = pread(tracee->target->mem_fd, chunk, CHUNK_SIZE, (off_t)at);
        for (ssize_t i = 0; i + (ssize_t)sizeof(sq) <= len; i += 8) {
            memcpy(&sq, chunk + i, sizeof(sq));
            if (sq.khead != ring->rings + ring->layout.sq_off.head ||
                sq.ktail != ring->rings + ring->layout.sq_off.tail || sq.sqes != ring->sqes)
                continue;
            sq.sqe_head++;
            sq.sqe_tail++;
            return store(tracee, at + (uint64_t)i, &sq, sizeof(sq)) == 0;
        }
    }
    return false;
}

/* One operation more than the monitor knows of has been submitted. */
static void move_ends(const struct tracee *tracee, const struct ring *ring)
{
    char path[64], line[512];
    bool is_done = false;
    (void)snprintf(path, sizeof(path), "/proc/%d/maps", tracee->target->pid);
    FILE *file = fopen(path, "re");
    while (file && !is_done && fgets(line, sizeof(line), file)) {
        char *end = NULL;
        uint64_t from = strtoull(line, &end, 16);
        uint64_t to = *end == '-' ? strtoull(end + 1, &end, 16) : 0;
        if (to > from && to - from <= HEAP_MAX_SIZE && strncmp(end, " rw-p", 5) == 0)
            is_done = move_ends_in(tracee, ring, from, to);
    }
    if (file)
        (void)fclose(file);
    if (!is_done)
        (void)complain("the monitor's own ends of its ring were not found: its drives are spoilt");
}

/* The completion of our operation, which is taken out of the queue. */
static struct outcome take_completion(const struct tracee *tracee, const struct ring *ring)
{
    uint64_t head_at = ring->rings + ring->layout.cq_off.head;
    uint32_t head = load(tracee, head_at);
    uint32_t tail = load(tracee, ring->rings + ring->layout.cq_off.tail);
    struct io_uring_cqe cqe = {0};
    for (; head != tail; head++) {
        uint64_t at =
            ring->rings + ring->layout.cq_off.cqes + (uint64_t)(head & ring->cq_mask) * sizeof(cqe);
        if (tracee_read(tracee, at, &cqe, sizeof(cqe)) < 0 || cqe.user_data != COOKIE)
            continue;
        head++;
        (void)store(tracee, head_at, &head, sizeof(head));
        if (cqe.res < 0)
            return (struct outcome){.kind = OUTCOME_ERRNO, .value = -(int64_t)cqe.res};
        return (struct outcome){.kind = OUTCOME_VALUE, .value = cqe.res};
    }
    return (struct outcome){.kind = OUTCOME_STUCK};
}

static struct outcome submit(struct tracee *tracee, const struct ring *ring,
                             const struct io_uring_sqe *sqe)
{
    uint64_t tail_at = ring->rings + ring->layout.sq_off.tail;
    uint32_t tail = load(tracee, tail_at);
    uint32_t slot = tail & ring->sq_mask;
    uint32_t next = tail + 1;
    if (store(tracee, ring->sqes + (uint64_t)slot * sizeof(*sqe), sqe, sizeof(*sqe)) < 0 ||
        store(tracee, ring->rings + ring->layout.sq_off.array + (uint64_t)slot * 4, &slot, 4) < 0 ||
        store(tracee, tail_at, &next, 4) < 0)
        return (struct outcome){.kind = OUTCOME_NONE};
    struct outcome entered =
        call6(tracee, SYS_io_uring_enter, (uint64_t)ring->fd, 1, 1, IORING_ENTER_GETEVENTS, 0, 0);
    if (entered.kind == OUTCOME_VALUE && entered.value == 1) {
        move_ends(tracee, ring);
        return take_completion(tracee, ring);
    }
    (void)store(tracee, tail_at, &tail, 4); /* the kernel has not seen it */
    return entered;
}

static struct outcome use_ring(struct tracee *tracee, const struct settings *settings,
                               struct io_uring_sqe *sqe)
{
    struct ring ring;
    if (find_ring(tracee, settings, &ring) < 0)
        return (struct outcome){.kind = OUTCOME_NONE};
    sqe->user_data = COOKIE;
    struct outcome outcome = submit(tracee, &ring, sqe);
    if (outcome.kind == OUTCOME_VALUE)
        (void)call6(tracee, SYS_close, (uint64_t)outcome.value, 0, 0, 0, 0, 0);
    return outcome;
}

struct outcome ring_open(struct tracee *tracee, const struct settings *settings)
{
    tracee->used = 0;
    struct io_uring_sqe sqe = {.opcode = IORING_OP_OPENAT, .fd = AT_FDCWD, .open_flags = O_RDONLY};
    sqe.addr = tracee_push(tracee, "/", 2);
    return use_ring(tracee, settings, &sqe);
}

struct outcome ring_socket(struct tracee *tracee, const struct settings *settings)
{
    struct io_uring_sqe sqe = {.opcode = OP_SOCKET, .fd = AF_INET, .off = SOCK_DGRAM};
    return use_ring(tracee, settings, &sqe);
}
