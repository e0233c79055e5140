/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A memory file: its size, and where it holds data (lseek(2), SEEK_DATA). Single thread.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"

#define SNAPTOOL_PAGE_SIZE 4096u
/* More than any guest has. */
#define SNAPTOOL_MEMORY_MAX_SIZE (1ull << 40)

struct snaptool_file {
    const char *path; /* borrowed */
    int fd;
    uint64_t size;      /* when it was opened; what is added later is not looked at */
    uint64_t allocated; /* bytes that the file system has given it */
    mode_t mode;
    struct stat stat; /* as it was opened */
};

/* A run of bytes that is no hole. */
struct snaptool_extent {
    uint64_t off;
    uint64_t len;
};

/* Opens a memory file. Refuses what is no regular file, is empty, is no whole number of pages or
 * has more than SNAPTOOL_MEMORY_MAX_SIZE. Returns 0 (snaptool_file_close) or -errno with a
 * sentence. */
MUST_CHECK int snaptool_file_open(struct snaptool_file *ret_file, const char *path, bool writes,
                                  struct err *err);

/* Not opened (fd FD_NONE) is fine. */
void snaptool_file_close(struct snaptool_file *file);

/* Do the two name one file? */
bool snaptool_file_is_same(const struct snaptool_file *file, const struct snaptool_file *other);

/* The first extent that ends behind `off`, without what is before `off`. Returns 1 with
 * *ret_extent, 0 when only a hole follows, or -errno with a sentence. */
MUST_CHECK int snaptool_file_next(const struct snaptool_file *file, uint64_t off,
                                  struct snaptool_extent *ret_extent, struct err *err);

/* Reads exactly `len` bytes. Returns 0 or -errno with a sentence. */
MUST_CHECK int snaptool_file_read(const struct snaptool_file *file, uint64_t off, void *buf,
                                  size_t len, struct err *err);
