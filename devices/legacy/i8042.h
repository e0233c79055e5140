/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The keyboard controller (devices.md 6): reset line and as much keyboard as Ctrl-Alt-Del needs.
 * Ports 0x60-0x64, IRQ 1. One lock; vCPU threads and vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"

#define I8042_PORT_BASE 0x60u
#define I8042_PORT_SIZE 5u
#define I8042_COMMAND_PORT (I8042_PORT_BASE + 4)
#define I8042_GSI 1u

struct i8042;

/*
 * Creates the controller. irq: borrowed. on_reset: called on the vCPU thread that wrote the reset
 * command (0xFE); must not block. Returns 0 with *ret_i8042 (i8042_free) or -ENOMEM.
 */
MUST_CHECK int i8042_create(const struct irq_line *irq, void (*on_reset)(void *ctx), void *ctx,
                            struct i8042 **ret_i8042, struct err *err);

/* NULL is fine. No vCPU may still reach its ports. */
void i8042_free(struct i8042 *i8042);

/* Queues Ctrl+Alt+Del. Returns 0, or -ENOSPC ("i8042 internal buffer full."). Any thread. */
MUST_CHECK int i8042_ctrl_alt_del(struct i8042 *i8042, struct err *err);

/* Port handlers for the PIO bus; ctx is the struct i8042. vCPU threads. */
extern const struct bus_ops i8042_bus_ops;
