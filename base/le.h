/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Little-endian integers as types of their own: shared or stored bytes are leN_t, converted at
 * the load and at the store and nowhere else. Any thread; no state.
 */
#pragma once

#include <assert.h>
#include <endian.h>
#include <stdint.h>

typedef struct {
    uint16_t raw;
} le16_t;
typedef struct {
    uint32_t raw;
} le32_t;
typedef struct {
    uint64_t raw;
} le64_t;

static_assert(sizeof(le16_t) == 2 && sizeof(le32_t) == 4 && sizeof(le64_t) == 8, "no padding");

/* Host value from a stored value. */
static inline uint16_t le16_get(le16_t v)
{
    return le16toh(v.raw);
}
static inline uint32_t le32_get(le32_t v)
{
    return le32toh(v.raw);
}
static inline uint64_t le64_get(le64_t v)
{
    return le64toh(v.raw);
}

/* Stored value from a host value. */
static inline le16_t le16_put(uint16_t v)
{
    return (le16_t){htole16(v)};
}
static inline le32_t le32_put(uint32_t v)
{
    return (le32_t){htole32(v)};
}
static inline le64_t le64_put(uint64_t v)
{
    return (le64_t){htole64(v)};
}
