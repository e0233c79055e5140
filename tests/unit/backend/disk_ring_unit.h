/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the tests of the Async engine share: a fresh disk for each of them, and requests of a page.
 * Single thread.
 */
#pragma once

#include "tests/unit/unit.h"

#include "devices/backend/disk_ring_int.h"
#include "tests/unit/backend/disk_fixture.h"

#define FILE_SIZE (4u << 20)
#define PAGE_SIZE 4096u

static struct disk_fixture fixture;

static inline int setup(void **state)
{
    fixture_open(&fixture, ENGINE_ASYNC, FILE_SIZE);
    *state = &fixture;
    return 0;
}

static inline int teardown(void **state)
{
    fixture_close(*state);
    return 0;
}

/* A request of one page with storage of its own. */
struct page_req {
    struct disk_req req;
    struct iovec iov;
    uint8_t page[PAGE_SIZE];
};

static inline struct disk_req *page_req(struct page_req *pr, enum disk_op op, uint32_t page_idx)
{
    pr->iov = (struct iovec){pr->page, PAGE_SIZE};
    pr->req = (struct disk_req){.op = op,
                                .off = (uint64_t)page_idx * PAGE_SIZE,
                                .iov = &pr->iov,
                                .iov_count = 1,
                                .len = PAGE_SIZE};
    return &pr->req;
}

#define RING_TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
