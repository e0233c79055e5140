/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Opening and closing a disk: which files may be one, how large it is, its serial id.
 * Thread: vmm. Spec: devices.md 3.
 */
#include "devices/backend/disk.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fd.h"
#include "devices/backend/disk_int.h"

/* What a path is, when it cannot be a disk; NULL when it can. A directory is not named here: errno
 * does. */
static const char *unfit_name(mode_t mode)
{
    if (S_ISREG(mode) || S_ISBLK(mode))
        return NULL;
    if (S_ISFIFO(mode))
        return "a FIFO";
    if (S_ISSOCK(mode))
        return "a socket";
    if (S_ISCHR(mode))
        return "a character device";
    return "a special file";
}

static int refuse_type(mode_t mode, const char *path, struct err *err)
{
    if (S_ISDIR(mode))
        return err_set(err, -EISDIR, "%s %s", ERR_OS(EISDIR), path);
    return err_set(err, -EINVAL,
                   "%s %s: a disk is a regular file or a block device, name one instead of %s.",
                   ERR_OS(EINVAL), path, unfit_name(mode));
}

/* open() itself fails on a socket with an errno that says little. */
static int open_failed(int code, const char *path, struct err *err)
{
    struct stat st;
    if (code == ENXIO && stat(path, &st) == 0 && unfit_name(st.st_mode))
        return refuse_type(st.st_mode, path, err);
    return err_set(err, -code, "%s %s", ERR_OS(code), path);
}

/* Opens and checks the type. O_NONBLOCK keeps a FIFO without a peer from blocking us and is taken
 * off again, since an engine must be able to wait. Returns the fd or -errno. */
static int open_file(const char *path, bool read_only, struct stat *ret_st, struct err *err)
{
    int access = read_only ? O_RDONLY : O_RDWR;
    FD_AUTO int fd = open(path, access | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return open_failed(errno, path, err);
    struct stat st;
    if (fstat(fd, &st) < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), path);
    if (S_ISDIR(st.st_mode) || unfit_name(st.st_mode))
        return refuse_type(st.st_mode, path, err);
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags & ~O_NONBLOCK) < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), path);
    *ret_st = st;
    return fd_steal(&fd);
}

/* Decimal st_dev, st_rdev, st_ino in a row, cut or zero-padded. */
static void fill_serial(const struct stat *st, uint8_t serial[DISK_SERIAL_SIZE])
{
    char text[3 * 20 + 1]; /* three 64-bit numbers of at most 20 digits */
    int len = snprintf(text, sizeof(text), "%" PRIu64 "%" PRIu64 "%" PRIu64, (uint64_t)st->st_dev,
                       (uint64_t)st->st_rdev, (uint64_t)st->st_ino);
    size_t used = len < 0 ? 0 : (size_t)len;
    if (used > DISK_SERIAL_SIZE)
        used = DISK_SERIAL_SIZE;
    memset(serial, 0, DISK_SERIAL_SIZE);
    memcpy(serial, text, used);
}

static uint64_t time_ns(const struct timespec *time)
{
    return (uint64_t)time->tv_sec * NS_PER_S + (uint64_t)time->tv_nsec;
}

struct disk_stamp disk_stamp_of(const struct stat *stat)
{
    return (struct disk_stamp){
        .is_file = S_ISREG(stat->st_mode),
        .dev = stat->st_dev,
        .ino = stat->st_ino,
        .mtime_ns = time_ns(&stat->st_mtim),
        .ctime_ns = time_ns(&stat->st_ctim),
    };
}

int disk_open(const char *path, bool read_only, struct disk_ring *ring, disk_notify_fn notify,
              void *notify_ctx, struct disk *ret_disk, struct err *err)
{
    struct stat st = {0};
    FD_AUTO int fd = open_file(path, read_only, &st, err);
    if (fd < 0)
        return fd;
    off_t size = lseek(fd, 0, SEEK_END);
    if (size < 0)
        return err_set(err, -errno, "%s %s", ERR_OS(errno), path);

    struct disk disk = {
        .fd = fd,
        .stamp = disk_stamp_of(&st),
        .size = (uint64_t)size,
        .sectors_count = (uint64_t)size / DISK_SECTOR_SIZE,
        .read_only = read_only,
    };
    fill_serial(&st, disk.serial);
    int rc = ring ? disk_async_open(ring, fd, notify, notify_ctx, &disk, err)
                  : disk_sync_open(fd, &disk, err);
    if (rc < 0) {
        if (err)
            err_prefix(err, "%s: ", path);
        return rc;
    }
    (void)fd_steal(&fd); /* the engine's now */
    *ret_disk = disk;
    return 0;
}

void disk_close(struct disk *disk)
{
    if (!disk->ops)
        return;
    disk->ops->close(disk->ctx);
    *disk = (struct disk){0};
}
