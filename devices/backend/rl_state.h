/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of a rate limiter (devices.md 1): plain values, no clock, no timer. An
 * armed timer is not kept: a restored limiter starts unblocked. Thread: vmm.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "devices/backend/rl.h"

struct rl_bucket_state {
    bool limited; /* false: the rest is 0 */
    uint64_t size;
    uint64_t burst_initial;
    uint64_t burst;
    uint64_t refill_time_ms;
    uint64_t budget;
    uint64_t elapsed_ns; /* since the budget was true */
};

struct rl_state {
    struct rl_bucket_state buckets[RL_KINDS_COUNT];
};

/* The state of a limiter that has just been made. configs: RL_KINDS_COUNT entries. */
void rl_state_start(const struct rl_bucket_config *configs, struct rl_state *ret_state);

/* Takes the limiter's state; the limiter goes on as it was. */
void rl_save(const struct rl *rl, struct rl_state *ret_state);

/* Puts a saved state into a limiter that rl_init has prepared. Returns 0, or -EINVAL (limiter
 * untouched) when a bucket is one that rl_save cannot have written. */
MUST_CHECK int rl_restore(struct rl *rl, const struct rl_state *state);
