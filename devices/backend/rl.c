/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Rate limiter: token buckets in integer arithmetic. Thread: vmm. Spec: devices.md 1.
 * Products of two 64-bit quantities are taken in 128 bits, so no size, time or burst overflows.
 */
#include "devices/backend/rl.h"

#include <assert.h>
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "base/ck.h"
#include "base/log.h"
#include "devices/backend/rl_state.h"

/* How long a request that found too few tokens blocks the limiter. */
#define RL_RETRY_NS (100 * NS_PER_MS)

/* Longest elapsed time that a saved state may hold: half the range, so that differences stay
 * unambiguous. */
#define RL_ELAPSED_MAX_NS (UINT64_MAX / 2)

__extension__ typedef unsigned __int128 wide_t;

/* What became of an attempt to take tokens. */
enum taken { TAKEN_NOTHING, TAKEN_WITHIN, TAKEN_BEYOND };

static bool bucket_config_limits(const struct rl_bucket_config *config)
{
    uint64_t refill_ns;
    return config->size && config->refill_time_ms &&
           ck_mul(config->refill_time_ms, NS_PER_MS, &refill_ns);
}

void rl_bucket_start(struct rl_bucket *bucket, const struct rl_bucket_config *config,
                     uint64_t now_ns)
{
    *bucket = (struct rl_bucket){0};
    if (!bucket_config_limits(config))
        return;
    *bucket = (struct rl_bucket){
        .limited = true,
        .size = config->size,
        .burst_initial = config->one_time_burst,
        .burst = config->one_time_burst,
        .refill_time_ms = config->refill_time_ms,
        .budget = config->size,
        .updated_ns = now_ns,
    };
}

/* a + b, at most max; a is within max. */
static uint64_t add_capped(uint64_t a, uint64_t b, uint64_t max)
{
    return b >= max - a ? max : a + b;
}

/*
 * Turns elapsed time into tokens. The clock moves on only by the time that whole tokens cost,
 * rounded up, so that a remainder is neither lost nor used twice.
 */
static void bucket_replenish(struct rl_bucket *bucket, uint64_t now_ns)
{
    uint64_t refill_ns = bucket->refill_time_ms * NS_PER_MS;
    uint64_t elapsed_ns = now_ns - bucket->updated_ns;
    if (elapsed_ns >= refill_ns) {
        bucket->budget = bucket->size;
        bucket->updated_ns = now_ns;
        return;
    }
    wide_t tokens = (wide_t)elapsed_ns * bucket->size / refill_ns;
    wide_t cost_ns = (tokens * refill_ns + bucket->size - 1) / bucket->size;
    bucket->updated_ns += (uint64_t)cost_ns;
    bucket->budget = add_capped(bucket->budget, (uint64_t)tokens, bucket->size);
}

/* Time that n tokens take to trickle in, in whole milliseconds as the reference has it. */
static uint64_t bucket_debt_ns(const struct rl_bucket *bucket, uint64_t n)
{
    assert(bucket->size > 0); /* it limits */
    wide_t debt_ms = (wide_t)n * bucket->refill_time_ms / bucket->size;
    if (debt_ms > UINT64_MAX / NS_PER_MS)
        return UINT64_MAX;
    return (uint64_t)debt_ms * NS_PER_MS;
}

/* ret_debt_ns: set for TAKEN_BEYOND only. */
static enum taken bucket_take(struct rl_bucket *bucket, uint64_t n, uint64_t now_ns,
                              uint64_t *ret_debt_ns)
{
    if (bucket->burst) {
        if (bucket->burst >= n) {
            bucket->burst -= n;
            bucket->updated_ns = now_ns;
            return TAKEN_WITHIN;
        }
        n -= bucket->burst;
        bucket->burst = 0;
    }
    if (n > bucket->budget) {
        bucket_replenish(bucket, now_ns);
        if (n > bucket->size) {
            *ret_debt_ns = bucket_debt_ns(bucket, n - bucket->budget);
            bucket->budget = 0;
            return TAKEN_BEYOND;
        }
        if (n > bucket->budget)
            return TAKEN_NOTHING;
    }
    bucket->budget -= n;
    return TAKEN_WITHIN;
}

bool rl_bucket_spend(struct rl_bucket *bucket, uint64_t n, uint64_t now_ns)
{
    uint64_t debt_ns; /* nobody waits here */
    return !bucket->limited || bucket_take(bucket, n, now_ns, &debt_ns) != TAKEN_NOTHING;
}

static void on_timer(struct loop_timer *timer)
{
    struct rl *rl = timer->ctx;
    rl->on_unblocked(rl->ctx);
}

void rl_init(struct rl *rl, const struct rl_bucket_config *configs, const struct clock *clock,
             struct loop *loop, void (*on_unblocked)(void *ctx), void *ctx)
{
    *rl = (struct rl){
        .clock = clock,
        .loop = loop,
        .timer = {.fn = on_timer, .ctx = rl},
        .on_unblocked = on_unblocked,
        .ctx = ctx,
    };
    uint64_t now_ns = clock_now_ns(clock);
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++)
        rl_bucket_start(&rl->buckets[kind], &configs[kind], now_ns);
}

