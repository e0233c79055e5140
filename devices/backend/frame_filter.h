/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A party that answers some of a guest's frames itself, so that they never reach its TAP. All that
 * a network device and the metadata service know of one another. A frame here starts with its
 * Ethernet header; no virtio header. Thread: vmm, under the device's lock.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Bytes of a frame from the guest that the filter gets to see at most; what lies behind them lies
 * outside every window that it offers. */
#define FRAME_FILTER_TAKE_MAX_SIZE 2688u
/* Largest frame that it makes: an Ethernet frame of MTU 1500. */
#define FRAME_FILTER_PULL_MAX_SIZE 1514u

struct frame_filter;

struct frame_filter_ops {
    /* Is this frame the filter's? head: its first bytes, copied once; head_len: at least 14, at
     * most 128, all of a shorter frame. Must not change anything. */
    bool (*wants)(const struct frame_filter *filter, const uint8_t *head, size_t head_len);
    /* Takes a frame that it wants. bytes: a copy, the head that was asked about and what follows;
     * len: at most FRAME_FILTER_TAKE_MAX_SIZE; frame_len: what the guest sent, at least len. */
    void (*take)(struct frame_filter *filter, const uint8_t *bytes, size_t len, size_t frame_len);
    /* Gives its next frame for the guest away. frame: room for FRAME_FILTER_PULL_MAX_SIZE.
     * Returns its length, or 0 when there is none now. */
    size_t (*pull)(struct frame_filter *filter, uint8_t *frame);
    /* When `pull` has to be asked again although no frame came, monotonic; 0: not before one
     * does. */
    uint64_t (*due_ns)(const struct frame_filter *filter);
    /* The driver was reset: forgets everything that goes on. Thread: a vCPU's; nothing is freed
     * here. */
    void (*reset)(struct frame_filter *filter);
};

/* Embedded in the filter's own object. */
struct frame_filter {
    const struct frame_filter_ops *ops;
};
