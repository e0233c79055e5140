/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the MP table and the ACPI tables share. Private to vmm/arch/x86_64. Thread: vmm, before the
 * guest runs. Pure.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

/* The byte that makes the sum of all zero, when it takes the place of a zero among them. */
static inline uint8_t arch_checksum(const void *bytes, size_t len)
{
    const uint8_t *p = bytes;
    uint8_t sum = 0;
    for (size_t i = 0; i < len; i++)
        sum = (uint8_t)(sum + p[i]);
    return (uint8_t)(0u - sum);
}
