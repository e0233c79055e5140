/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Load on a block device, run inside the guest by perf/blk: random 4 KiB reads or writes with
 * O_DIRECT, at queue depth 1 by pread/pwrite, above it by the kernel's io_submit. Always as many
 * requests in flight as the depth says, until COUNT are done. Prints one line of JSON: time by
 * CLOCK_MONOTONIC and the device interrupts of that stretch. One thread; part of perf.
 * Usage: blkload DEVICE read|write DEPTH COUNT.
 */
#include <err.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "perf/guest/load.h"

#define BLOCK 4096u
#define DEPTH_MAX 128u
#define COUNT_MAX 10000000u
#define WARM_UP 64u

struct load {
    int fd;
    bool write;
    unsigned depth;
    uint64_t block_count;
    uint64_t random;
    uint8_t *buffer;       /* DEPTH_MAX blocks */
    aio_context_t context; /* never destroyed: that waits for RCU for tens of milliseconds */
};

/* xorshift: the same offsets in every run. */
static uint64_t next_offset(struct load *load)
{
    load->random ^= load->random << 13;
    load->random ^= load->random >> 7;
    load->random ^= load->random << 17;
    return load->random % load->block_count * BLOCK;
}

static void run_one_by_one(struct load *load, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        off_t at = (off_t)next_offset(load);
        ssize_t done = load->write ? pwrite(load->fd, load->buffer, BLOCK, at)
                                   : pread(load->fd, load->buffer, BLOCK, at);
        if (done != (ssize_t)BLOCK)
            err(1, "%s at %jd", load->write ? "pwrite" : "pread", (intmax_t)at);
    }
}

static void aim(struct load *load, struct iocb *cb, unsigned slot)
{
    *cb = (struct iocb){
        .aio_data = slot,
        .aio_lio_opcode = load->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
        .aio_fildes = (uint32_t)load->fd,
        .aio_buf = (uintptr_t)(load->buffer + (size_t)slot * BLOCK),
        .aio_nbytes = BLOCK,
        .aio_offset = (int64_t)next_offset(load),
    };
}

static void submit(aio_context_t context, struct iocb **list, unsigned count)
{
    for (unsigned sent = 0; sent < count;) {
        long got = syscall(SYS_io_submit, context, (long)(count - sent), list + sent);
        if (got <= 0)
            err(1, "io_submit");
        sent += (unsigned)got;
    }
}

static void run_deep(struct load *load, unsigned count)
{
    static struct iocb cbs[DEPTH_MAX];
    static struct io_event events[DEPTH_MAX];
    struct iocb *list[DEPTH_MAX];
    unsigned started = 0;
    unsigned done = 0;

    for (; started < load->depth && started < count; started++) {
        aim(load, &cbs[started], started);
        list[started] = &cbs[started];
    }
    submit(load->context, list, started);
    while (done < count) {
        unsigned again = 0;
        long got = syscall(SYS_io_getevents, load->context, 1l, (long)load->depth, events, NULL);
        if (got < 1)
            err(1, "io_getevents");
        for (long i = 0; i < got; i++) {
            unsigned slot = (unsigned)events[i].data;
            if (events[i].res != BLOCK)
                errx(1, "request ended with %lld", (long long)events[i].res);
            done++;
            if (started < count) {
                aim(load, &cbs[slot], slot);
                list[again++] = &cbs[slot];
                started++;
            }
        }
        submit(load->context, list, again);
    }
}

static void run(struct load *load, unsigned count)
{
    if (load->depth == 1)
        run_one_by_one(load, count);
    else
        run_deep(load, count);
}

static struct load open_load(char **argv)
{
    struct load load = {.random = 0x9e3779b97f4a7c15u};
    uint64_t size = 0;

    load.write = strcmp(argv[2], "write") == 0;
    if (!load.write && strcmp(argv[2], "read") != 0)
        errx(2, "'%s' is neither read nor write", argv[2]);
    load.depth = number(argv[3], DEPTH_MAX);
    load.fd = open(argv[1], (load.write ? O_RDWR : O_RDONLY) | O_DIRECT | O_CLOEXEC);
    if (load.fd < 0 || ioctl(load.fd, BLKGETSIZE64, &size) < 0)
        err(1, "%s", argv[1]);
    load.block_count = size / BLOCK;
    load.buffer = aligned_alloc(BLOCK, (size_t)DEPTH_MAX * BLOCK);
    if (load.block_count == 0 || !load.buffer)
        errx(1, "%s: empty, or no memory", argv[1]);
    memset(load.buffer, 'w', (size_t)DEPTH_MAX * BLOCK);
    if (syscall(SYS_io_setup, load.depth, &load.context) < 0)
        err(1, "io_setup");
    return load;
}

int main(int argc, char **argv)
{
    if (argc != 5)
        errx(2, "usage: blkload DEVICE read|write DEPTH COUNT");
    struct load load = open_load(argv);
    unsigned count = number(argv[4], COUNT_MAX);

    run(&load, WARM_UP > load.depth ? WARM_UP : load.depth);
    uint64_t interrupts = device_interrupts();
    uint64_t start = now_ns();
    run(&load, count);
    uint64_t took_ns = now_ns() - start;
    interrupts = device_interrupts() - interrupts;
    (void)printf("{\"count\": %u, \"took_ns\": %ju, \"interrupts\": %ju}\n", count,
                 (uintmax_t)took_ns, (uintmax_t)interrupts);
    return 0;
}
