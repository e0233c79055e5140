/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The arrays inside objects (struct cfg_list). Thread: the one that builds the config.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_lists_int.h"

/* Elements of one "modifiers" array: four registers exist, repetition is legal. */
#define REGISTER_MODIFIERS_MAX 64u

int cfg_fail_full(struct err *err, const char *what, unsigned max)
{
    return err_set(err, -ENOSPC, "too many %s: at most %u are accepted", what, max);
}

/* ------------------------------------------------------------------ interfaces of MMDS */

static int mmds_nics_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_mmds *mmds = owner;

    if (mmds->network_interfaces_count == CFG_MMDS_NICS_MAX)
        return cfg_fail_full(err, "network interfaces", CFG_MMDS_NICS_MAX);
    char *id = strdup(elem);
    if (!id)
        return cfg_fail_memory(err);
    mmds->network_interfaces[mmds->network_interfaces_count++] = id;
    return 0;
}

static void mmds_nics_done(void *owner)
{
    struct cfg_mmds *mmds = owner;

    while (mmds->network_interfaces_count > 0)
        free(mmds->network_interfaces[--mmds->network_interfaces_count]);
}

static const char *mmds_nics_text(const void *owner, uint32_t idx)
{
    const struct cfg_mmds *mmds = owner;

    return idx < mmds->network_interfaces_count ? mmds->network_interfaces[idx] : NULL;
}

const struct cfg_list cfg_list_mmds_nics = {
    .max_count = CFG_MMDS_NICS_MAX,
    .add = mmds_nics_add,
    .done = mmds_nics_done,
    .text = mmds_nics_text,
};

/* ------------------------------------------------------------------ cpu-config */

static int capabilities_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_cpu_template *tmpl = owner;
    struct cfg_capability capability;

    int ret = cfg_capability_parse(elem, &capability, err);
    if (ret < 0)
        return ret;
    if (tmpl->caps_count == CFG_CAPABILITIES_MAX)
        return cfg_fail_full(err, "KVM capabilities", CFG_CAPABILITIES_MAX);
    tmpl->caps[tmpl->caps_count++] = capability;
    return 0;
}

const struct cfg_list cfg_list_capabilities = {
    .max_count = CFG_CAPABILITIES_MAX,
    .add = capabilities_add,
};

static int registers_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_cpuid_modifier *cpuid = owner;
    const struct cfg_register_modifier *modifier = elem;

    if (modifier->reg >= ARRAY_LEN(cpuid->mask))
        return err_set(err, -EINVAL, "CPUID register %u does not exist", modifier->reg);
    /* Later elements win where both force a bit, as if applied one behind the other. */
    uint32_t kept = cpuid->value[modifier->reg] & ~modifier->bitmap.mask;
    cpuid->value[modifier->reg] = kept | modifier->bitmap.value;
    cpuid->mask[modifier->reg] |= modifier->bitmap.mask;
    return 0;
}

const struct cfg_list cfg_list_registers = {
    .object = &cfg_object_register_modifier,
    .max_count = REGISTER_MODIFIERS_MAX,
    .add = registers_add,
};

static int cpuid_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_cpu_template *tmpl = owner;
    uint32_t count = tmpl->cpuid_count;

    if (count == CFG_CPUID_LEAVES_MAX)
        return cfg_fail_full(err, "CPUID modifiers", CFG_CPUID_LEAVES_MAX);
    struct cfg_cpuid_modifier *grown = reallocarray(tmpl->cpuid, count + 1u, sizeof(*grown));
    if (!grown)
        return cfg_fail_memory(err);
    memcpy(&grown[count], elem, sizeof(*grown));
    tmpl->cpuid = grown;
    tmpl->cpuid_count = count + 1;
    return 0;
}

static void cpuid_done(void *owner)
{
    struct cfg_cpu_template *tmpl = owner;

    free(tmpl->cpuid);
    tmpl->cpuid = NULL;
    tmpl->cpuid_count = 0;
}

const struct cfg_list cfg_list_cpuid = {
    .object = &cfg_object_cpuid_modifier,
    .max_count = CFG_CPUID_LEAVES_MAX,
    .add = cpuid_add,
    .done = cpuid_done,
};

