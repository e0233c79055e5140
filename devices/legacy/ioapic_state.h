/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of the IOAPIC: its registers; the messages follow from the entries.
 * Plain data; belongs to whoever holds it. snapshots/format knows its bytes and versions.
 */
#pragma once

#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define IOAPIC_STATE_PINS_MAX 24u

struct ioapic_state {
    uint32_t id;
    uint32_t pins_count;
    uint8_t index;
    uint64_t entries[IOAPIC_STATE_PINS_MAX]; /* redirection entries */
};

struct ioapic;

/* Takes the registers. Any thread. */
void ioapic_save(struct ioapic *ioapic, struct ioapic_state *ret_state);

/* Puts them into a fresh IOAPIC. The owner is not told: it asks for each pin's route
 * (ioapic_route). Returns 0, or -EINVAL: registers that no guest can have written, or of another
 * number of pins. */
MUST_CHECK int ioapic_restore(struct ioapic *ioapic, const struct ioapic_state *state,
                              struct err *err);
