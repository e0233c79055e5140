/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ids in paths: letters and digits of any script, and the underscore (api.md 2). Thread: any; no
 * state.
 */
#include "api/request_int.h"

#include <errno.h>

#include "base/utf8.h"

int api_id_check(const struct api_token *id, struct err *err)
{
    size_t off = 0;

    if (id->len == 0)
        return err_set(err, -EINVAL, "The ID cannot be empty.");
    while (off < id->len) {
        uint32_t c = 0;
        int size = utf8_decode(id->at + off, id->len - off, &c);
        if (size <= 0 || (c != '_' && !utf8_is_alphanumeric(c)))
            return err_set(
                err, -EINVAL,
                "API Resource IDs can only contain alphanumeric characters and underscores.");
        off += (size_t)size;
    }
    return 0;
}
