/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looks at guest memory as a test does: any number of times, also in a build that scribbles over
 * what gmem_read has read.
 */
#pragma once

#include <string.h>

#include "vmm/mem/gmem.h"

/* Copies out; 0 or -EFAULT, as gmem_read. */
static inline int unit_peek(struct gmem *gmem, gpa_t addr, void *dst, size_t len)
{
    struct iovec iov;
    memset(dst, 0, len); /* a failed test prints zeroes, not what was on the stack */
    int rc = gmem_iov(gmem, addr, len, false, &iov);
    if (rc == 0)
        memcpy(dst, iov.iov_base, len);
    return rc;
}
