/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Configuration to bytes and back, by the field tables. Single thread.
 */
#include "snapshots/snap_config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "snapshots/format/snapf_code.h"
#include "vmm/config/cfg_fields.h"

#define MAC_SIZE 6u
#define STRINGS_MAX CFG_MMDS_NICS_MAX

/* ------------------------------------------------------------------ both ways */

static int code_object(struct snapf_code *code, const struct cfg_object *object, void *obj,
                       struct err *err);

/* A list of strings; the tables that are kept have no others. */
static int code_list(struct snapf_code *code, const struct cfg_list *list, void *owner,
                     struct err *err)
{
    uint32_t count = 0;
    int rc = 0;
    while (code->writes && list->text(owner, count))
        count++;
    snapf_u32_max(code, &count, STRINGS_MAX);
    for (uint32_t i = 0; rc == 0 && i < count && !code->bad; i++) {
        char *text = code->writes ? (char *)(uintptr_t)list->text(owner, i) : NULL;
        snapf_text(code, &text);
        if (code->writes)
            continue;
        if (text)
            rc = list->add(owner, text, err);
        else
            code->bad = true; /* a list has no element that is not there */
        free(text);
    }
    return rc;
}

static uint64_t number_max(const struct cfg_field *field)
{
    uint64_t max = cfg_type_max(field->type);
    if (field->type == CFG_TYPE_BOOL)
        return 1;
    for (uint32_t i = 0; field->type == CFG_TYPE_ENUM && field->enum_names[i]; i++)
        max = i;
    return max;
}

static void code_number(struct snapf_code *code, const struct cfg_field *field, void *obj)
{
    uint64_t value = code->writes ? cfg_field_load(field, obj) : 0;
    snapf_u64(code, &value);
    if (value > number_max(field))
        code->bad = true;
    else if (!code->writes)
        cfg_field_store(field, obj, value);
}

static void code_text(struct snapf_code *code, void *member)
{
    char *text;
    memcpy(&text, member, sizeof(text));
    if (!code->writes)
        free(text); /* a member that comes twice */
    snapf_text(code, &text);
    memcpy(member, &text, sizeof(text));
}

static int code_value(struct snapf_code *code, const struct cfg_field *field, void *obj,
                      struct err *err)
{
    void *member = (char *)obj + field->off;
    if (field->type == CFG_TYPE_OBJECT)
        return code_object(code, field->object, member, err);
    if (field->type == CFG_TYPE_LIST)
        return code_list(code, field->list, obj, err);
    if (field->type == CFG_TYPE_MAC)
        snapf_bytes(code, member, MAC_SIZE);
    else if (cfg_type_is_text(field->type))
        code_text(code, member);
    else
        code_number(code, field, obj);
    return 0;
}

/* Was it given? Then its value follows. */
static int code_member(struct snapf_code *code, const struct cfg_field *field, void *obj,
                       struct err *err)
{
    if (field->has_off != CFG_NO_OFF) {
        bool has = cfg_field_has(field, obj);
        snapf_bool(code, &has);
        memcpy((char *)obj + field->has_off, &has, sizeof(has));
        if (!has)
            return 0;
    }
    return code_value(code, field, obj, err);
}

static int read_member(struct snapf_code *code, const struct cfg_object *object, void *obj,
                       struct err *err)
{
    char *name = NULL;
    uint32_t idx;
    snapf_text(code, &name);
    const struct cfg_field *field = name ? cfg_object_find(object, name, &idx) : NULL;
    int rc = 0;
    if (field)
        rc = code_member(code, field, obj, err);
    else
        rc = err_set(err, -EINVAL, "%s has a member that this build does not know", object->name);
    free(name);
    return rc;
}

static int code_object(struct snapf_code *code, const struct cfg_object *object, void *obj,
                       struct err *err)
{
    uint32_t count = object->fields_count;
    int rc = 0;
    snapf_u32_max(code, &count, CFG_FIELDS_MAX);
    for (uint32_t i = 0; rc == 0 && i < count && !code->bad; i++) {
        if (!code->writes) {
            rc = read_member(code, object, obj, err);
            continue;
        }
        char *name = (char *)(uintptr_t)object->fields[i].name;
        snapf_text(code, &name);
        rc = code_member(code, &object->fields[i], obj, err);
    }
    return rc;
}

/* ------------------------------------------------------------------ out */

/* The code only reads what it writes out. */
static int write_object(struct snapf_code *code, const struct cfg_object *object, const void *obj,
                        struct err *err)
{
    return code_object(code, object, (void *)(uintptr_t)obj, err);
}

static int write_all(struct snapf_code *code, const struct cfg_vm *config, struct err *err)
{
    uint32_t drives_count = config->drives_count;
    uint32_t nics_count = config->nics_count;
    bool has_vsock = config->has_vsock;
    bool has_mmds = config->has_mmds;
    int rc = write_object(code, &cfg_object_machine, &config->machine, err);
    if (rc == 0)
        rc = write_object(code, &cfg_object_boot_source, &config->boot_source, err);
    snapf_u32(code, &drives_count);
    for (uint32_t i = 0; rc == 0 && i < drives_count; i++)
        rc = write_object(code, &cfg_object_drive, &config->drives[i], err);
    snapf_u32(code, &nics_count);
    for (uint32_t i = 0; rc == 0 && i < nics_count; i++)
        rc = write_object(code, &cfg_object_nic, &config->nics[i], err);
    snapf_bool(code, &has_vsock);
    if (rc == 0 && has_vsock)
        rc = write_object(code, &cfg_object_vsock, &config->vsock, err);
    snapf_bool(code, &has_mmds);
    if (rc == 0 && has_mmds)
        rc = write_object(code, &cfg_object_mmds, &config->mmds, err);
    return rc;
}