static int msrs_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_cpu_template *tmpl = owner;
    uint32_t count = tmpl->msrs_count;

    if (count == CFG_MSRS_MAX)
        return cfg_fail_full(err, "MSR modifiers", CFG_MSRS_MAX);
    struct cfg_msr_modifier *grown = reallocarray(tmpl->msrs, count + 1u, sizeof(*grown));
    if (!grown)
        return cfg_fail_memory(err);
    memcpy(&grown[count], elem, sizeof(*grown));
    tmpl->msrs = grown;
    tmpl->msrs_count = count + 1;
    return 0;
}

static void msrs_done(void *owner)
{
    struct cfg_cpu_template *tmpl = owner;

    free(tmpl->msrs);
    tmpl->msrs = NULL;
    tmpl->msrs_count = 0;
}

const struct cfg_list cfg_list_msrs = {
    .object = &cfg_object_msr_modifier,
    .max_count = CFG_MSRS_MAX,
    .add = msrs_add,
    .done = msrs_done,
};

/* ------------------------------------------------------------------ snapshot/load */

/* Makes room for one more element. Returns it, not filled, or NULL. */
static void *grow(void **elems, uint32_t count, size_t size)
{
    void *grown = reallocarray(*elems, count + 1u, size);
    if (!grown)
        return NULL;
    *elems = grown;
    return (char *)grown + count * size;
}

/* Takes a copy of a text that may be absent. Returns 0 or -ENOMEM. */
static int keep_text(const char *text, char **ret_copy)
{
    *ret_copy = text ? strdup(text) : NULL;
    return text && !*ret_copy ? -ENOMEM : 0;
}

static int nic_overrides_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_snapshot_load *load = owner;
    void *elems = load->network_overrides;

    if (load->network_overrides_count == CFG_NICS_MAX)
        return cfg_fail_full(err, "network overrides", CFG_NICS_MAX);
    struct cfg_nic_override *kept = grow(&elems, load->network_overrides_count, sizeof(*kept));
    if (!kept)
        return cfg_fail_memory(err);
    load->network_overrides = elems;
    const struct cfg_nic_override *from = elem;
    *kept = *from;
    load->network_overrides_count++; /* what is half there is freed with the rest */
    int rc = keep_text(from->iface_id, &kept->iface_id);
    rc |= keep_text(from->host_dev_name, &kept->host_dev_name);
    return rc < 0 ? cfg_fail_memory(err) : 0;
}

static void nic_overrides_done(void *owner)
{
    struct cfg_snapshot_load *load = owner;

    while (load->network_overrides_count > 0)
        cfg_object_done(&cfg_object_nic_override,
                        &load->network_overrides[--load->network_overrides_count]);
    free(load->network_overrides);
    load->network_overrides = NULL;
}

const struct cfg_list cfg_list_nic_overrides = {
    .object = &cfg_object_nic_override,
    .max_count = CFG_NICS_MAX,
    .add = nic_overrides_add,
    .done = nic_overrides_done,
};

static int drive_overrides_add(void *owner, const void *elem, struct err *err)
{
    struct cfg_snapshot_load *load = owner;
    void *elems = load->drive_overrides;

    if (load->drive_overrides_count == CFG_DRIVES_MAX)
        return cfg_fail_full(err, "drive overrides", CFG_DRIVES_MAX);
    struct cfg_drive_override *kept = grow(&elems, load->drive_overrides_count, sizeof(*kept));
    if (!kept)
        return cfg_fail_memory(err);
    load->drive_overrides = elems;
    const struct cfg_drive_override *from = elem;
    *kept = *from;
    load->drive_overrides_count++;
    int rc = keep_text(from->drive_id, &kept->drive_id);
    rc |= keep_text(from->path_on_host, &kept->path_on_host);
    return rc < 0 ? cfg_fail_memory(err) : 0;
}

static void drive_overrides_done(void *owner)
{
    struct cfg_snapshot_load *load = owner;

    while (load->drive_overrides_count > 0)
        cfg_object_done(&cfg_object_drive_override,
                        &load->drive_overrides[--load->drive_overrides_count]);
    free(load->drive_overrides);
    load->drive_overrides = NULL;
}

const struct cfg_list cfg_list_drive_overrides = {
    .object = &cfg_object_drive_override,
    .max_count = CFG_DRIVES_MAX,
    .add = drive_overrides_add,
    .done = drive_overrides_done,
};
