/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values that outlive the text they were parsed from: looked up, merged (RFC 7396), rendered with
 * sorted keys as the reference does. Any thread; a value belongs to one thread at a time.
 */
#pragma once

#include "base/json/json.h"

/* The outermost value, the caller's from now on (json_drop); frees the rest of the document. Its
 * "-0" is the integer 0. */
struct json *json_take(struct json_doc *doc);

/* Kind of a value. */
enum json_kind json_value_kind(const struct json *value);

/* UTF-8 of a string (asserted), NUL-terminated; may hold NUL characters. Borrowed. */
const char *json_value_text(const struct json *value, size_t *ret_len);

/* The member of that key, or the element of that index; NULL: no such, or no such container.
 * Borrowed. */
const struct json *json_value_member(const struct json *object, const char *key, size_t key_len);
const struct json *json_value_element(const struct json *array, size_t idx);

/* How many members an object has, elements an array; 0 for others. */
size_t json_value_count(const struct json *value);

/* Keys of an object (asserted) in the order of their bytes. Borrowed texts in an array that the
 * caller frees, never NULL on success. Returns 0 or -ENOMEM. */
MUST_CHECK int json_value_keys(const struct json *object, const char ***ret_keys,
                               size_t *ret_count);

/*
 * RFC 7396: what becomes of `target` (NULL: there is none) by `patch`. Neither is changed; ret_new
 * may share parts with them and is the caller's (json_drop). Returns 0 or -ENOMEM.
 */
MUST_CHECK int json_merge(const struct json *target, const struct json *patch,
                          struct json **ret_new);

/*
 * Compact text with sorted keys; escapes and floating point numbers as the reference writes them.
 * ret_text: NUL-terminated, the caller frees. Returns 0 or -ENOMEM.
 */
MUST_CHECK int json_render_sorted(const struct json *value, char **ret_text, size_t *ret_len);
