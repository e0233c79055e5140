/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limiter: two token buckets (bandwidth in bytes, operations) behind one timer, with
 * Firecracker's exact semantics (devices.md 1). Thread: vmm (the loop that owns the timer).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/clock.h"
#include "vmm/loop/loop.h"

enum rl_kind { RL_BYTES, RL_OPS, RL_KINDS_COUNT };

/* What the user asked for; size 0 or refill_time_ms 0 (or too long for ns): no limit in this
 * dimension. */
struct rl_bucket_config {
    uint64_t size; /* tokens */
    uint64_t one_time_burst;
    uint64_t refill_time_ms; /* for `size` tokens */
};

/* From what a user says of one bucket, in whatever struct it came: absent is no limit. */
static inline struct rl_bucket_config
rl_bucket_asked(bool present, uint64_t size, uint64_t one_time_burst, uint64_t refill_time_ms)
{
    if (!present)
        return (struct rl_bucket_config){0};
    return (struct rl_bucket_config){size, one_time_burst, refill_time_ms};
}

/* Saved state of one bucket lives in rl_state.h. */
struct rl_bucket {
    bool limited;
    uint64_t size;
    uint64_t burst_initial;
    uint64_t burst;
    uint64_t refill_time_ms;
    uint64_t budget;
    uint64_t updated_ns; /* monotonic; budget is true for this moment */
};

struct rl {
    struct rl_bucket buckets[RL_KINDS_COUNT];
    const struct clock *clock; /* borrowed */
    struct loop *loop;         /* borrowed; owns the armed timer */
    struct loop_timer timer;
    void (*on_unblocked)(void *ctx); /* the timer fired: try the queue again */
    void *ctx;
};

/* One bucket by itself, for what drops instead of waiting: starts full, and spends n tokens when
 * they are there. now_ns: monotonic. An unlimited bucket always has them. */
void rl_bucket_start(struct rl_bucket *bucket, const struct rl_bucket_config *config,
                     uint64_t now_ns);
MUST_CHECK bool rl_bucket_spend(struct rl_bucket *bucket, uint64_t n, uint64_t now_ns);

/* Prepares a limiter in the caller's storage; configs: RL_KINDS_COUNT entries, full budget and
 * burst. */
void rl_init(struct rl *rl, const struct rl_bucket_config *configs, const struct clock *clock,
             struct loop *loop, void (*on_unblocked)(void *ctx), void *ctx);

/* Disarms the timer. */
void rl_done(struct rl *rl);

/* Takes n tokens of one kind. Returns true when allowed (also as over-consumption, which arms the
 * timer), false when denied: the timer is armed and the budget untouched, but a burst smaller than
 * n is spent, as in the reference. */
MUST_CHECK bool rl_take(struct rl *rl, enum rl_kind kind, uint64_t n);

/* What rl_undo needs to know. */
struct rl_undo {
    struct rl_bucket buckets[RL_KINDS_COUNT];
};

/* Takes one operation and `bytes` (0: none of them), or nothing, as rl_take does. ret_undo: NULL,
 * or set when allowed. */
MUST_CHECK bool rl_take_both(struct rl *rl, uint64_t bytes, struct rl_undo *ret_undo);

/* What rl_take_both took last was for nothing: all is as it was before, a wait that it began
 * too. */
void rl_undo(struct rl *rl, const struct rl_undo *undo);

/* Gives n tokens back: to the burst while some is left, else to the budget, capped. */
void rl_refund(struct rl *rl, enum rl_kind kind, uint64_t n);

/* Is there a limit in any dimension? */
static inline bool rl_limits(const struct rl *rl)
{
    return rl->buckets[RL_BYTES].limited || rl->buckets[RL_OPS].limited;
}

/* Is the timer armed: is everything denied until on_unblocked? */
bool rl_blocked(const struct rl *rl);

/* PATCH: replaces one bucket by a fresh, full one (or by no limit); an armed timer stays armed. */
void rl_replace(struct rl *rl, enum rl_kind kind, const struct rl_bucket_config *config);
