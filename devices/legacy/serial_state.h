/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of the UART: registers, unread input, pending transmit interrupt
 * (devices.md 5). Plain data; belongs to whoever holds it. snapshots/format knows its bytes and
 * versions.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

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
