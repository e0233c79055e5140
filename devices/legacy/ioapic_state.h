/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of the IOAPIC: its registers; the messages follow from the entries.
 * Plain data; belongs to whoever holds it. snapshots/format knows its bytes and versions.
 */
#pragma once

#include <stdint.h>

#define IOAPIC_STATE_PINS_MAX 24u

struct ioapic_state {
    uint32_t id;
    uint32_t pins_count;
    uint8_t index;
    uint64_t entries[IOAPIC_STATE_PINS_MAX]; /* redirection entries */
};
