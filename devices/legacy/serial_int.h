/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside COM1: the UART, and what its registers (serial.c) and its input (serial_input.c) ask of
 * each other. Threads: as each member and function says.
 */
#pragma once

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "devices/backend/rl.h"
#include "devices/legacy/serial.h"
#include "devices/legacy/serial_state.h"
#include "vmm/bus/irq.h"
#include "vmm/loop/loop.h"

struct serial {
    pthread_mutex_t lock; /* guards all down to input_parked; a leaf lock */
    struct serial_state regs;
    const struct irq_line *irq; /* borrowed */
    int out_fd;                 /* borrowed */
    struct rl_bucket limiter;   /* of the output */
    uint32_t poll_reads_count;  /* LSR reads in a row, at most POLL_READS_COUNT */
    bool input_parked;
    bool input_paused;       /* the vmm thread's */
    struct loop *loop;       /* borrowed; NULL: no input attached. vmm thread */
    struct loop_src input;   /* vmm thread */
    struct loop_post resume; /* there is room again */
};

/* Is the guest ready to take bytes from the input source? Any thread, under the lock. */
bool serial_guest_listens(const struct serial *serial);

/* Puts bytes into the FIFO, as many as fit, and tells the guest. Returns how many. Any thread,
 * under the lock. */
size_t serial_receive(struct serial *serial, const uint8_t *data, size_t len);

/* Wakes the vmm thread when parked input can go on. Called under the lock after each register
 * access. vCPU threads. */
void serial_input_unpark(struct serial *serial);
