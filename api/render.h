/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Config struct -> JSON: the one renderer, driven by the same field tables as the decoder. Key
 * order is the order of the tables (api.md 8). Thread: any; no state.
 */
#pragma once

#include "base/attr.h"
#include "base/json/json.h"
#include "vmm/config/cfg_fields.h"

/* The value of an object (null when it is void), which the caller owns; NULL: no memory, or a
 * number from 2^63 up. */
struct json *api_render_value(const struct cfg_object *object, const void *obj);

/* Compact text of a value, which is dropped in any case. put_ret: of the json_puts that filled it,
 * or'ed. ret_text: the caller frees. Returns 0, or -ENOMEM: also for NULL and a put that failed. */
MUST_CHECK int api_render_drop(struct json *value, int put_ret, char **ret_text, size_t *ret_len);

/* Compact text of one object. ret_text: the caller frees. Returns 0 or -ENOMEM. */
MUST_CHECK int api_render_object(const struct cfg_object *object, const void *obj, char **ret_text,
                                 size_t *ret_len);

/* The document of GET /vm/config: itself a valid config file. ret_text: the caller frees. Returns 0
 * or -ENOMEM. */
MUST_CHECK int api_render_vm(const struct cfg_vm *vm, char **ret_text, size_t *ret_len);
