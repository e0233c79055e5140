/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Loader of --config-file (cli.md B): first the whole document gets its shape checked in document
 * order, then the sections are applied in the reference's order. Nothing reaches the caller unless
 * all of it is good. Thread: main.
 */
#include "vmm/app/config_file.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/decode.h"
#include "base/fd.h"
#include "base/json/json.h"
#include "vmm/config/cfg_fields.h"
#include "vmm/config/cfg_refusal.h"

#define UNKNOWN_KEYS_MAX_SIZE 512u /* text of the one warning about them */

/* Keys that are not objects of the VM but have a fate of their own. */
enum excluded {
    EXCLUDED_BALLOON,
    EXCLUDED_ENTROPY,
    EXCLUDED_PMEM,
    EXCLUDED_MEMORY_HOTPLUG,
    EXCLUDED_POLICY
};
#define EXCLUDED_COUNT (EXCLUDED_POLICY + 1)

/* A document that has the right shape and is not yet applied. */
struct draft {
    struct cfg_vm vm;         /* its drives and nics stay empty until they are applied */
    struct cfg_drive *drives; /* document order; heap, as long as the document's list */
    uint32_t drives_count;
    struct cfg_nic *nics; /* likewise */
    uint32_t nics_count;
    bool has_mmds;
    struct cfg_mmds mmds;
    char *cpu_template_path; /* cpu-config was a string */
    bool excluded[EXCLUDED_COUNT];
    char unknown_keys[UNKNOWN_KEYS_MAX_SIZE];
};

struct section {
    const struct cfg_object *object; /* whose key the section has; NULL: key */
    const char *key;                 /* decode_excluded only */
    /* Decodes the value into the draft. */
    int (*decode)(const struct section *section, struct json_val val, struct draft *draft,
                  struct err *err);
    size_t off;             /* bytes to the object in the draft; decode_single only */
    size_t has_off;         /* bytes to its "was given" in the draft; 0: none */
    enum excluded excluded; /* decode_excluded only */
    bool required;
};

static const char *const categories[] = {
    [APP_CONFIG_JSON] = "Invalid JSON: ",         [APP_CONFIG_LOGGER] = "Logger error: ",
    [APP_CONFIG_METRICS] = "Metrics error: ",     [APP_CONFIG_MACHINE] = "VM config error: ",
    [APP_CONFIG_FILE] = "File operation error: ", [APP_CONFIG_BOOT_SOURCE] = "Boot source error: ",
    [APP_CONFIG_DRIVE] = "Block device error: ",  [APP_CONFIG_NIC] = "Network device error: ",
    [APP_CONFIG_VSOCK] = "Vsock device error: ",  [APP_CONFIG_MMDS] = "MMDS config error: ",
    [APP_CONFIG_METADATA] = "MMDS error: ",       [APP_CONFIG_UNSUPPORTED] = CFG_UNSUPPORTED,
};
static_assert(ARRAY_LEN(categories) == APP_CONFIG_PARTS_COUNT, "one category a part");

static const char *const excluded_texts[] = {
    [EXCLUDED_BALLOON] = CFG_NO_BALLOON,   [EXCLUDED_ENTROPY] = CFG_NO_ENTROPY,
    [EXCLUDED_PMEM] = CFG_NO_PMEM,         [EXCLUDED_MEMORY_HOTPLUG] = CFG_NO_MEMORY_HOTPLUG,
    [EXCLUDED_POLICY] = CFG_NO_POLICY ".",
};
static_assert(ARRAY_LEN(excluded_texts) == EXCLUDED_COUNT, "one text an excluded key");

static int fail_with(const char *category, struct err *err)
{
    return err_prefix(err, "Configuration for VMM from one single json failed: %s", category);
}

int app_config_fail(enum app_config_part part, struct err *err)
{
    return fail_with(categories[part], err);
}

/* ------------------------------------------------------------------ shape: one function a kind of
 * section */

static int decode_single(const struct section *section, struct json_val val, struct draft *draft,
                         struct err *err)
{
    const bool given = true;

    if (json_kind(val) == JSON_KIND_NULL && !section->required)
        return 0;
    void *obj = (char *)draft + section->off;
    int ret = api_decode(section->object, val, obj, err);
    if (ret < 0)
        return ret;
    if (section->has_off != 0)
        memcpy((char *)draft + section->has_off, &given, sizeof(given));
    return 0;
}

/* An array of `object`, put one behind the other into *objs, which it allocates; *count says how
 * many are good, also after a failure. */
