/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Values without their text: access and merging (RFC 7396). Recursion is bounded by what json_parse
 * lets in. Any thread; no state.
 */
#include "base/json/json_value.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_int.h"

struct json *json_take(struct json_doc *doc)
{
    struct json *root = doc->root;

    free(doc);
    return root;
}

enum json_kind json_value_kind(const struct json *value)
{
    switch (json_typeof(json_to_jansson(value))) {
    case JSON_OBJECT:
        return JSON_KIND_OBJECT;
    case JSON_ARRAY:
        return JSON_KIND_ARRAY;
    case JSON_STRING:
        return JSON_KIND_STRING;
    case JSON_INTEGER:
        return JSON_KIND_INT;
    case JSON_REAL:
        return JSON_KIND_REAL;
    case JSON_TRUE:
    case JSON_FALSE:
        return JSON_KIND_BOOL;
    case JSON_NULL:
        break;
    }
    return JSON_KIND_NULL;
}

const char *json_value_text(const struct json *value, size_t *ret_len)
{
    assert(json_value_kind(value) == JSON_KIND_STRING);
    *ret_len = json_string_length(json_to_jansson(value));
    return json_string_value(json_to_jansson(value));
}

const struct json *json_value_member(const struct json *object, const char *key, size_t key_len)
{
    return json_from_jansson(json_object_getn(json_to_jansson(object), key, key_len));
}

const struct json *json_value_element(const struct json *array, size_t idx)
{
    return json_from_jansson(json_array_get(json_to_jansson(array), idx));
}

size_t json_value_count(const struct json *value)
{
    const json_t *node = json_to_jansson(value);

    return json_is_object(node) ? json_object_size(node) : json_array_size(node);
}

static int compare_keys(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

int json_value_keys(const struct json *object, const char ***ret_keys, size_t *ret_count)
{
    json_t *node = json_to_jansson(object);
    const char **keys;
    const char *key;
    json_t *member;
    size_t count = 0;

    assert(json_is_object(node));
    keys = calloc(json_object_size(node) + 1, sizeof(*keys));
    if (!keys)
        return -ENOMEM;
    json_object_foreach(node, key, member) keys[count++] = key;
    qsort(keys, count, sizeof(*keys), compare_keys);
    *ret_keys = keys;
    *ret_count = count;
    return 0;
}

/* What `patch` makes of `target`, which the caller gives up; NULL: none, or no memory. Returns a
 * new reference or NULL. */
static json_t *merge(json_t *target, json_t *patch)
{
    const char *key;
    json_t *member;

    if (!json_is_object(patch)) {
        json_decref(target);
        return json_incref(patch);
    }
    if (!json_is_object(target)) {
        json_decref(target);
        target = json_object();
    }
    json_object_foreach(patch, key, member)
    {
        if (json_is_null(member)) {
            (void)json_object_del(target, key); /* none of that key is fine */
            continue;
        }
        json_t *merged = merge(json_incref(json_object_get(target, key)), member);
        if (json_object_set_new(target, key, merged) < 0) { /* refuses NULL too */
            json_decref(target);
            return NULL;
        }
    }
    return target;
}

int json_merge(const struct json *target, const struct json *patch, struct json **ret_new)
{
    json_t *copy = NULL;
    json_t *merged;

    json_seed_hash();
    if (target && json_is_object(json_to_jansson(patch))) {
        copy = json_deep_copy(json_to_jansson(target));
        if (!copy)
            return -ENOMEM;
    }
    merged = merge(copy, json_to_jansson(patch));
    if (!merged)
        return -ENOMEM;
    *ret_new = json_from_jansson(merged);
    return 0;
}
