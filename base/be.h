/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Big-endian integers of network headers, read from and written to bytes at any address. The
 * caller has checked that they are there. Any thread; no state.
 */
#pragma once

#include <stdint.h>

static inline uint16_t be16_load(const uint8_t *at)
{
    return (uint16_t)(at[0] << 8 | at[1]);
}
static inline uint32_t be32_load(const uint8_t *at)
{
    return (uint32_t)be16_load(at) << 16 | be16_load(at + 2);
}

static inline void be16_store(uint8_t *at, uint16_t value)
{
    at[0] = (uint8_t)(value >> 8);
    at[1] = (uint8_t)value;
}
static inline void be32_store(uint8_t *at, uint32_t value)
{
    be16_store(at, (uint16_t)(value >> 16));
    be16_store(at + 2, (uint16_t)value);
}
