/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The recorder's log: records of one head each, a write's followed by its bytes. Written and read
 * on one machine, so in host byte order. No thread.
 */
#pragma once

#include <assert.h>
#include <stdint.h>

#define RECORD_MAGIC 0x31434552u
/* Larger than any request of ours: a head that says more is damaged. */
#define RECORD_LEN_MAX (1ull << 30)

enum record_kind { RECORD_WRITE = 1, RECORD_FLUSH_START = 2, RECORD_FLUSH_DONE = 3 };

struct record_head {
    uint32_t magic;
    uint32_t kind;
    uint64_t off; /* RECORD_WRITE: bytes into the disk; else which flush */
    uint64_t len; /* RECORD_WRITE: bytes that follow; else 0 */
};

static_assert(sizeof(struct record_head) == 24, "no padding in the log");
