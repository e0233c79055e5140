/* SPDX-License-Identifier: Apache-2.0 */
/*
 * File descriptors: closing, ownership, whole reads and writes. Every fd that Mayfly makes is
 * CLOEXEC and starts life as FD_NONE. Any thread; no state.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/stat.h>
#include <sys/types.h>

#include "base/attr.h"
#include "base/err.h"

enum { FD_NONE = -1 };

/* Entries of the fd table when the limit is absent or absurd (cli.md A.2). */
#define FD_TABLE_ENTRIES 2048u

/* Closes *fd when it is open and sets it to FD_NONE. errno is preserved. */
void fd_close(int *fd);

/* Takes the fd out of *fd, leaving FD_NONE: the explicit end of FD_AUTO ownership. */
static inline int fd_steal(int *fd)
{
    int taken = *fd;
    *fd = FD_NONE;
    return taken;
}

/* A local fd that closes itself at the end of its block. */
#define FD_AUTO __attribute__((cleanup(fd_close)))

/* Reads up to `len` bytes, going on after short reads and EINTR. Returns bytes read (less than
 * len only at end of file) or -errno. */
MUST_CHECK ssize_t fd_read_full(int fd, void *buf, size_t len);

/* As fd_read_full, at file offset `off` bytes. */
MUST_CHECK ssize_t fd_pread_full(int fd, void *buf, size_t len, uint64_t off);

/* Writes all `len` bytes, going on after short writes and EINTR. Returns 0 or -errno. */
MUST_CHECK int fd_write_full(int fd, const void *buf, size_t len);

/* The same at offset `off`. Returns 0 or -errno. */
MUST_CHECK int fd_pwrite_full(int fd, const void *buf, size_t len, uint64_t off);

/* As fstat, for threads that may name no paths: glibc's makes a call that could take one. Returns 0
 * or -errno. */
MUST_CHECK int fd_stat(int fd, struct stat *ret_stat);

/* Are these of one file, by whatever name it was found? */
bool fd_is_same_file(const struct stat *one, const struct stat *other);

/* Is that file what has this name? path: NULL: no. */
bool fd_is_file_at(const struct stat *file, const char *path);

/* Is it a stream socket of AF_UNIX that listens? */
bool fd_is_unix_listener(int fd);

/* Opens /dev/null for each of fds 0-2 that is closed, so that no file of ours gets their number and
 * with it what is meant for the console. They stay across exec. Call first. Returns 0 or -errno. */
MUST_CHECK int fd_fill_standard(void);

/* The sentence of an answer that could not be printed whole. Returns rc. */
int fd_fail_stdout(int rc, struct err *err);

/* Writes what printf has left in stdout's buffer. What a program prints is its whole purpose, so
 * that half of it is a failure. Returns 0, or -errno with the sentence: also of an earlier
 * write. */
MUST_CHECK int fd_flush_stdout(struct err *err);

/* Grows the process's fd table to 2,048 entries, so that it does not grow while threads share it
 * (cli.md A.2): enough for every device and 1,023 vsock streams, at 16 KiB of kernel memory. A
 * soft limit below that is raised, as far as the hard one lets it. Call while single-threaded.
 * Returns 0 or -errno. */
MUST_CHECK int fd_presize_table(void);

/* New eventfd, CLOEXEC and non-blocking, counter 0. Returns the fd (caller closes) or -errno. */
MUST_CHECK int fd_eventfd(void);

/* Adds 1 to an eventfd's counter; a full counter counts as done. Any thread. Returns 0 or
 * -errno. */
MUST_CHECK int fd_event_raise(int fd);

/* Takes an eventfd's counter. Returns 1 when it was raised, 0 when it was not, or -errno. */
MUST_CHECK int fd_event_take(int fd);

/* The whole file `path` into a heap buffer with a NUL behind it; refuses more than `max_size`
 * bytes, a directory and a path that cannot be opened, each with its sentence. ret_buf: the
 * caller frees.
 * Returns 0, -EFBIG, or -errno of open/read. */
MUST_CHECK int fd_read_file(const char *path, size_t max_size, char **ret_buf, size_t *ret_len,
                            struct err *err);