static int decode_array(const struct cfg_object *object, struct json_val val, void **objs,
                        uint32_t max_count, uint32_t *count, struct err *err)
{
    struct json_iter iter;
    struct json_item item;

    int ret = api_check_list(val, max_count, object->key, err);
    if (ret < 0)
        return ret;
    *objs = calloc(json_count(val) + 1, object->size); /* never of 0 bytes */
    if (!*objs)
        return cfg_fail_memory(err);
    json_iter_init(&iter, val);
    while (json_iter_next(&iter, &item)) {
        ret = api_decode(object, item.val, (char *)*objs + (size_t)*count * object->size, err);
        if (ret < 0)
            return ret;
        (*count)++;
    }
    return 0;
}

static int decode_drives(const struct section *section, struct json_val val, struct draft *draft,
                         struct err *err)
{
    void *drives = NULL;

    int ret =
        decode_array(section->object, val, &drives, CFG_DRIVES_MAX, &draft->drives_count, err);
    draft->drives = drives;
    return ret;
}

static int decode_nics(const struct section *section, struct json_val val, struct draft *draft,
                       struct err *err)
{
    void *nics = NULL;

    if (json_kind(val) == JSON_KIND_NULL)
        return 0;
    int ret = decode_array(section->object, val, &nics, CFG_NICS_MAX, &draft->nics_count, err);
    draft->nics = nics;
    return ret;
}

/* cpu-config: the template itself, or the path of a file that holds it. */
static int decode_cpu_template(const struct section *section, struct json_val val,
                               struct draft *draft, struct err *err)
{
    size_t len;

    if (json_kind(val) != JSON_KIND_STRING)
        return decode_single(section, val, draft, err);
    const char *path = json_as_text(val, &len);
    if (len > CFG_STRING_MAX_LEN || strlen(path) != len)
        return json_err_at(val.doc, val.end_off, err, -EINVAL,
                           "invalid value: string, expected a path");
    draft->cpu_template_path = strdup(path);
    return draft->cpu_template_path ? 0 : cfg_fail_memory(err);
}

/* null, and an empty list for what would be a list, say that the device is not wanted. */
static int decode_excluded(const struct section *section, struct json_val val, struct draft *draft,
                           struct err *err)
{
    bool unwanted = json_kind(val) == JSON_KIND_NULL;

    (void)err;
    if (section->excluded == EXCLUDED_PMEM && json_kind(val) == JSON_KIND_ARRAY &&
        json_count(val) == 0)
        unwanted = true;
    draft->excluded[section->excluded] = !unwanted;
    return 0;
}

#define SINGLE(member)                                                                             \
    .decode = decode_single, .object = &cfg_object_##member,                                       \
    .off = offsetof(struct draft, vm.member)
#define HAS(member) .has_off = offsetof(struct draft, vm.member)
#define EXCLUDED(name, which) .decode = decode_excluded, .key = (name), .excluded = (which)

static const struct section sections[] = {
    {SINGLE(boot_source), .required = true},
    {.decode = decode_drives, .object = &cfg_object_drive, .required = true},
    {SINGLE(machine)},
    {.decode = decode_cpu_template,
     .object = &cfg_object_cpu_template,
     .off = offsetof(struct draft, vm.cpu_template),
     HAS(has_cpu_template)},
    {.decode = decode_nics, .object = &cfg_object_nic},
    {SINGLE(vsock), HAS(has_vsock)},
    {.decode = decode_single,
     .object = &cfg_object_mmds,
     .off = offsetof(struct draft, mmds),
     .has_off = offsetof(struct draft, has_mmds)},
    {SINGLE(logger), HAS(has_logger)},
    {SINGLE(metrics), HAS(has_metrics)},
    {EXCLUDED("balloon", EXCLUDED_BALLOON)},
    {EXCLUDED("entropy", EXCLUDED_ENTROPY)},
    {EXCLUDED("pmem", EXCLUDED_PMEM)},
    {EXCLUDED("memory-hotplug", EXCLUDED_MEMORY_HOTPLUG)},
    {EXCLUDED("policy", EXCLUDED_POLICY)},
};

static const char *section_key(const struct section *section)
{
    return section->object ? section->object->key : section->key;
}

static void note_unknown_key(struct draft *draft, const char *key)
{
    char quoted[JSON_QUOTE_MAX_SIZE];
    size_t len = strlen(draft->unknown_keys);

    if (len + strlen(json_quote(key, strlen(key), quoted)) + sizeof("``, ...") >
        UNKNOWN_KEYS_MAX_SIZE) {
        if (len >= 3 && strcmp(draft->unknown_keys + len - 3, "...") != 0)
            memcpy(draft->unknown_keys + len, "...", sizeof("..."));
        return;
    }
    (void)snprintf(draft->unknown_keys + len, UNKNOWN_KEYS_MAX_SIZE - len, "%s`%s`",
                   len > 0 ? ", " : "", quoted);
}

