/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fuzz_blk's state, shared by its two halves: the world around the device and what is checked
 * after each step (fuzz_blk_world.h), and the operations that an input chooses (fuzz_blk.c).
 * Single thread.
 *
 * Guest memory, two regions with holes before, between and behind:
 *   0x10000-0x14000 rings (tests/lib/vq_driver.h)   0x14000-0x20000 payload
 *   0x20000-0x22000 indirect tables, one a slot     0x22000-0x24000 headers, then status bytes
 *   0x40000-0x44000 payload
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "devices/blk/blk.h"
#include "tests/fuzz/fuzz_bytes.h"
#include "tests/fuzz/fuzz_disk.h"
#include "tests/lib/vq_driver.h"

#define LOW_BASE 0x10000ull
#define LOW_SIZE 0x14000ull
#define HIGH_BASE 0x40000ull
#define HIGH_SIZE 0x4000ull
#define DATA_BASE 0x14000ull
#define DATA_SIZE 0xc000u
#define HEADER_BASE 0x22000ull
#define STATUS_BASE 0x23000ull
#define PAGES_MAX 20u /* of the larger region */
#define SLOTS_MAX 64u
#define SLOT_DESCS 4u
#define STATUS_UNWRITTEN 0x5a
#define OPS_MAX 400u

static_assert(LOW_SIZE / GMEM_PAGE_SIZE <= PAGES_MAX, "dirty bits of a region fit");

/* A request that keeps to the rules, from offer to used ring. */
struct fuzz_slot {
    bool outstanding;
    bool own_status; /* its status byte is at STATUS_BASE + slot */
    uint32_t writable_len;
};

/* A change of guest memory in the middle of a step, as another vCPU would make it. */
struct fuzz_flip {
    uint32_t countdown; /* clock readings and disk starts until then; 0: none */
    bool done;          /* in this step */
    uint64_t addr;
    uint8_t value;
};

/* The queue and memory before a step. */
struct fuzz_before {
    struct vq vq;
    uint32_t in_flight;
    bool broken;
    uint64_t starts;
    uint8_t memory[LOW_SIZE + HIGH_SIZE];
};

struct fuzz_blk {
    struct fuzz_bytes in;
    struct clock clock;
    struct gmem *gmem;
    struct loop *loop;
    uint64_t now_ns;
    struct fuzz_disk disk;
    struct blk *blk;
    struct vq_driver driver;
    struct fuzz_slot slots[SLOTS_MAX];
    uint32_t slots_count;
    struct fuzz_flip flip;
    /* The driver kept to the rules so far: what it sees can be checked to the byte. */
    bool exact;
    bool may_break;    /* it offered a request that no status byte can answer */
    bool kick_pending; /* virtio_kick_self was called */
    bool owes_kick;    /* something was offered and not notified */
    bool needs_reset;
    uint16_t told_avail; /* avail index at the last decision whether to notify */
    uint64_t dirty[2];   /* pages marked since the step began, by region */
    struct fuzz_before before;
};

#ifdef GMEM_SCRIBBLE
enum { FUZZ_SCRIBBLES = 1 }; /* reading changes guest memory: nothing is exact */
#else
enum { FUZZ_SCRIBBLES = 0 };
#endif

enum fuzz_step { STEP_QUEUE, STEP_NOTIFY, STEP_TIMER };
