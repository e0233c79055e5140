/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An interrupt line as an eventfd. Any thread; no state of its own.
 */
#include "vmm/bus/irq.h"

#include "base/metrics.h"

int irq_line_open(struct irq_line *line)
{
    int fd = fd_eventfd();
    if (fd < 0)
        return fd;
    line->fd = fd;
    return 0;
}

void irq_line_close(struct irq_line *line)
{
    fd_close(&line->fd);
}

void irq_raise(const struct irq_line *line)
{
    if (line->fd == FD_NONE)
        return;
    metric_inc(&metrics.interrupts.triggers);
    /* An eventfd that is open takes every raise; a full one is an edge already pending. */
    int rc = fd_event_raise(line->fd);
    (void)rc;
}
