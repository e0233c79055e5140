/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Identity of a file that is only read. The digest is of the size, the first 128 KiB, the last 64
 * KiB, and 16 blocks of 4 KiB spread evenly between: that is where file systems and partition
 * tables keep their ids, times and generations (btrfs at 64 KiB, GPT's second header at the end),
 * so that another image, or one that was mounted for writing, differs there. It finds mistakes,
 * cheaply: 18 reads of at most 256 KiB in all. Who wants to deceive changes another block. Thread:
 * vmm.
 */
#include "snapshots/snap_base.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fd.h"
#include "base/le.h"
#include "base/log.h"

#define HEAD_SIZE (128u * 1024)
#define TAIL_SIZE (64u * 1024)
#define BLOCK_SIZE 4096u
#define BLOCKS_COUNT 16u
#define ALL_SIZE (HEAD_SIZE + TAIL_SIZE + BLOCKS_COUNT * BLOCK_SIZE)

#define REFUSED "drive %s: %s is not the file that it was when the snapshot was taken: "
#define FORCE                                                                                      \
    "Name that one, or say \"force\": true in its drive_overrides when the guest is to find "      \
    "this one"

/* ------------------------------------------------------------------ reading */

static int read_at(int fd, uint64_t off, uint8_t *bytes, size_t len)
{
    ssize_t got = fd_pread_full(fd, bytes, len, off);
    if (got < 0)
        return (int)got;
    return (size_t)got == len ? 0 : -EIO; /* it became shorter */
}

/* A file that is no longer than the parts: all of it. */
static int read_parts(int fd, uint64_t size, uint8_t *bytes)
{
    if (size <= ALL_SIZE)
        return read_at(fd, 0, bytes, (size_t)size);
    uint64_t step = (size - HEAD_SIZE - TAIL_SIZE - BLOCK_SIZE) / (BLOCKS_COUNT - 1);
    int rc = read_at(fd, 0, bytes, HEAD_SIZE);
    bytes += HEAD_SIZE;
    for (uint32_t i = 0; rc == 0 && i < BLOCKS_COUNT; i++, bytes += BLOCK_SIZE)
        rc = read_at(fd, (HEAD_SIZE + i * step) / BLOCK_SIZE * BLOCK_SIZE, bytes, BLOCK_SIZE);
    return rc < 0 ? rc : read_at(fd, size - TAIL_SIZE, bytes, TAIL_SIZE);
}

static int digest(const struct disk *disk, uint8_t ret_digest[static CRYPTO_CHECKSUM_SIZE])
{
    le64_t size = le64_put(disk->size);
    uint8_t *bytes = malloc(ALL_SIZE);
    if (!bytes)
        return -ENOMEM;
    int rc = read_parts(disk->fd, disk->size, bytes);
    if (rc == 0)
        crypto_checksum_both(&size, sizeof(size), bytes,
                             disk->size < ALL_SIZE ? (size_t)disk->size : ALL_SIZE, ret_digest);
    free(bytes);
    return rc;
}

/* ------------------------------------------------------------------ at create */

int snap_base_take(const struct disk *disk, uint32_t drive_idx, struct snapf_base *ret_base)
{
    struct stat stat;
    if (fstat(disk->fd, &stat) < 0) /* again: it was opened long ago */
        return -errno;
    const struct disk_stamp stamp = disk_stamp_of(&stat);
    struct snapf_base base = {
        .drive_idx = drive_idx,
        .size = disk->size,
        .is_file = stamp.is_file,
        .dev = stamp.dev,
        .ino = stamp.ino,
        .mtime_ns = stamp.mtime_ns,
        .ctime_ns = stamp.ctime_ns,
    };
    int rc = digest(disk, base.digest);
    if (rc == 0)
        *ret_base = base;
    return rc;
}

/* ------------------------------------------------------------------ at load */

static bool is_untouched(const struct disk *disk, const struct snapf_base *base)
{
    const struct disk_stamp *now = &disk->stamp;
    return now->is_file && base->is_file && now->dev == base->dev && now->ino == base->ino &&
           disk->size == base->size && now->mtime_ns == base->mtime_ns &&
           now->ctime_ns == base->ctime_ns;
}

/* Nobody asked: as the reference, but not in silence. Another size the device itself refuses. */
static void warn_of_change(const struct cfg_drive *drive, const struct disk *disk,
                           const struct snapf_base *base)
{
    if (base->is_file && disk->size == base->size && disk->stamp.mtime_ns != base->mtime_ns)
        log_warn("drive %s: %s was written at another time than the file that it was when the "
                 "snapshot was taken; its content is not looked at. Name the drive in "
                 "drive_overrides to have it compared",
                 drive->drive_id, drive->path_on_host);
}

/* Returns 0, or 1 when the content differs. */
static int compare(const struct disk *disk, const struct snapf_base *base)
{
    uint8_t now[CRYPTO_CHECKSUM_SIZE];
    if (is_untouched(disk, base))
        return 0;
    int rc = digest(disk, now);
    return rc < 0 ? rc : memcmp(now, base->digest, sizeof(now)) != 0;
}

int snap_base_check(const struct cfg_drive *drive, const struct disk *disk,
                    const struct snapf_base *base, const struct cfg_drive_override *override,
                    struct err *err)
{
    if (!override) {
        if (base)
            warn_of_change(drive, disk, base);
        return 0;
    }
    if (!base) {
        log_warn("drive %s: the snapshot does not say what its file was, so %s is taken unseen",
                 drive->drive_id, drive->path_on_host);
        return 0;
    }
    if (disk->size != base->size)
        return err_set(err, -EINVAL,
                       REFUSED "it has %llu bytes, and that one %llu. Name one of that size: the "
                               "guest knows it, so \"force\" does not help",
                       drive->drive_id, drive->path_on_host, (unsigned long long)disk->size,
                       (unsigned long long)base->size);
    if (override->force)
        return 0;
    int rc = compare(disk, base);
    if (rc < 0)
        return err_set(err, rc, "drive %s: cannot read %s to compare it with the snapshot's: %s",
                       drive->drive_id, drive->path_on_host, ERR_OS(rc));
    if (rc > 0)
        return err_set(err, -EINVAL, REFUSED "its content differs. " FORCE, drive->drive_id,
                       drive->path_on_host);
    return 0;
}
