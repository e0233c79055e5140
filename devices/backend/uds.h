/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Unix stream sockets: where a vsock stream's bytes go. Knows sockets, not vsock packets. Nothing
 * here blocks. Thread: vmm. Spec: vsock.md 1.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#include "base/attr.h"

/* Bytes of a socket's path without its NUL. */
#define UDS_PATH_MAX_LEN 107u

/* Makes a listening socket at `path`; an empty path lets the kernel choose an abstract name.
 * Nothing that is there is replaced. Returns the fd (caller closes) or -errno: -EADDRINUSE when
 * the path exists, -ENAMETOOLONG. */
MUST_CHECK int uds_listen(const char *path);

/* The next stream that somebody opened to the listening socket. Returns the fd (caller closes),
 * -EAGAIN when there is none, or -errno. */
MUST_CHECK int uds_accept(int listener_fd);

/* Connects to `path`. Returns the fd (caller closes), -EAGAIN when the listener's queue is full
 * now, or -errno; -ENAMETOOLONG. */
MUST_CHECK int uds_connect(const char *path);

/* Reads what is there. Returns its bytes, 0 at the end of the stream, -EAGAIN when there is
 * nothing now, or -errno. */
MUST_CHECK ssize_t uds_read(int fd, const struct iovec *iov, uint32_t iov_count);

/* Looks at up to `size` bytes that stay in the stream. Returns as uds_read. */
MUST_CHECK ssize_t uds_peek(int fd, void *buf, size_t size);

/* Writes what fits. Returns its bytes, -EAGAIN when nothing does, or -errno. Raises SIGPIPE when
 * the other side is gone (vsock.md 1.3: it is counted). */
MUST_CHECK ssize_t uds_write(int fd, const struct iovec *iov, uint32_t iov_count);

/* No more is written: the other side reads to an end. */
void uds_end_writing(int fd);

/* Is the stream over in both directions? False: the other side still reads. */
bool uds_is_hung_up(int fd);
