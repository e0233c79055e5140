/* SPDX-License-Identifier: Apache-2.0 */
/*
 * COM1, a 16550A UART (devices.md 5): byte registers at port 0x3f8, IRQ 4, 64-byte receive FIFO,
 * loopback. Output goes at once, non-blocking, to the sink; a byte that does not fit is dropped
 * and counted. Input comes from a source fd on the loop, with back-pressure. One lock; vCPU
 * threads and vmm.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "devices/backend/rl.h"
#include "vmm/bus/bus.h"
#include "vmm/bus/irq.h"
#include "vmm/loop/loop.h"

#define SERIAL_PORT_BASE 0x3f8u
#define SERIAL_PORT_SIZE 8u
#define SERIAL_GSI 4u
#define SERIAL_FIFO_SIZE 64u

struct serial;

/*
 * Creates the UART. irq: borrowed line. out_fd: where output bytes go (borrowed; already
 * non-blocking), FD_NONE drops and counts them. Returns 0 with *ret_serial (serial_free) or
 * -errno.
 */
MUST_CHECK int serial_create(const struct irq_line *irq, int out_fd, struct serial **ret_serial,
                             struct err *err);

/* Stops watching the input first; both fds stay open. NULL is fine. No vCPU may still reach its
 * ports. Thread: vmm. */
void serial_free(struct serial *serial);

/*
 * Feeds input from `in_fd` (borrowed; a tty or FIFO, already non-blocking) through `loop`: read
 * only while the FIFO has room and the guest listens; end of file or an error detaches with the log
 * line of devices.md 5. Thread: vmm. Returns 0 or -errno.
 */
MUST_CHECK int serial_attach_input(struct serial *serial, struct loop *loop, int in_fd,
                                   struct err *err);

/* Stops watching the input; not attached is fine. Thread: vmm. */
void serial_detach_input(struct serial *serial);

/* Output bytes beyond the bucket are dropped and counted, nothing waits. Any thread. */
void serial_limit_output(struct serial *serial, const struct rl_bucket_config *config);

/* While paused no input is read, whatever the guest asks for. No input is fine. Thread: vmm. */
void serial_pause_input(struct serial *serial, bool paused);

/* Puts input bytes into the FIFO, as many as fit. Returns how many. Any thread. */
size_t serial_feed(struct serial *serial, const uint8_t *data, size_t len);

/* Port handlers for the PIO bus; ctx is the struct serial. vCPU threads. */
extern const struct bus_ops serial_bus_ops;
