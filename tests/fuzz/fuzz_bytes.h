/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A fuzz input as a stream of choices: structured targets take bytes from it, and zeros once it
 * has ended. Single thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

struct fuzz_bytes {
    const uint8_t *at;
    size_t left;
};

static inline uint8_t fuzz_u8(struct fuzz_bytes *in)
{
    if (in->left == 0)
        return 0;
    in->left--;
    return *in->at++;
}

/* Little-endian. */
static inline uint16_t fuzz_u16(struct fuzz_bytes *in)
{
    uint16_t low = fuzz_u8(in);
    return (uint16_t)(low | fuzz_u8(in) << 8);
}

static inline uint32_t fuzz_u32(struct fuzz_bytes *in)
{
    uint32_t low = fuzz_u16(in);
    return low | (uint32_t)fuzz_u16(in) << 16;
}

/* One of n choices, n at most 256. */
static inline uint32_t fuzz_pick(struct fuzz_bytes *in, uint32_t n)
{
    return fuzz_u8(in) % n;
}
