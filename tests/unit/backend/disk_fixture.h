/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A temporary file as a disk on one of the engines, for the disk tests. Thread: the test's.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/backend/disk.h"
#include "vmm/loop/loop.h"

struct disk_async;

/* Async three ways, so that every path of it runs the whole table. */
enum engine {
    ENGINE_SYNC,
    ENGINE_ASYNC,
    ENGINE_ASYNC_PLAIN, /* no optional ring flags, as on Linux 5.10 */
    ENGINE_ASYNC_RING,  /* writes always over the ring, as after a stall */
    ENGINES_COUNT
};

#define FIXTURE_PATH_MAX 64

struct disk_fixture {
    enum engine engine;
    struct loop *loop;
    struct disk_ring *ring; /* NULL: Sync */
    struct disk disk;
    unsigned notified;
    char path[FIXTURE_PATH_MAX];
};

/* A new temporary file of `size` zero bytes; path: FIXTURE_PATH_MAX bytes. */
void fixture_make_file(char *path, uint64_t size);

/* A loop, a ring where the engine needs one, and a new file of `size` bytes opened on it. */
void fixture_open(struct disk_fixture *fx, enum engine engine, uint64_t size);

/* The file again, read-only or read-write, on the fixture's loop and ring. */
void fixture_reopen(struct disk_fixture *fx, bool read_only);

void fixture_close(struct disk_fixture *fx);

/* The Async engine's state of an Async disk. */
struct disk_async *fixture_async(struct disk *disk);

/* Does one request from start to completion and returns its result. */
int64_t fixture_do(struct disk_fixture *fx, struct disk_req *req);

/* The same for one buffer. */
int64_t fixture_io(struct disk_fixture *fx, enum disk_op op, void *buf, size_t len, uint64_t off);

/* Turns the loop until the disk yields a completed request; fails the test after 10 s. */
struct disk_req *fixture_reap(struct disk_fixture *fx);

/* The next number of a fixed sequence; seed: any but 0. */
uint64_t fixture_random(uint64_t *seed);
