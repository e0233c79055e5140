/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The file of --warm: the shape of the VM that is made ahead, as the body of PUT /machine-config.
 * Thread: main.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

/* Reads it, decodes and checks it as the request's body would be. Returns 0 with *ret_shape, or
 * -EINVAL, -EFBIG, -ENOMEM or -errno of open/read, each with a sentence. */
MUST_CHECK int app_warm_load(const char *path, struct cfg_machine *ret_shape, struct err *err);
