/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Parts of the document: RFC 6901 pointers, and the text form of EC2's service. Any thread; no
 * state. Spec: mmds.md 6.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/ck.h"
#include "devices/mmds/mmds_int.h"

/* Undoes ~1 and ~0. Returns the length. */
static size_t unescape(const char *piece, size_t len, char buf[static MMDS_REQUEST_MAX_SIZE])
{
    size_t used = 0;

    for (size_t i = 0; i < len; i++) {
        char c = piece[i];
        if (c == '~' && i + 1 < len && (piece[i + 1] == '0' || piece[i + 1] == '1'))
            c = piece[++i] == '0' ? '~' : '/';
        buf[used++] = c;
    }
    return used;
}

/* An index has no sign and no zeros in front. */
static bool index_of(const char *text, size_t len, size_t *ret_idx)
{
    size_t idx = 0;

    if (len == 0 || (len > 1 && text[0] == '0'))
        return false;
    for (size_t i = 0; i < len; i++) {
        if (text[i] < '0' || text[i] > '9' || !ck_mul(idx, 10u, &idx) ||
            !ck_add(idx, (size_t)(text[i] - '0'), &idx))
            return false;
    }
    *ret_idx = idx;
    return true;
}

static const struct json *step(const struct json *value, const char *piece, size_t len)
{
    char key[MMDS_REQUEST_MAX_SIZE];
    size_t idx;

    if (len > sizeof(key))
        return NULL;
    size_t key_len = unescape(piece, len, key);
    if (json_value_kind(value) == JSON_KIND_OBJECT)
        return json_value_member(value, key, key_len);
    return index_of(key, key_len, &idx) ? json_value_element(value, idx) : NULL;
}

const struct json *mmds_find(const struct json *root, const char *path, size_t len)
{
    const struct json *value = root;
    size_t off = 0;

    if (len > 0 && path[len - 1] == '/')
        len--;
    while (value && off < len) {
        if (path[off] != '/')
            return NULL;
        const char *piece = path + off + 1;
        const char *end = memchr(piece, '/', len - off - 1);
        size_t piece_len = end ? (size_t)(end - piece) : len - off - 1;
        value = step(value, piece, piece_len);
        off += 1 + piece_len;
    }
    return value;
}

static int copy_text(const struct json *value, char **ret_text, size_t *ret_len)
{
    size_t len;
    const char *text = json_value_text(value, &len);
    char *copy = malloc(len + 1);

    if (!copy)
        return -ENOMEM;
    memcpy(copy, text, len + 1);
    *ret_text = copy;
    *ret_len = len;
    return 0;
}

/* The keys, one a line, with a slash behind those that have keys themselves. */
static int list_keys(const struct json *object, char **ret_text, size_t *ret_len)
{
    const char **keys;
    size_t count;
    size_t len = 0;
    size_t used = 0;

    if (json_value_keys(object, &keys, &count) < 0)
        return -ENOMEM;
    for (size_t i = 0; i < count; i++)
        len += strlen(keys[i]) + 2; /* slash, line feed */
    char *text = malloc(len + 1);
    for (size_t i = 0; text && i < count; i++) {
        size_t key_len = strlen(keys[i]);
        const struct json *member = json_value_member(object, keys[i], key_len);
        if (i > 0)
            text[used++] = '\n';
        memcpy(text + used, keys[i], key_len);
        used += key_len;
        if (member && json_value_kind(member) == JSON_KIND_OBJECT)
            text[used++] = '/';
    }
    free(keys);
    if (!text)
        return -ENOMEM;
    text[used] = '\0';
    *ret_text = text;
    *ret_len = used;
    return 0;
}

int mmds_imds_render(const struct json *value, char **ret_text, size_t *ret_len)
{
    switch (json_value_kind(value)) {
    case JSON_KIND_OBJECT:
        return list_keys(value, ret_text, ret_len);
    case JSON_KIND_STRING:
        return copy_text(value, ret_text, ret_len);
    case JSON_KIND_NULL:
    case JSON_KIND_BOOL:
    case JSON_KIND_INT:
    case JSON_KIND_REAL:
    case JSON_KIND_ARRAY:
        break;
    }
    return -EOPNOTSUPP;
}
