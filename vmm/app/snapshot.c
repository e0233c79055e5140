/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --load-snapshot. Thread: main.
 */
#include "vmm/app/snapshot.h"

#include <stdlib.h>

#include "api/decode.h"
#include "base/fd.h"

int app_snapshot_request_load(const char *path, struct cfg_snapshot_load *ret_load, struct err *err)
{
    char *text;
    size_t len;
    int rc = fd_read_file(path, APP_SNAPSHOT_FILE_MAX_SIZE, &text, &len, err);
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
