/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a new thread does first: it shuts itself in, before it reads a byte from outside.
 */
#pragma once

#include <stddef.h>

/* fn: called on the new thread, ends the process where the thread cannot be shut in; NULL: there
 * is nothing to do. */
struct thread_entry {
    void (*fn)(void *ctx);
    void *ctx;
};

static inline void thread_enter(const struct thread_entry *entry)
{
    if (entry->fn)
        entry->fn(entry->ctx);
}
