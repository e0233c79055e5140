/* SPDX-License-Identifier: Apache-2.0 */
/*
 * JSON: strict parsing with limits, typed access with byte positions, compact rendering. The only
 * user of jansson. Error sentences follow api.md 4 and end in " at line L column C". Any thread; a
 * document belongs to one thread at a time.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define JSON_DEPTH_MAX 128u      /* nested arrays and objects */
#define JSON_QUOTE_MAX_SIZE 200u /* room for a quoted, cut piece of outside text */
#define JSON_QUOTE_MAX_LEN 128u  /* bytes of outside text that a sentence shows */

/* One JSON value in memory; opaque. */
struct json;

/* A parsed document; opaque. Borrows the text it was parsed from. */
struct json_doc;

enum json_kind {
    JSON_KIND_NULL,
    JSON_KIND_BOOL,
    JSON_KIND_INT,
    JSON_KIND_REAL,
    JSON_KIND_STRING,
    JSON_KIND_ARRAY,
    JSON_KIND_OBJECT,
};

/* A value inside a document, with its place in the text. Borrowed: lives with the document. */
struct json_val {
    const struct json_doc *doc;
    const struct json *node;
    size_t begin_off; /* bytes before its first byte */
    size_t end_off;   /* bytes up to and with its last byte */
};

/* One member of an object or element of an array. Borrowed as struct json_val. */
struct json_item {
    const char *key;    /* NUL-terminated, no NUL inside; NULL in an array */
    size_t key_end_off; /* bytes up to and with the closing quote of the key; 0 in an array */
    struct json_val val;
};

/* Walks an object or array in document order. */
struct json_iter {
    struct json_val of;
    size_t off;   /* next unread byte of the text */
    void *member; /* jansson's position in an object */
    size_t idx;   /* next element of an array */
};

/*
 * Parses a whole text: one value, nothing but white space around it. Refused: more than max_size
 * bytes, depth above JSON_DEPTH_MAX, duplicate keys, integers from 2^63 up or below -2^63, invalid
 * UTF-8, NUL in a key, trailing bytes, a byte order mark. text: need not end in NUL; must outlive
 * the document. ret_doc: the caller frees with json_free. Returns 0, -EINVAL, -EFBIG (larger than
 * max_size) or -ENOMEM.
 */
MUST_CHECK int json_parse(const char *text, size_t len, size_t max_size, struct json_doc **ret_doc,
                          struct err *err);

/* Releases a document; NULL is fine. */
void json_free(struct json_doc *doc);

/* The outermost value. */
struct json_val json_root(const struct json_doc *doc);

/* Kind of a value; the integer lexeme "-0" counts as a real, as in the reference. */
enum json_kind json_kind(struct json_val val);

/* Contents of a value of that kind (asserted). json_as_text: UTF-8, NUL-terminated; may hold NUL
 * characters when *ret_len differs from its strlen. */
bool json_as_bool(struct json_val val);
int64_t json_as_int(struct json_val val);
const char *json_as_text(struct json_val val, size_t *ret_len);

/* Bytes up to the value's end, the white space behind it and, when that comes next, the bracket
 * that closes the container: where the reference stands when it checks a text it has read. */
size_t json_close_off(struct json_val val);

/* Members of an object or elements of an array; 0 for any other value. */
size_t json_count(struct json_val val);

/* Starts a walk over an object or array (asserted). */
void json_iter_init(struct json_iter *iter, struct json_val of);

/* Yields true with the next item, or false at the end. */
bool json_iter_next(struct json_iter *iter, struct json_item *ret_item);

/*
 * Sets err to the sentence and " at line L column C", where the position is that of a reader which
 * has taken `off` bytes of the text (columns count bytes). Returns code.
 */
int json_err_at(const struct json_doc *doc, size_t off, struct err *err, int code, const char *fmt,
                ...) PRINTF_LIKE(5, 6);

/* Of files in JSON that are Mayfly's own: a value is not what `expected` says; a member is not
 * among those of `known`, a list for people. Both set err and return -EINVAL. */
int json_err_unexpected(struct json_val val, struct err *err, const char *expected);
int json_err_unknown(const struct json_item *item, struct err *err, const char *known);

/*
 * Outside text made fit for a sentence: control characters, quote and backslash escaped, cut behind
 * JSON_QUOTE_MAX_LEN bytes with "...". Returns buf.
 */
const char *json_quote(const char *text, size_t len, char buf[static JSON_QUOTE_MAX_SIZE]);

/* The source text of a value (numbers keep their spelling), as json_quote does. Returns buf. */
const char *json_quote_lexeme(struct json_val val, char buf[static JSON_QUOTE_MAX_SIZE]);

/*
 * Values for rendering. Each json_new_* returns a value that the caller owns, or NULL (no memory;
 * for text also invalid UTF-8; for an integer also above 2^63 - 1).
 */
struct json *json_new_null(void);
struct json *json_new_bool(bool value);
struct json *json_new_uint(uint64_t value);
struct json *json_new_text(const char *text);
struct json *json_new_array(void);
struct json *json_new_object(void);

/* Adds a member or element and takes over `value`, also on failure. value NULL is a failure, so
 * that calls nest. Returns 0 or -ENOMEM. */
MUST_CHECK int json_put(struct json *object, const char *key, struct json *value);
MUST_CHECK int json_append(struct json *array, struct json *value);

/* Releases a value made by json_new_*; NULL is fine. */
void json_drop(struct json *value);

/* Compact text, members in the order they were put. ret_text: NUL-terminated, the caller frees.
 * Returns 0 or -ENOMEM. */
MUST_CHECK int json_render(const struct json *value, char **ret_text, size_t *ret_len);
