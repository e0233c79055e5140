/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of the UART: registers, unread input, pending transmit interrupt
 * (devices.md 5). Plain data; belongs to whoever holds it. snapshots/format knows its bytes and
 * versions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define SERIAL_STATE_RX_SIZE 64u

struct serial_state {
    uint8_t ier; /* low four bits */
    uint8_t fcr;
    uint8_t lcr;
    uint8_t mcr; /* low five bits */
    uint8_t scr;
    uint8_t dll;
    uint8_t dlm;
    uint8_t lsr_errors;               /* the error bits of LSR; the others are computed */
    bool thre_pending;                /* the transmitter became empty and nobody has been told */
    uint32_t rx_count;                /* at most SERIAL_STATE_RX_SIZE */
    uint8_t rx[SERIAL_STATE_RX_SIZE]; /* oldest byte first */
};

struct serial;

/* Takes registers and unread input. Any thread. */
void serial_save(struct serial *serial, struct serial_state *ret_state);

/* Puts them into a fresh UART. Returns 0 or -EINVAL: registers that no guest can have written. */
MUST_CHECK int serial_restore(struct serial *serial, const struct serial_state *state,
                              struct err *err);

/* Tells the guest again of what it waits for: an interrupt on its way while the state was taken is
 * not lost. One too many does no harm. */
void serial_renotify(struct serial *serial);
