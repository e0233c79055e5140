/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A whole monitor with recorded disks: linked with -Wl,--wrap=disk_open, every disk that the
 * program opens for writing gets a recorder. Thread: the disk's. Issue 3, part 9 (durability).
 *   MAYFLY_TEST_DISK_LOG           folder for the logs, <file name of the disk>.log each;
 *                                  unset: no recorder
 *   MAYFLY_TEST_DISK_BROKEN_FLUSH  set: flushes are answered and not made
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "devices/backend/disk.h"
#include "tests/lib/disk_recorder.h"

/* The names that the linker's --wrap gives. */
int __real_disk_open(const char *path, bool read_only, struct disk_ring *ring,
                     disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                     struct err *err);
int __wrap_disk_open(const char *path, bool read_only, struct disk_ring *ring,
                     disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                     struct err *err);

static int wrap(const char *path, const char *folder, struct disk *disk, struct err *err)
{
    const char *slash = strrchr(path, '/');
    char log_path[4096];
    int len = snprintf(log_path, sizeof(log_path), "%s/%s.log", folder, slash ? slash + 1 : path);
    if (len < 0 || (size_t)len >= sizeof(log_path))
        return err_set(err, -ENAMETOOLONG, "%s %s", ERR_OS(ENAMETOOLONG), path);
    const struct disk_recorder_options options = {
        .log_path = log_path,
        .broken_flush = getenv("MAYFLY_TEST_DISK_BROKEN_FLUSH") != NULL,
    };
    return disk_recorder_wrap(disk, &options, err);
}

int __wrap_disk_open(const char *path, bool read_only, struct disk_ring *ring,
                     disk_notify_fn notify, void *notify_ctx, struct disk *ret_disk,
                     struct err *err)
{
    struct disk disk = {0};
    int rc = __real_disk_open(path, read_only, ring, notify, notify_ctx, &disk, err);
    if (rc < 0)
        return rc;
    const char *folder = getenv("MAYFLY_TEST_DISK_LOG");
    if (folder && !read_only) {
        rc = wrap(path, folder, &disk, err);
        if (rc < 0) {
            disk_close(&disk);
            return rc;
        }
    }
    *ret_disk = disk;
    return 0;
}
