/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to base/json: walking JSON text without building anything. The skip functions trust that
 * jansson has accepted the text; the others make no assumption. Any thread; no state.
 */
#pragma once

#include <jansson.h>

#include "base/json/json.h"

/* Our opaque node is jansson's value under another name; these are the only casts. */
static inline json_t *json_to_jansson(const struct json *node)
{
    return (json_t *)(uintptr_t)node;
}

static inline struct json *json_from_jansson(const json_t *value)
{
    return (struct json *)(uintptr_t)value;
}

struct json_doc {
    const char *text; /* borrowed */
    size_t len;
    struct json *root;
};

/* Gives jansson its hash seed, once a process. Call before the first object is made. */
void json_seed_hash(void);

/* A byte range of the text. */
struct json_span {
    size_t begin_off;
    size_t end_off;
};

/* Offset of the first byte at or behind off that is not white space. */
size_t json_scan_space(const char *text, size_t len, size_t off);

/* Offset behind the string, or the value, that starts at off. Valid text only (len at the worst).
 */
size_t json_scan_string(const char *text, size_t len, size_t off);
size_t json_scan_value(const char *text, size_t len, size_t off);

/* Offset behind the bracket that is one too deep, or 0 when the nesting keeps to JSON_DEPTH_MAX.
 * Any bytes. */
size_t json_scan_depth(const char *text, size_t len);

/* The string or number token that ends at end_off; empty when there is none. Any bytes. */
struct json_span json_scan_token_ending(const char *text, size_t len, size_t end_off);

/* What a text that stops too early was in the middle of: "a value", "an object", "a list", "a
 * string". */
const char *json_scan_eof_context(const char *text, size_t len);

/* Appends " at line L column C" to a sentence made from fmt; the core of json_err_at. */
int json_err_at_text(const char *text, size_t off, struct err *err, int code, const char *fmt, ...)
    PRINTF_LIKE(5, 6);
