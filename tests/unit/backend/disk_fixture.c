/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A temporary file as a disk on one of the engines, for the disk tests. Thread: the test's.
 */
#include "tests/unit/unit.h"

#include "tests/unit/backend/disk_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "devices/backend/disk_ring_int.h"

void fixture_make_file(char *path, uint64_t size)
{
    (void)snprintf(path, FIXTURE_PATH_MAX, "/tmp/mayfly-disk-XXXXXX");
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)size), 0);
    close(fd);
}

static void on_notify(void *ctx)
{
    struct disk_fixture *fx = ctx;
    fx->notified++;
}

struct disk_async *fixture_async(struct disk *disk)
{
    return disk->ctx;
}

void fixture_reopen(struct disk_fixture *fx, bool read_only)
{
    struct err err = ERR_INIT;
    disk_close(&fx->disk);
    if (disk_open(fx->path, read_only, fx->ring, on_notify, fx, &fx->disk, &err) < 0)
        fail_msg("disk_open: %s", err.msg);
    if (fx->engine == ENGINE_ASYNC_RING) {
        fixture_async(&fx->disk)->nowait_refused = true;
        fixture_async(&fx->disk)->ring_until_ns = UINT64_MAX;
    }
}

void fixture_open(struct disk_fixture *fx, enum engine engine, uint64_t size)
{
    *fx = (struct disk_fixture){.engine = engine};
    struct err err = ERR_INIT;
    if (loop_create(clock_real(), &fx->loop, &err) < 0)
        fail_msg("loop_create: %s", err.msg);
    const struct disk_ring_options options = {.clock = clock_real(),
                                              .thread_waits = disk_async_thread_waits,
                                              .plain = engine == ENGINE_ASYNC_PLAIN};
    if (engine != ENGINE_SYNC && disk_ring_open_with(fx->loop, &options, &fx->ring, &err) < 0)
        fail_msg("disk_ring_open: %s", err.msg);
    fixture_make_file(fx->path, size);
    fixture_reopen(fx, false);
}

void fixture_close(struct disk_fixture *fx)
{
    disk_close(&fx->disk);
    disk_ring_close(fx->ring);
    loop_free(fx->loop);
    unlink(fx->path);
}

struct disk_req *fixture_reap(struct disk_fixture *fx)
{
    for (int tries = 0; tries < 100; tries++) {
        struct disk_req *req = disk_reap(&fx->disk);
        if (req)
            return req;
        assert_true(loop_turn(fx->loop, 100) >= 0);
    }
    fail_msg("no completion within 10 s");
    return NULL;
}

int64_t fixture_do(struct disk_fixture *fx, struct disk_req *req)
{
    int rc = disk_start(&fx->disk, req);
    if (rc == 0) {
        assert_int_equal(disk_kick(&fx->disk), 0);
        assert_ptr_equal(fixture_reap(fx), req);
    } else {
        assert_int_equal(rc, 1);
    }
    return req->result;
}

int64_t fixture_io(struct disk_fixture *fx, enum disk_op op, void *buf, size_t len, uint64_t off)
{
    const struct iovec iov = {buf, len};
    struct disk_req req = {
        .op = op, .off = off, .iov = &iov, .iov_count = op == DISK_FLUSH ? 0 : 1, .len = len};
    return fixture_do(fx, &req);
}

uint64_t fixture_random(uint64_t *seed)
{
    uint64_t x = *seed;
    x ^= x << 13;
    x ^= x >> 7;
    x ^= x << 17;
    return *seed = x;
}