/* Walks the top level in document order: the first mistake in the file is the one reported. */
static int decode_document(struct json_val root, struct draft *draft, struct err *err)
{
    struct json_iter iter;
    struct json_item item;
    bool seen[ARRAY_LEN(sections)] = {false};

    if (json_kind(root) != JSON_KIND_OBJECT)
        return api_fail_type(root, "struct VmmConfig", err);
    json_iter_init(&iter, root);
    while (json_iter_next(&iter, &item)) {
        size_t i = 0;
        while (i < ARRAY_LEN(sections) && strcmp(section_key(&sections[i]), item.key) != 0)
            i++;
        if (i == ARRAY_LEN(sections)) {
            note_unknown_key(draft, item.key);
            continue;
        }
        int ret = sections[i].decode(&sections[i], item.val, draft, err);
        if (ret < 0)
            return ret;
        seen[i] = true;
    }
    for (size_t i = 0; i < ARRAY_LEN(sections); i++) {
        if (sections[i].required && !seen[i])
            return json_err_at(root.doc, root.end_off, err, -EINVAL, "missing field `%s`",
                               section_key(&sections[i]));
    }
    return 0;
}

/* ------------------------------------------------------------------ application, in the order of
 * cli.md B */

static int apply_sinks(const struct draft *draft, const struct app_config_hooks *hooks,
                       struct err *err)
{
    const struct cfg_vm *vm = &draft->vm;
    const struct ctl_sinks *sinks = &hooks->sinks;

    if (draft->unknown_keys[0] != '\0' && hooks->unknown_keys)
        hooks->unknown_keys(hooks->ctx, draft->unknown_keys);
    if (vm->has_logger && sinks->logger && sinks->logger(sinks->ctx, &vm->logger, err) < 0)
        return app_config_fail(APP_CONFIG_LOGGER, err);
    if (vm->has_metrics && sinks->metrics && sinks->metrics(sinks->ctx, &vm->metrics, err) < 0)
        return app_config_fail(APP_CONFIG_METRICS, err);
    return 0;
}

static int apply_cpu_template(struct draft *draft, const struct app_config_hooks *hooks,
                              struct err *err)
{
    struct cfg_vm *vm = &draft->vm;
    char *text = NULL;
    size_t len = 0;
    int ret = 0;

    if (draft->cpu_template_path) {
        if (!hooks->template_read) {
            (void)err_set(err, -EOPNOTSUPP, "a CPU template by path cannot be read here");
            return app_config_fail(APP_CONFIG_FILE, err);
        }
        if (hooks->template_read(hooks->ctx, draft->cpu_template_path, &text, &len, err) < 0)
            return app_config_fail(APP_CONFIG_FILE, err);
        ret = api_decode_text(&cfg_object_cpu_template, text, len, APP_CPU_TEMPLATE_MAX_SIZE,
                              &vm->cpu_template, err);
        free(text);
        if (ret < 0)
            return app_config_fail(APP_CONFIG_JSON, err);
        vm->has_cpu_template = true;
    }
    if (vm->has_cpu_template) { /* the last writer wins; cpu-config is behind machine-config */
        vm->machine.has_cpu_template = false;
        vm->machine.cpu_template = CFG_TEMPLATE_NONE;
    }
    return 0;
}

static int apply_devices(struct draft *draft, struct err *err)
{
    struct cfg_vm *vm = &draft->vm;

    for (uint32_t i = 0; i < draft->drives_count; i++) {
        if (cfg_drive_validate(&draft->drives[i], err) < 0 ||
            cfg_drives_put(vm, &draft->drives[i], err) < 0)
            return app_config_fail(APP_CONFIG_DRIVE, err);
    }
    for (uint32_t i = 0; i < draft->nics_count; i++) {
        if (cfg_nic_validate(&draft->nics[i], err) < 0 ||
            cfg_nics_put(vm, &draft->nics[i], err) < 0)
            return app_config_fail(APP_CONFIG_NIC, err);
    }
    if (vm->has_vsock && cfg_vsock_validate(&vm->vsock, err) < 0)
        return app_config_fail(APP_CONFIG_VSOCK, err);
    return 0;
}

