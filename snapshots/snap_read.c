/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Reading a state file (snapshot.md 1, 4). Single thread.
 */
#include "snapshots/snap_read.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "base/fd.h"

#define READ_FAILED "Failed to load snapshot state from file: "

static int open_state(const char *path, int *ret_fd, size_t *ret_size, struct err *err)
{
    struct stat stat;
    /* A FIFO must not block us, nor a terminal become ours. */
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0 || fstat(fd, &stat) < 0)
        return err_set(err, -errno, "Failed to open snapshot file: %s (%s)", ERR_OS(errno),
                       path[0] ? path : "the path is empty: name a state file");
    if (!S_ISREG(stat.st_mode))
        return err_set(err, -EINVAL, READ_FAILED "it is no regular file (%s)", path);
    if (stat.st_size > (off_t)SNAPF_FILE_MAX_SIZE)
        return err_set(err, -EFBIG, READ_FAILED "it has %lld bytes, more than the %u of any (%s)",
                       (long long)stat.st_size, SNAPF_FILE_MAX_SIZE, path);
    *ret_size = (size_t)stat.st_size;
    *ret_fd = fd_steal(&fd);
    return 0;
}

int snap_read_bytes(const char *path, uint8_t **ret_bytes, size_t *ret_len, struct err *err)
{
    FD_AUTO int fd = FD_NONE;
    size_t size;
    int rc = open_state(path, &fd, &size, err);
    if (rc < 0)
        return rc;
    uint8_t *bytes = malloc(size + 1);
    if (!bytes)
        return err_set(err, -ENOMEM, READ_FAILED "no memory for its %zu bytes", size);
    ssize_t len = fd_read_full(fd, bytes, size);
    if (len < 0) {
        free(bytes);
        return err_set(err, (int)len, READ_FAILED "%s (%s)", ERR_OS((int)len), path);
    }
    *ret_bytes = bytes;
    *ret_len = (size_t)len;
    return 0;
}

/* The path goes behind the reason, which clients match. */
static int fail_content(const char *path, struct err *err)
{
    const struct err why = *err;
    return err_set(err, why.code, READ_FAILED "%s (%s)", why.msg, path);
}

int snap_read(const char *path, struct snapf_content *ret_content, struct err *err)
{
    uint8_t *bytes = NULL;
    size_t len = 0;
    int rc = snap_read_bytes(path, &bytes, &len, err);
    if (rc < 0)
        return rc;
    rc = snapf_decode(bytes, len, ret_content, err);
    free(bytes);
    return rc < 0 ? fail_content(path, err) : 0;
}
