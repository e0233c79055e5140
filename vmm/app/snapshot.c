/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --load-snapshot. Thread: main.
 */
#include "vmm/app/snapshot.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "api/decode.h"
#include "base/fd.h"
#include "snapshots/format/snapf.h"

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
    char *text;
    size_t len;
    if (path[0] == '\0')
        return err_set(err, -EINVAL, "--load-snapshot: the path is empty; " WHAT_FILE_HOLDS);
    if (is_state_file(path))
        return err_set(err, -EINVAL,
                       "--load-snapshot %s: that is a snapshot's state file; " WHAT_FILE_HOLDS
                       ". Name a file with such a body",
                       path);
    int rc = fd_read_file(path, APP_SNAPSHOT_FILE_MAX_SIZE, &text, &len, err);
    if (rc == -EFBIG)
        return err_set(err, rc,
                       "--load-snapshot: Cannot read %s: it is larger than the limit of %u "
                       "bytes; " WHAT_FILE_HOLDS,
                       path, APP_SNAPSHOT_FILE_MAX_SIZE);
    if (rc < 0)
        return err_prefix(err, "--load-snapshot: ");
    rc = api_decode_text(&cfg_object_snapshot_load, text, len, APP_SNAPSHOT_FILE_MAX_SIZE, ret_load,
                         err);
    free(text);
    if (rc == 0) {
        rc = cfg_snapshot_load_settle(ret_load, err);
        if (rc < 0)
            cfg_object_done(&cfg_object_snapshot_load, ret_load);
    }
    return rc < 0 ? err_prefix(err, "--load-snapshot %s: ", path) : 0;
}
