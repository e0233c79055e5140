/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The heap of libc, for a burst of allocations that must not wait for one page fault after the
 * other. Any thread.
 */
#pragma once

#include <stddef.h>

/* Has the kernel back about `size` bytes (below 128 KiB, which libc gives back) of what the next
 * allocations are made of. A kernel that cannot (before 5.14) changes nothing. */
void heap_populate(size_t size);