void rl_done(struct rl *rl)
{
    if (rl->loop)
        loop_timer_disarm(rl->loop, &rl->timer);
}

bool rl_take(struct rl *rl, enum rl_kind kind, uint64_t n)
{
    if (rl_blocked(rl))
        return false;
    struct rl_bucket *bucket = &rl->buckets[kind];
    if (!bucket->limited)
        return true;

    uint64_t debt_ns = 0;
    switch (bucket_take(bucket, n, clock_now_ns(rl->clock), &debt_ns)) {
    case TAKEN_NOTHING:
        loop_timer_arm(rl->loop, &rl->timer, RL_RETRY_NS);
        return false;
    case TAKEN_WITHIN:
        return true;
    case TAKEN_BEYOND:
        log_guest_error("Rate limiter: took %" PRIu64 " %s from a bucket of %" PRIu64
                        ", blocked for %" PRIu64 " ns",
                        n, kind == RL_BYTES ? "bytes" : "operations", bucket->size, debt_ns);
        loop_timer_arm(rl->loop, &rl->timer, debt_ns);
        return true;
    }
    return false;
}

bool rl_take_both(struct rl *rl, uint64_t bytes, struct rl_undo *ret_undo)
{
    if (!rl_limits(rl))
        return !rl_blocked(rl);
    if (ret_undo)
        memcpy(ret_undo->buckets, rl->buckets, sizeof(rl->buckets));
    if (!rl_take(rl, RL_OPS, 1))
        return false;
    if (bytes > 0 && !rl_take(rl, RL_BYTES, bytes)) {
        rl_refund(rl, RL_OPS, 1);
        return false;
    }
    return true;
}

void rl_undo(struct rl *rl, const struct rl_undo *undo)
{
    if (!rl_limits(rl))
        return;
    memcpy(rl->buckets, undo->buckets, sizeof(rl->buckets));
    loop_timer_disarm(rl->loop, &rl->timer); /* nothing was denied before */
}

void rl_refund(struct rl *rl, enum rl_kind kind, uint64_t n)
{
    struct rl_bucket *bucket = &rl->buckets[kind];
    if (!bucket->limited)
        return;
    if (bucket->burst)
        bucket->burst = add_capped(bucket->burst, n, bucket->burst_initial);
    else
        bucket->budget = add_capped(bucket->budget, n, bucket->size);
}

bool rl_blocked(const struct rl *rl)
{
    return loop_timer_armed(&rl->timer);
}

void rl_replace(struct rl *rl, enum rl_kind kind, const struct rl_bucket_config *config)
{
    rl_bucket_start(&rl->buckets[kind], config, clock_now_ns(rl->clock));
}

static void bucket_save(const struct rl_bucket *bucket, uint64_t now_ns,
                        struct rl_bucket_state *ret_state)
{
    *ret_state = (struct rl_bucket_state){0};
    if (!bucket->limited)
        return;
    *ret_state = (struct rl_bucket_state){
        .limited = true,
        .size = bucket->size,
        .burst_initial = bucket->burst_initial,
        .burst = bucket->burst,
        .refill_time_ms = bucket->refill_time_ms,
        .budget = bucket->budget,
        .elapsed_ns = now_ns - bucket->updated_ns,
    };
}

void rl_state_start(const struct rl_bucket_config *configs, struct rl_state *ret_state)
{
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        struct rl_bucket bucket;
        rl_bucket_start(&bucket, &configs[kind], 0);
        bucket_save(&bucket, 0, &ret_state->buckets[kind]);
    }
}

void rl_save(const struct rl *rl, struct rl_state *ret_state)
{
    uint64_t now_ns = clock_now_ns(rl->clock);
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++)
        bucket_save(&rl->buckets[kind], now_ns, &ret_state->buckets[kind]);
}

static bool bucket_state_is_sane(const struct rl_bucket_state *state)
{
    if (!state->limited)
        return true;
    struct rl_bucket_config config = {.size = state->size, .refill_time_ms = state->refill_time_ms};
    return bucket_config_limits(&config) && state->budget <= state->size &&
           state->burst <= state->burst_initial && state->elapsed_ns <= RL_ELAPSED_MAX_NS;
}

int rl_restore(struct rl *rl, const struct rl_state *state)
{
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        if (!bucket_state_is_sane(&state->buckets[kind]))
            return -EINVAL;
    }
    uint64_t now_ns = clock_now_ns(rl->clock);
    for (int kind = 0; kind < RL_KINDS_COUNT; kind++) {
        const struct rl_bucket_state *from = &state->buckets[kind];
        rl->buckets[kind] = (struct rl_bucket){0};
        if (!from->limited)
            continue;
        rl->buckets[kind] = (struct rl_bucket){
            .limited = true,
            .size = from->size,
            .burst_initial = from->burst_initial,
            .burst = from->burst,
            .refill_time_ms = from->refill_time_ms,
            .budget = from->budget,
            /* May lie before the host's boot: unsigned differences stay right. */
            .updated_ns = now_ns - from->elapsed_ns,
        };
    }
    return 0;
}
