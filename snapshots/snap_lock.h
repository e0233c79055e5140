/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who lives from a memory file, and who writes it where it is: two bytes of it, locked by whoever
 * has it open (fcntl(2), F_OFD_SETLK). Whoever begins says so first and then looks for the other,
 * so that of two at once one sees the other at least. Who may only read a file can keep writers
 * out, and no load. A file system without locks keeps nobody out. Any thread.
 */
#pragma once

#include "base/attr.h"

/* For as long as the file is open. Returns 0, or -EBUSY: somebody writes it. fd: borrowed. */
MUST_CHECK int snap_lock_live(int fd);

/*
 * For as long as the file is open. fd: borrowed, open for writing. own_fd: by which the caller
 * lives from the file itself, or fd. Returns 0, or -EBUSY: somebody else lives from it or writes
 * it; what was locked before is locked still.
 */
MUST_CHECK int snap_lock_write(int fd, int own_fd);