/* Behind the interfaces, of which it was no part while they were put. */
static int apply_mmds(struct draft *draft, struct err *err)
{
    struct cfg_vm *vm = &draft->vm;

    if (!draft->has_mmds)
        return 0;
    if (cfg_mmds_validate(&draft->mmds, err) < 0 || cfg_mmds_check_nics(&draft->mmds, vm, err) < 0)
        return app_config_fail(APP_CONFIG_MMDS, err);
    cfg_mmds_put(vm, &draft->mmds);
    return 0;
}

static int check_excluded(const struct draft *draft, enum excluded which, struct err *err)
{
    if (!draft->excluded[which])
        return 0;
    (void)err_set(err, -EOPNOTSUPP, "%s", excluded_texts[which]);
    return app_config_fail(APP_CONFIG_UNSUPPORTED, err);
}

static int apply_draft(struct draft *draft, const struct app_config_hooks *hooks, struct err *err)
{
    struct cfg_vm *vm = &draft->vm;

    int ret = apply_sinks(draft, hooks, err);
    if (ret < 0)
        return ret;
    if (cfg_machine_validate(&vm->machine, err) < 0)
        return app_config_fail(APP_CONFIG_MACHINE, err);
    ret = apply_cpu_template(draft, hooks, err);
    if (ret < 0)
        return ret;
    if (cfg_boot_source_validate(&vm->boot_source, err) < 0)
        return app_config_fail(APP_CONFIG_BOOT_SOURCE, err);
    ret = apply_devices(draft, err);
    if (ret < 0)
        return ret;
    ret = check_excluded(draft, EXCLUDED_BALLOON, err);
    if (ret < 0)
        return ret;
    ret = apply_mmds(draft, err);
    if (ret < 0)
        return ret;
    for (int which = EXCLUDED_ENTROPY; ret == 0 && which < EXCLUDED_COUNT; which++)
        ret = check_excluded(draft, (enum excluded)which, err);
    return ret;
}

/* ------------------------------------------------------------------ draft, entry points */

static void draft_free(struct draft *draft)
{
    for (uint32_t i = 0; i < draft->drives_count; i++)
        cfg_object_done(&cfg_object_drive, &draft->drives[i]);
    for (uint32_t i = 0; i < draft->nics_count; i++)
        cfg_object_done(&cfg_object_nic, &draft->nics[i]);
    cfg_vm_done(&draft->vm);
    cfg_object_done(&cfg_object_mmds, &draft->mmds);
    free(draft->drives);
    free(draft->nics);
    free(draft->cpu_template_path);
    free(draft);
}

int app_config_file_parse(const char *text, size_t len, const struct app_config_hooks *hooks,
                          struct cfg_vm *ret_vm, struct err *err)
{
    static const struct app_config_hooks no_hooks = {0};
    struct err scratch = ERR_INIT;
    struct json_doc *doc;

    if (!err)
        err = &scratch;
    if (json_parse(text, len, APP_CONFIG_FILE_MAX_SIZE, &doc, err) < 0)
        return app_config_fail(APP_CONFIG_JSON, err);
    struct draft *draft = calloc(1, sizeof(*draft));
    if (!draft) {
        json_free(doc);
        return cfg_fail_memory(err);
    }
    cfg_vm_init(&draft->vm);
    int ret = decode_document(json_root(doc), draft, err);
    json_free(doc);
    if (ret == CFG_NUL_ERROR)
        ret = fail_with("", err); /* the object's category is there */
    else if (ret < 0)
        ret = app_config_fail(APP_CONFIG_JSON, err);
    else
        ret = apply_draft(draft, hooks ? hooks : &no_hooks, err);
    if (ret == 0) {
        *ret_vm = draft->vm;
        cfg_vm_init(&draft->vm); /* its strings went to the caller */
    }
    draft_free(draft);
    return ret;
}

int app_config_file_read(const char *path, char **ret_text, size_t *ret_len, struct err *err)
{
    int ret = fd_read_file(path, APP_CONFIG_FILE_MAX_SIZE, ret_text, ret_len, err);

    if (ret < 0)
        return err_prefix(err, "Unable to open or read from the configuration file: ");
    return 0;
}

int app_config_file_load(const char *path, const struct app_config_hooks *hooks,
                         struct cfg_vm *ret_vm, struct err *err)
{
    char *text = NULL;
    size_t len = 0;

    int ret = app_config_file_read(path, &text, &len, err);
    if (ret < 0)
        return ret;
    ret = app_config_file_parse(text, len, hooks, ret_vm, err);
    free(text);
    return ret;
}

int app_config_template_read(void *ctx, const char *path, char **ret_text, size_t *ret_len,
                             struct err *err)
{
    (void)ctx;
    return fd_read_file(path, APP_CPU_TEMPLATE_MAX_SIZE, ret_text, ret_len, err);
}
