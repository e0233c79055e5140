/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The IOAPIC of the split irqchip (82093AA register model, up to 24 pins): it only keeps
 * redirection entries and tells the owner of the GSI table which message each pin sends. All our
 * lines are edge-triggered irqfds, so no end-of-interrupt handling is needed: an entry that asks
 * for level triggering is kept as written and sends an edge. One lock; vCPU threads.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/bus/bus.h"

#define IOAPIC_BASE 0xFEC00000u
#define IOAPIC_SIZE 0x1000u
#define IOAPIC_PINS_MAX 24u

/* What a pin sends; `enabled` false when masked. */
struct ioapic_msi {
    bool enabled;
    uint32_t address_lo;
    uint32_t address_hi;
    uint32_t data;
};

struct ioapic_ops {
    /* The message of `pin` changed. Called under the IOAPIC's lock on a vCPU thread. Negative: it
     * did not take effect, and the next write to the entry tries again. */
    int (*set_route)(void *ctx, uint32_t pin, const struct ioapic_msi *msi);
};

struct ioapic;

/*
 * pins_count: 1..IOAPIC_PINS_MAX; a guest touches every pin at boot and at its end, two exits a
 * register, so a machine has no more than it uses. ops, ctx: borrowed. All pins start masked.
 * Returns 0 with *ret_ioapic (ioapic_free) or -ENOMEM.
 */
MUST_CHECK int ioapic_create(uint32_t pins_count, const struct ioapic_ops *ops, void *ctx,
                             struct ioapic **ret_ioapic, struct err *err);

/* NULL is fine. No vCPU may still reach its window. */
void ioapic_free(struct ioapic *ioapic);

/* What `pin` sends now. pin: below IOAPIC_PINS_MAX. */
struct ioapic_msi ioapic_route(struct ioapic *ioapic, uint32_t pin);

/* MMIO handlers; ctx is the struct ioapic. */
extern const struct bus_ops ioapic_bus_ops;
