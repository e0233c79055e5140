/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Building JSON values and rendering them compactly (api.md 1.3: no spaces, members in the order
 * put). Any thread; a value belongs to one thread at a time.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/json/json_int.h"

struct json *json_new_null(void)
{
    return json_from_jansson(json_null());
}

struct json *json_new_bool(bool value)
{
    return json_from_jansson(json_boolean(value));
}

struct json *json_new_uint(uint64_t value)
{
    if (value > INT64_MAX)
        return NULL;
    return json_from_jansson(json_integer((json_int_t)value));
}

struct json *json_new_text(const char *text)
{
    return json_from_jansson(json_string(text));
}

struct json *json_new_array(void)
{
    return json_from_jansson(json_array());
}

struct json *json_new_object(void)
{
    json_seed_hash();
    return json_from_jansson(json_object());
}

int json_put(struct json *object, const char *key, struct json *value)
{
    /* jansson drops the value itself when it cannot take it, and refuses NULL. */
    return json_object_set_new(json_to_jansson(object), key, json_to_jansson(value)) == 0 ? 0
                                                                                          : -ENOMEM;
}

int json_append(struct json *array, struct json *value)
{
    return json_array_append_new(json_to_jansson(array), json_to_jansson(value)) == 0 ? 0 : -ENOMEM;
}

void json_drop(struct json *value)
{
    json_decref(json_to_jansson(value));
}

int json_render(const struct json *value, char **ret_text, size_t *ret_len)
{
    char *text = json_dumps(json_to_jansson(value), JSON_COMPACT | JSON_ENCODE_ANY);
    if (!text)
        return -ENOMEM;
    *ret_text = text;
    *ret_len = strlen(text);
    return 0;
}
