/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --load-snapshot. Thread: main.
 */
#include "vmm/app/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>

#include "base/fd.h"
#include "snapshots/format/snapf.h"
#include "vmm/app/body.h"

#define WHAT_FILE_HOLDS                                                                            \
    "FILE holds the JSON body of PUT /snapshot/load, as in {\"snapshot_path\": \"state\", "        \
    "\"mem_backend\": {\"backend_type\": \"File\", \"backend_path\": \"memory\"}}"

/* Is the state file itself there? What is no regular file is not opened: a FIFO's writer would meet
 * a reader that goes away. */
static bool is_state_file(const char *path)
{
    uint8_t bytes[SNAPF_MAGIC_SIZE];
    struct stat stat_buf;
    if (stat(path, &stat_buf) < 0 || !S_ISREG(stat_buf.st_mode))
        return false;
    FD_AUTO int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    ssize_t len = fd < 0 ? 0 : fd_read_full(fd, bytes, sizeof(bytes));
    return len > 0 && snapf_is_state(bytes, (size_t)len);
}

int app_snapshot_request_load(const char *path, struct cfg_snapshot_load *ret_load, struct err *err)
{
    if (path[0] == '\0')
        return err_set(err, -EINVAL, "--load-snapshot: the path is empty; " WHAT_FILE_HOLDS);
    if (is_state_file(path))
        return err_set(err, -EINVAL,
                       "--load-snapshot %s: that is a snapshot's state file; " WHAT_FILE_HOLDS
                       ". Name a file with such a body",
                       path);
    int rc = app_body_load("--load-snapshot", path, &cfg_object_snapshot_load, ret_load, err);
    if (rc == -EFBIG)
        return err_set(err, rc,
                       "--load-snapshot: Cannot read %s: it is larger than the limit of %u "
                       "bytes; " WHAT_FILE_HOLDS,
                       path, APP_BODY_MAX_SIZE);
    if (rc < 0)
        return rc;
    rc = cfg_snapshot_load_settle(ret_load, err);
    if (rc == 0)
        return 0;
    cfg_object_done(&cfg_object_snapshot_load, ret_load);
    return err_prefix(err, "--load-snapshot %s: ", path);
}
