/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The renderer (api.md 6 "echo form", 7, 8). A failed step leaves NULL in the value, which json_put
 * and json_append refuse, so that one check at the end of each object is enough. Thread: any; no
 * state.
 */
#include "api/render.h"

#include <errno.h>
#include <string.h>

#include "vmm/config/cfg_text.h"

static struct json *render_text(const struct cfg_field *field, const void *obj)
{
    const char *text;

    memcpy(&text, (const char *)obj + field->off, sizeof(text));
    if (!text)
        text = field->default_text;
    if (!text && (field->flags & CFG_NULLABLE))
        return json_new_null();
    return json_new_text(text ? text : "");
}

static struct json *render_list(const struct cfg_field *field, const void *owner)
{
    struct json *array = json_new_array();
    const char *text;

    for (uint32_t i = 0; array && (text = field->list->text(owner, i)); i++) {
        if (json_append(array, json_new_text(text)) < 0) {
            json_drop(array);
            return NULL;
        }
    }
    return array;
}

static struct json *render_field(const struct cfg_field *field, const void *obj)
{
    const char *member = (const char *)obj + field->off;
    char mac[CFG_MAC_TEXT_SIZE];

    if (!cfg_field_has(field, obj))
        return json_new_null();
    switch (field->type) {
    case CFG_TYPE_BOOL:
        return json_new_bool(cfg_field_load(field, obj));
    case CFG_TYPE_U8:
    case CFG_TYPE_U16:
    case CFG_TYPE_U32:
    case CFG_TYPE_U64:
    case CFG_TYPE_USIZE:
        /* An optional number without a "was given" member says absent by 0. */
        if ((field->flags & CFG_NULLABLE) && field->has_off == CFG_NO_OFF &&
            cfg_field_load(field, obj) == 0)
            return json_new_null();
        return json_new_uint(cfg_field_load(field, obj));
    case CFG_TYPE_STRING:
    case CFG_TYPE_LOG_LEVEL:
    case CFG_TYPE_IPV4:
        return render_text(field, obj);
    case CFG_TYPE_ENUM:
        return json_new_text(field->enum_names[cfg_field_load(field, obj)]);
    case CFG_TYPE_MAC:
        return json_new_text(cfg_mac_text((const uint8_t *)member, mac));
    case CFG_TYPE_OBJECT:
        return api_render_value(field->object, member);
    case CFG_TYPE_LIST:
        return render_list(field, obj);
    case CFG_TYPE_TEXT_MAP: /* the metrics' properties, which are not shown either */
    case CFG_TYPE_NUMBER32:
    case CFG_TYPE_REGISTER:
    case CFG_TYPE_BITMAP32:
    case CFG_TYPE_BITMAP64:
        break; /* inside a CPU template, which is never shown */
    }
    return NULL;
}

static bool is_shown(const struct cfg_field *field, const void *obj)
{
    if (field->flags & CFG_NO_RENDER)
        return false;
    if (!(field->flags & CFG_OMIT_DEFAULT))
        return true;
    return cfg_field_has(field, obj) && cfg_field_load(field, obj) != field->default_value;
}

struct json *api_render_value(const struct cfg_object *object, const void *obj)
{
    if (object->is_void && object->is_void(obj))
        return json_new_null();
    struct json *value = json_new_object();
    for (uint32_t i = 0; value && i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        if (is_shown(field, obj) && json_put(value, field->name, render_field(field, obj)) < 0) {
            json_drop(value);
            return NULL;
        }
    }
    return value;
}

int api_render_drop(struct json *value, int put_ret, char **ret_text, size_t *ret_len)
{
    if (!value)
        return -ENOMEM;
    int ret = put_ret < 0 ? -ENOMEM : json_render(value, ret_text, ret_len);
    json_drop(value);
    return ret;
}

int api_render_object(const struct cfg_object *object, const void *obj, char **ret_text,
                      size_t *ret_len)
{
    return api_render_drop(api_render_value(object, obj), 0, ret_text, ret_len);
}

/* count structs of one table, one behind the other. */
static struct json *render_array(const struct cfg_object *object, const void *objs, uint32_t count)
{
    struct json *array = json_new_array();

    for (uint32_t i = 0; array && i < count; i++) {
        const void *obj = (const char *)objs + (size_t)i * object->size;
        if (json_append(array, api_render_value(object, obj)) < 0) {
            json_drop(array);
            return NULL;
        }
    }
    return array;
}

/* A section under its key; null without it. */
static int put_object(struct json *root, bool has, const struct cfg_object *object, const void *obj)
{
    return json_put(root, object->key, has ? api_render_value(object, obj) : json_new_null());
}

static int put_array(struct json *root, const struct cfg_object *object, const void *objs,
                     uint32_t count)
{
    return json_put(root, object->key, render_array(object, objs, count));
}

int api_render_vm(const struct cfg_vm *vm, char **ret_text, size_t *ret_len)
{
    struct json *root = json_new_object();
    if (!root)
        return -ENOMEM;

    int ret = json_put(root, "balloon", json_new_null());
    ret |= put_array(root, &cfg_object_drive, vm->drives, vm->drives_count);
    ret |= put_object(root, true, &cfg_object_boot_source, &vm->boot_source);
    ret |= put_object(root, false, &cfg_object_cpu_template, NULL);
    ret |= put_object(root, false, &cfg_object_logger, NULL);
    ret |= put_object(root, true, &cfg_object_machine, &vm->machine);
    ret |= put_object(root, false, &cfg_object_metrics, NULL);
    ret |= put_object(root, vm->has_mmds, &cfg_object_mmds, &vm->mmds);
    ret |= put_array(root, &cfg_object_nic, vm->nics, vm->nics_count);
    ret |= put_object(root, vm->has_vsock, &cfg_object_vsock, &vm->vsock);
    ret |= json_put(root, "entropy", json_new_null());
    ret |= json_put(root, "pmem", json_new_array());
    ret |= json_put(root, "memory-hotplug", json_new_null());
    return api_render_drop(root, ret, ret_text, ret_len);
}
