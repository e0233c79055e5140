/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Memory files and their extents. Single thread.
 */
#include "snapshots/tool/file.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/tool/fail.h"

#define BLOCK_SIZE 512u /* st_blocks' unit */

static int check(const char *path, const struct stat *stat, struct err *err)
{
    if (S_ISDIR(stat->st_mode))
        return err_set(err, -EISDIR,
                       SNAPTOOL_PATH " is a directory: EISDIR. Name the memory file in it", path);
    if (!S_ISREG(stat->st_mode))
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH " is no regular file: EINVAL. Name a memory file", path);
    if (stat->st_size == 0 || stat->st_size % SNAPTOOL_PAGE_SIZE != 0)
        return err_set(err, -EINVAL,
                       SNAPTOOL_PATH
                       " has %lld bytes, no whole number of %u-byte pages: EINVAL. Name the memory "
                       "file of a snapshot, whole",
                       path, (long long)stat->st_size, SNAPTOOL_PAGE_SIZE);
    if ((uint64_t)stat->st_size > SNAPTOOL_MEMORY_MAX_SIZE)
        return err_set(
            err, -EFBIG,
            SNAPTOOL_PATH
            " has %lld bytes, more than the %llu of any guest: EFBIG. Name a memory file",
            path, (long long)stat->st_size, (unsigned long long)SNAPTOOL_MEMORY_MAX_SIZE);
    return 0;
}

int snaptool_file_open(struct snaptool_file *ret_file, const char *path, bool writes,
                       struct err *err)
{
    struct stat stat;
    *ret_file = (struct snaptool_file){.path = path, .fd = FD_NONE};
    /* A FIFO must not block us, nor a terminal become ours. */
    int flags = (writes ? O_RDWR : O_RDONLY) | O_CLOEXEC | O_NONBLOCK | O_NOCTTY;
    FD_AUTO int fd = open(path, flags);
    if (fd < 0 && errno == EISDIR)
        return err_set(err, -EISDIR,
                       SNAPTOOL_PATH " is a directory: EISDIR. Name the memory file in it", path);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return snaptool_fail(err, -errno, writes ? "write" : "open", path);
    int rc = check(path, &stat, err);
    if (rc < 0)
        return rc;
    ret_file->size = (uint64_t)stat.st_size;
    ret_file->allocated = (uint64_t)stat.st_blocks * BLOCK_SIZE;
    ret_file->mode = stat.st_mode;
    ret_file->stat = stat;
    ret_file->fd = fd_steal(&fd);
    return 0;
}

void snaptool_file_close(struct snaptool_file *file)
{
    fd_close(&file->fd);
}

bool snaptool_file_is_same(const struct snaptool_file *file, const struct snaptool_file *other)
{
    return fd_is_same_file(&file->stat, &other->stat);
}

int snaptool_file_next(const struct snaptool_file *file, uint64_t off,
                       struct snaptool_extent *ret_extent, struct err *err)
{
    off_t start = lseek(file->fd, (off_t)off, SEEK_DATA);
    if (start < 0 && errno == ENXIO)
        return 0;
    if (start < 0)
        return snaptool_fail(err, -errno, "find the data of", file->path);
    if ((uint64_t)start >= file->size)
        return 0;
    off_t end = lseek(file->fd, start, SEEK_HOLE);
    if (end < 0)
        return snaptool_fail(err, -errno, "find the holes of", file->path);
    if (end <= start)
        return snaptool_fail(err, -EIO, "find the holes of", file->path); /* it changes meanwhile */
    if ((uint64_t)end > file->size)
        end = (off_t)file->size;
    *ret_extent = (struct snaptool_extent){.off = (uint64_t)start, .len = (uint64_t)(end - start)};
    return 1;
}

int snaptool_file_read(const struct snaptool_file *file, uint64_t off, void *buf, size_t len,
                       struct err *err)
{
    ssize_t got = fd_pread_full(file->fd, buf, len, off);
    if (got < 0)
        return snaptool_fail(err, (int)got, "read", file->path);
    if ((size_t)got < len)
        return err_set(err, -EIO,
                       SNAPTOOL_PATH
                       " has become shorter meanwhile: EIO. Let nobody write it while this runs",
                       file->path);
    return 0;
}
