/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --load-snapshot: the body of PUT /snapshot/load (cli.md A; api.md 7). Thread: main.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

/* Reads it and decodes it as the request's body would be. Returns 0 with *ret_load (settled; the
 * caller releases it by cfg_object_snapshot_load), or -EINVAL, -EFBIG, -ENOMEM or -errno of
 * open/read, each with a sentence. */
MUST_CHECK int app_snapshot_request_load(const char *path, struct cfg_snapshot_load *ret_load,
                                         struct err *err);
