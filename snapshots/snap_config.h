/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A configuration as bytes: what the guest was made from, for GET /vm/config and for opening its
 * devices again. Members by their names in the field tables (vmm/config/cfg_fields.h), so that one
 * that a later build adds has its default in older files. Single thread.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

/* Returns 0 with *ret_bytes (the caller frees) or -ENOMEM. */
MUST_CHECK int snap_config_encode(const struct cfg_vm *config, uint8_t **ret_bytes, size_t *ret_len,
                                  struct err *err);

/* Reads it, and checks it as a request's would be. Returns 0 with *ret_config (cfg_vm_done),
 * -EINVAL, -ENOMEM, or as cfg_drives_put and cfg_nics_put. */
MUST_CHECK int snap_config_decode(const uint8_t *bytes, size_t len, struct cfg_vm *ret_config,
                                  struct err *err);
