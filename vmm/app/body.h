/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A file that holds what would be a request's body, for options of the command line. Thread: main.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg_fields.h"

#define APP_BODY_MAX_SIZE 65536u

/* Reads it and decodes it as the request's body would be. option: "--warm", say, for sentences.
 * Returns 0 with *ret_obj (cfg_object_done), or -EINVAL, -EFBIG, -ENOMEM or -errno of open/read,
 * each with a sentence that names option and path. */
MUST_CHECK int app_body_load(const char *option, const char *path, const struct cfg_object *object,
                             void *ret_obj, struct err *err);