int snap_config_encode(const struct cfg_vm *config, uint8_t **ret_bytes, size_t *ret_len,
                       struct err *err)
{
    struct snapf_code code;
    snapf_code_write(&code);
    int rc = write_all(&code, config, err);
    if (rc == 0)
        rc = snapf_code_written(&code, err);
    if (rc < 0) {
        snapf_code_done(&code);
        return err_prefix(err, "configuration: ");
    }
    *ret_bytes = code.out;
    *ret_len = code.off;
    return 0;
}

/* ------------------------------------------------------------------ in */

/* Does the object have every text that it must have? */
static bool is_whole(const struct cfg_object *object, const void *obj)
{
    bool whole = true;
    for (uint32_t i = 0; i < object->fields_count; i++) {
        const struct cfg_field *field = &object->fields[i];
        const char *member = (const char *)obj + field->off;
        if (field->flags & CFG_REQUIRED && cfg_type_is_text(field->type)) {
            char *text;
            memcpy(&text, member, sizeof(text));
            whole &= text != NULL;
        }
    }
    return whole;
}

static int read_object(struct snapf_code *code, const struct cfg_object *object, void *obj,
                       struct err *err)
{
    cfg_object_init(object, obj);
    int rc = code_object(code, object, obj, err);
    if (rc == 0 && (code->bad || !is_whole(object, obj)))
        rc = err_set(err, -EINVAL, "%s is cut off, or has a value that it cannot have",
                     object->name);
    return rc;
}

static int read_drive(struct snapf_code *code, struct cfg_vm *config, struct err *err)
{
    struct cfg_drive drive;
    int rc = read_object(code, &cfg_object_drive, &drive, err);
    if (rc == 0)
        rc = cfg_drive_validate(&drive, err);
    if (rc == 0)
        rc = cfg_drives_put(config, &drive, err);
    cfg_object_done(&cfg_object_drive, &drive); /* what was put is empty */
    return rc;
}

static int read_nic(struct snapf_code *code, struct cfg_vm *config, struct err *err)
{
    struct cfg_nic nic;
    int rc = read_object(code, &cfg_object_nic, &nic, err);
    if (rc == 0)
        rc = cfg_nic_validate(&nic, err);
    if (rc == 0)
        rc = cfg_nics_put(config, &nic, err);
    cfg_object_done(&cfg_object_nic, &nic);
    return rc;
}

static int read_vsock(struct snapf_code *code, struct cfg_vm *config, struct err *err)
{
    snapf_bool(code, &config->has_vsock);
    if (!config->has_vsock)
        return 0;
    int rc = read_object(code, &cfg_object_vsock, &config->vsock, err);
    return rc < 0 ? rc : cfg_vsock_validate(&config->vsock, err);
}

static int read_mmds(struct snapf_code *code, struct cfg_vm *config, struct err *err)
{
    struct cfg_mmds mmds;
    bool has_mmds = false;
    snapf_bool(code, &has_mmds);
    if (!has_mmds)
        return 0;
    int rc = read_object(code, &cfg_object_mmds, &mmds, err);
    if (rc == 0)
        rc = cfg_mmds_validate(&mmds, err);
    if (rc == 0)
        rc = cfg_mmds_check_nics(&mmds, config, err);
    if (rc == 0)
        cfg_mmds_put(config, &mmds);
    cfg_object_done(&cfg_object_mmds, &mmds);
    return rc;
}

static int read_all(struct snapf_code *code, struct cfg_vm *config, struct err *err)
{
    uint32_t count = 0;
    int rc = read_object(code, &cfg_object_machine, &config->machine, err);
    if (rc == 0)
        rc = cfg_machine_validate(&config->machine, err);
    if (rc == 0)
        rc = read_object(code, &cfg_object_boot_source, &config->boot_source, err);
    snapf_u32_max(code, &count, CFG_DRIVES_MAX);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = read_drive(code, config, err);
    snapf_u32_max(code, &count, CFG_NICS_MAX);
    for (uint32_t i = 0; rc == 0 && i < count; i++)
        rc = read_nic(code, config, err);
    if (rc == 0)
        rc = read_vsock(code, config, err);
    if (rc == 0)
        rc = read_mmds(code, config, err);
    if (rc == 0 && (code->bad || code->off != code->in_len))
        rc = err_set(err, -EINVAL, "it is cut off, or something follows it");
    return rc;
}

int snap_config_decode(const uint8_t *bytes, size_t len, struct cfg_vm *ret_config, struct err *err)
{
    struct snapf_code code;
    snapf_code_read(&code, bytes, len, 0);
    cfg_vm_init(ret_config);
    int rc = read_all(&code, ret_config, err);
    if (rc < 0) {
        cfg_vm_done(ret_config);
        return err_prefix(err, "configuration: ");
    }
    return 0;
}
