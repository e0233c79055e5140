/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of bodies. Thread: main.
 */
#include "vmm/app/body.h"

#include <stdlib.h>

#include "api/decode.h"
#include "base/fd.h"

int app_body_load(const char *option, const char *path, const struct cfg_object *object,
                  void *ret_obj, struct err *err)
{
    char *text;
    size_t len;
    int rc = fd_read_file(path, APP_BODY_MAX_SIZE, &text, &len, err);
    if (rc < 0)
        return err_prefix(err, "%s: ", option);
    rc = api_decode_text(object, text, len, APP_BODY_MAX_SIZE, ret_obj, err);
    free(text);
    return rc < 0 ? err_prefix(err, "%s %s: ", option, path) : 0;
}
