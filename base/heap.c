/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Heap pages ahead of their use. Any thread.
 */
#include "base/heap.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

#define PAGE_SIZE 4096u

void heap_populate(size_t size)
{
    char *room = malloc(size);
    if (!room)
        return; /* whoever needs it will say so */
    uintptr_t first = ((uintptr_t)room + PAGE_SIZE - 1) & ~(uintptr_t)(PAGE_SIZE - 1);
    uintptr_t end = ((uintptr_t)room + size) & ~(uintptr_t)(PAGE_SIZE - 1);
    if (end > first)
        (void)madvise((void *)first, end - first, MADV_POPULATE_WRITE); /* an offer */
    free(room);
}
