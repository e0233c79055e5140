/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt line as an eventfd: raising it is one write; whether KVM (irqfd) or a test listens
 * is not the device's business. Edge semantics. Any thread.
 */
#pragma once

#include "base/fd.h"

struct irq_line {
    int fd; /* eventfd; FD_NONE: not connected, raising does nothing */
};

/* Creates the eventfd. Returns 0 or -errno. */
MUST_CHECK int irq_line_open(struct irq_line *line);

/* Closes it; FD_NONE is fine. */
void irq_line_close(struct irq_line *line);

/* One edge; counts metrics.interrupts.triggers. A full counter is an edge already pending. Any
 * thread. */
void irq_raise(const struct irq_line *line);
