/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file into the page cache while its VM runs already. Thread: vmm; a thread of its own
 * does the work.
 */
#pragma once

#include <stdint.h>

#include "base/thread.h"

/* Has the data of the file's first `size` bytes read ahead, its holes left out. fd: borrowed for
 * the call. A helper thread does it, which ends by itself; that it cannot be started is logged:
 * the VM only waits for its pages as without. */
void snap_prefetch_start(int fd, uint64_t size, const struct thread_entry *entry);
