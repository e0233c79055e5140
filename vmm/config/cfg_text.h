/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Small texts inside requests: MAC and IPv4 addresses, log levels, and the numbers and bitmaps of
 * CPU templates (api.md 6, devices.md 9.1). Pure functions; sentences are Firecracker's. Any
 * thread.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "base/log.h"
#include "vmm/config/cfg.h"

#define CFG_MAC_TEXT_SIZE 18u /* "06:00:00:00:00:01" with the NUL */

/* Bits of mask are forced to those of value; the others pass through. */
struct cfg_bitmap32 {
    uint32_t mask;
    uint32_t value;
};
struct cfg_bitmap64 {
    uint64_t mask;
    uint64_t value;
};

/* Is all of a text, which goes onto a kernel command line, printable ASCII? Returns 0 or
 * -EINVAL. */
MUST_CHECK int cfg_printable_check(const char *text, struct err *err);

/* Six two-digit hexadecimal groups with colons. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_mac_parse(const char *text, uint8_t ret_mac[static 6], struct err *err);

/* Lower-case text of a MAC. Returns buf. */
const char *cfg_mac_text(const uint8_t mac[static 6], char buf[static CFG_MAC_TEXT_SIZE]);

/* Dotted quad without leading zeros; ret_addr in the order written. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_ipv4_parse(const char *text, uint8_t ret_addr[static 4], struct err *err);

/* Level name in any case; Warn and Warning are one. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_log_level_parse(const char *text, enum log_level *ret_level, struct err *err);

/* "0x.." or "0b.." up to 32 bits. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_number32_parse(const char *text, uint32_t *ret_number, struct err *err);

/* "eax".."edx" to an index into cfg_cpuid_modifier.mask. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_register_parse(const char *text, uint32_t *ret_register, struct err *err);

/* A string of 0, 1, x and _, right-aligned in `bits` (32 or 64) bits. Returns 0 or -EINVAL. */
MUST_CHECK int cfg_bitmap_parse(const char *text, uint32_t bits, struct cfg_bitmap64 *ret_bitmap,
                                struct err *err);

/* "123" or "!123". Returns 0 or -EINVAL. */
MUST_CHECK int cfg_capability_parse(const char *text, struct cfg_capability *ret_capability,
                                    struct err *err);
