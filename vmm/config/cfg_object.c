/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Generic life of an object under its field table: defaults, access to members, release. Any
 * thread.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_fields.h"

/* What a type is called in sentences, its largest value, and its bytes as a plain number (0: not
 * one). */
static const struct {
    const char *text;
    uint64_t max;
    size_t width;
} types[] = {
    [CFG_TYPE_BOOL] = {"a boolean", 0, sizeof(bool)},
    [CFG_TYPE_U8] = {"u8", UINT8_MAX, 1},
    [CFG_TYPE_U16] = {"u16", UINT16_MAX, 2},
    [CFG_TYPE_U32] = {"u32", UINT32_MAX, 4},
    [CFG_TYPE_U64] = {"u64", UINT64_MAX, 8},
    [CFG_TYPE_USIZE] = {"usize", UINT64_MAX, 8},
    [CFG_TYPE_STRING] = {"a string", 0, 0},
    [CFG_TYPE_LOG_LEVEL] = {"a string", 0, 0},
    [CFG_TYPE_IPV4] = {"IPv4 address", 0, 0},
    [CFG_TYPE_TEXT_MAP] = {"a map", 0, 0},
    [CFG_TYPE_ENUM] = {"a variant name", 0, 4},
    [CFG_TYPE_MAC] = {"a string", 0, 0},
    [CFG_TYPE_NUMBER32] = {"a string", 0, 4},
    [CFG_TYPE_REGISTER] = {"a string", 0, 4},
    [CFG_TYPE_BITMAP32] = {"a string", 0, 0},
    [CFG_TYPE_BITMAP64] = {"a string", 0, 0},
    [CFG_TYPE_OBJECT] = {"a map", 0, 0},
    [CFG_TYPE_LIST] = {"a sequence", 0, 0},
};
static_assert(ARRAY_LEN(types) == CFG_TYPES_COUNT, "one row a type");

const char *cfg_type_text(enum cfg_type type)
{
    return types[type].text;
}

uint64_t cfg_type_max(enum cfg_type type)
{
    return types[type].max;
}

/* Little-endian hosts only (x86-64), so the low bytes of the number are the member. */
uint64_t cfg_field_load(const struct cfg_field *field, const void *obj)
{
    uint64_t value = 0;

    assert(types[field->type].width > 0);
    memcpy(&value, (const char *)obj + field->off, types[field->type].width);
    return value;
}

void cfg_field_store(const struct cfg_field *field, void *obj, uint64_t value)
{
    assert(types[field->type].width > 0);
    memcpy((char *)obj + field->off, &value, types[field->type].width);
}

bool cfg_field_has(const struct cfg_field *field, const void *obj)
{
    bool has = true;

    if (field->has_off != CFG_NO_OFF)
        memcpy(&has, (const char *)obj + field->has_off, sizeof(has));
    return has;
}

const struct cfg_field *cfg_object_find(const struct cfg_object *object, const char *name,
                                        uint32_t *ret_idx)
{
    for (uint32_t i = 0; i < object->fields_count; i++) {
        if (strcmp(object->fields[i].name, name) == 0) {
            *ret_idx = i;
            return &object->fields[i];
        }
    }
    return NULL;
}

bool cfg_type_is_text(enum cfg_type type)
{
    return type == CFG_TYPE_STRING || type == CFG_TYPE_LOG_LEVEL || type == CFG_TYPE_IPV4 ||
           type == CFG_TYPE_TEXT_MAP;
}

void cfg_object_init(const struct cfg_object *object, void *obj)
{
    memset(obj, 0, object->size);
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        if (field->type == CFG_TYPE_OBJECT)
            cfg_object_init(field->object, (char *)obj + field->off);
        else if (types[field->type].width > 0)
            cfg_field_store(field, obj, field->default_value);
    }
}

void cfg_object_done(const struct cfg_object *object, void *obj)
{
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        void *member = (char *)obj + field->off;
        if (field->type == CFG_TYPE_OBJECT) {
            cfg_object_done(field->object, member);
        } else if (field->type == CFG_TYPE_LIST && field->list->done) {
            field->list->done(obj);
        } else if (cfg_type_is_text(field->type)) {
            char *text;
            memcpy(&text, member, sizeof(text));
            free(text);
        }
    }
    cfg_object_init(object, obj);
}
