/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Checked arithmetic for values from outside (guest, API, file). Every macro yields true and
 * stores the result when the mathematical result fits the type of *ret, and false (result
 * unspecified) otherwise. Any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"

/* *ret = a + b; *ret = a - b; *ret = a * b. */
#define ck_add(a, b, ret) (!__builtin_add_overflow((a), (b), (ret)))
#define ck_sub(a, b, ret) (!__builtin_sub_overflow((a), (b), (ret)))
#define ck_mul(a, b, ret) (!__builtin_mul_overflow((a), (b), (ret)))

/* *ret = value, when it fits the narrower type. */
#define ck_narrow(value, ret) (!__builtin_add_overflow((value), 0, (ret)))

/*
 * Is [off, off + len) inside [0, size)? Wrap-safe; an empty range at off == size is inside.
 */
static inline MUST_CHECK bool ck_range(uint64_t off, uint64_t len, uint64_t size)
{
    return off <= size && len <= size - off;
}

/*
 * Checks index i against n and masks it, so that a mispredicted check cannot read beyond the array.
 * n: number of elements, at least 1. Returns true with *ret_i < n, or false.
 */
static inline MUST_CHECK bool ck_index(uint32_t i, uint32_t n, uint32_t *ret_i)
{
    if (i >= n)
        return false;
    uint64_t mask = (uint64_t)((int64_t)((uint64_t)i - (uint64_t)n) >> 63);
    /* Keeps the compiler from seeing that the mask is all ones on this path. */
    __asm__ volatile("" : "+r"(mask));
    *ret_i = (uint32_t)(i & mask);
    return true;
}

/* value rounded up / down to a multiple of align (a power of two); no overflow check for down. */
static inline MUST_CHECK bool ck_align_up(uint64_t value, uint64_t align, uint64_t *ret)
{
    uint64_t sum;
    if (!ck_add(value, align - 1, &sum))
        return false;
    *ret = sum & ~(align - 1);
    return true;
}

static inline MUST_CHECK uint64_t ck_align_down(uint64_t value, uint64_t align)
{
    return value & ~(align - 1);
}
