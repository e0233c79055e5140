/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Copying by the kernel where it can (copy_file_range(2), FICLONE), by a buffer where not. Single
 * thread.
 */
#include "snapshots/tool/copy.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/fd.h"
#include "snapshots/tool/fail.h"

/* One call's share: a signal waits for no more. */
#define KERNEL_COPY_MAX_SIZE (64u << 20)
#define BUFFER_SIZE (1u << 20)

/* A copy on its way. */
struct copying {
    const struct snaptool_file *from;
    const struct snaptool_file *to;
    uint8_t *buf;   /* BUFFER_SIZE, heap; NULL: not needed yet */
    bool by_buffer; /* the kernel cannot between these two */
};

static bool is_incapable(int errnum)
{
    return errnum == EXDEV || errnum == EINVAL || errnum == EOPNOTSUPP || errnum == ENOSYS;
}

/* Returns bytes copied, 0 when the kernel does not, or -errno. */
static ssize_t copy_by_kernel(const struct copying *copying, uint64_t off, uint64_t len)
{
    loff_t from_off = (loff_t)off;
    loff_t to_off = (loff_t)off;
    size_t share = len < KERNEL_COPY_MAX_SIZE ? (size_t)len : KERNEL_COPY_MAX_SIZE;
    for (;;) {
        ssize_t done =
            copy_file_range(copying->from->fd, &from_off, copying->to->fd, &to_off, share, 0);
        if (done >= 0)
            return done;
        if (errno != EINTR)
            return is_incapable(errno) ? 0 : -errno;
    }
}

static int write_at(const struct snaptool_file *to, const uint8_t *bytes, size_t len, uint64_t off,
                    struct err *err)
{
    int rc = fd_pwrite_full(to->fd, bytes, len, off);
    return rc < 0 ? snaptool_fail(err, rc, "write", to->path) : 0;
}

static int copy_by_buffer(struct copying *copying, uint64_t off, uint64_t len, struct err *err)
{
    if (!copying->buf)
        copying->buf = malloc(BUFFER_SIZE);
    if (!copying->buf)
        return err_set(err, -ENOMEM, "No memory for copying: ENOMEM. Free %u bytes", BUFFER_SIZE);
    while (len > 0) {
        size_t share = len < BUFFER_SIZE ? (size_t)len : BUFFER_SIZE;
        int rc = snaptool_file_read(copying->from, off, copying->buf, share, err);
        if (rc == 0)
            rc = write_at(copying->to, copying->buf, share, off, err);
        if (rc < 0)
            return rc;
        off += share;
        len -= share;
    }
    return 0;
}

static int copy_extent(struct copying *copying, struct snaptool_extent extent, struct err *err)
{
    while (extent.len > 0 && !copying->by_buffer) {
        ssize_t done = copy_by_kernel(copying, extent.off, extent.len);
        if (done < 0)
            return snaptool_fail(err, (int)done, "copy into", copying->to->path);
        copying->by_buffer = done == 0;
        extent.off += (uint64_t)done;
        extent.len -= (uint64_t)done;
    }
    return copy_by_buffer(copying, extent.off, extent.len, err);
}

int snaptool_copy_data(const struct snaptool_file *from, const struct snaptool_file *to,
                       uint64_t *ret_len, struct err *err)
{
    struct copying copying = {.from = from, .to = to};
    struct snaptool_extent extent = {0};
    uint64_t len = 0;
    int rc;
    while ((rc = snaptool_file_next(from, extent.off + extent.len, &extent, err)) == 1) {
        rc = copy_extent(&copying, extent, err);
        if (rc < 0)
            break;
        len += extent.len;
    }
    free(copying.buf);
    if (rc == 0)
        *ret_len = len;
    return rc;
}

int snaptool_copy_whole(const struct snaptool_file *from, const struct snaptool_file *to,
                        struct err *err)
{
    uint64_t len;
    if (ioctl(to->fd, FICLONE, from->fd) == 0)
        return 0;
    if (ftruncate(to->fd, (off_t)from->size) < 0)
        return snaptool_fail(err, -errno, "set the length of", to->path);
    return snaptool_copy_data(from, to, &len, err);
}
