/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON value -> config struct: the one decoder, driven by the field tables of vmm/config. Request
 * bodies and the config file come through here. Thread: any; no state. Sentences: api.md 4.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/json/json.h"
#include "vmm/config/cfg_fields.h"

/*
 * Decodes one object: types, ranges of types, required and unknown fields. Range rules of the
 * object itself are cfg_*_validate's. An array is read as the fields in table order, as the
 * reference does. ret_obj: struct of object->size bytes, overwritten on success only; the caller
 * releases it with cfg_object_done. Returns 0, -EINVAL (sentence ends in " at line L column C"),
 * CFG_NUL_ERROR (a sentence without position: the object's category and the field's nul_text),
 * -ENOSPC (a list is too long) or -ENOMEM.
 */
MUST_CHECK int api_decode(const struct cfg_object *object, struct json_val val, void *ret_obj,
                          struct err *err);

/* Parses a text of at most max_size bytes and decodes it. Returns as json_parse and api_decode. */
MUST_CHECK int api_decode_text(const struct cfg_object *object, const char *text, size_t len,
                               size_t max_size, void *ret_obj, struct err *err);

/* Sets "invalid type: <what val is>, expected <expected> at line L column C". Returns -EINVAL. */
int api_fail_type(struct json_val val, const char *expected, struct err *err);

/* Is `val`, called `name` in the sentence, an array of at most max_count elements? Returns 0,
 * -EINVAL or -ENOSPC. */
MUST_CHECK int api_check_list(struct json_val val, uint32_t max_count, const char *name,
                              struct err *err);
