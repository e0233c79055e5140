/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPU templates (devices.md 9): the static tables of 9.2 as data, the host check, and one way of
 * applying static and custom templates. Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/cpuid_int.h"

#include <assert.h>
#include <errno.h>
#include <string.h>

/* One table cell of devices.md 9.2: bits of mask take the bits of value. */
#define EAX(mask_, value_) .mask[0] = (mask_), .value[0] = (value_)
#define EBX(mask_, value_) .mask[1] = (mask_), .value[1] = (value_)
#define ECX(mask_, value_) .mask[2] = (mask_), .value[2] = (value_)
#define EDX(mask_, value_) .mask[3] = (mask_), .value[3] = (value_)
#define LEAF(leaf_, subleaf_, flags_, ...)                                                         \
    {                                                                                              \
        .leaf = (leaf_), .subleaf = (subleaf_), .flags = (flags_), __VA_ARGS__                     \
    }
#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX

/* Leaves 0x1, 0x7 and 0xd, the same in all templates but C3. */
#define T2_BASIC_LEAVES                                                                            \
    LEAF(0x1, 0, 0, EAX(0x0fff3fff, 0x000306f2), ECX(0x0004cdfc, 0), EDX(0xe8641080, 0x00001080)), \
        LEAF(0x7, 0, INDEXED, EBX(0xffefda14, 0x00000200), ECX(0x40415f5e, 0), EDX(0x11c, 0)),     \
        LEAF(0xd, 0, INDEXED, EAX(0x2f8, 0)), LEAF(0xd, 1, INDEXED, EAX(0xe, 0))

static const struct cfg_cpuid_modifier c3_cpuid[] = {
    LEAF(0x1, 0, 0, EAX(0x0fff3fff, 0x000306e4), ECX(0x0040dd3c, 0), EDX(0xa8641080, 0x00001080)),
    LEAF(0x7, 0, INDEXED, EBX(0xffafdd3c, 0), ECX(0x4041481e, 0), EDX(0xc, 0)),
    LEAF(0xd, 0, INDEXED, EAX(0x2f8, 0)),
    LEAF(0xd, 1, INDEXED, EAX(0xe, 0)),
    LEAF(0x80000001, 0, 0, ECX(0x120, 0), EDX(0x04000000, 0)),
};

/* Also T2S. */
static const struct cfg_cpuid_modifier t2_cpuid[] = {
    T2_BASIC_LEAVES,
    LEAF(0x80000001, 0, 0, ECX(0x20000100, 0), EDX(0x04000000, 0)),
    LEAF(0x80000008, 0, 0, EBX(0x200, 0)),
};

static const struct cfg_cpuid_modifier t2cl_cpuid[] = {
    T2_BASIC_LEAVES,
    LEAF(0x80000001, 0, 0, ECX(0x200001c0, 0), EDX(0x07c00000, 0)),
    LEAF(0x80000008, 0, 0, EBX(0x200, 0)),
};

static const struct cfg_cpuid_modifier t2a_cpuid[] = {
    T2_BASIC_LEAVES,
    LEAF(0x80000001, 0, 0, ECX(0x200001c4, 0), EDX(0x06400000, 0)),
    LEAF(0x80000008, 0, 0, EBX(0x001c0205, 0x001c0004)),
};

#define MSR_IA32_ARCH_CAPABILITIES 0x10au

static const struct cfg_msr_modifier t2s_msrs[] = {
    {.addr = MSR_IA32_ARCH_CAPABILITIES, .mask = UINT64_MAX, .value = 0x0c0a0c4c},
};
static const struct cfg_msr_modifier t2cl_msrs[] = {
    {.addr = MSR_IA32_ARCH_CAPABILITIES, .mask = 0xffffffffe2f51e00, .value = 0},
};

enum model { MODEL_SKYLAKE, MODEL_CASCADE_LAKE, MODEL_ICE_LAKE, MODEL_MILAN, MODEL_COUNT };

struct model_id {
    uint32_t family;
    uint32_t model;
    uint32_t stepping;
};

static const struct model_id model_ids[] = {
    [MODEL_SKYLAKE] = {0x6, 0x55, 4},
    [MODEL_CASCADE_LAKE] = {0x6, 0x55, 7},
    [MODEL_ICE_LAKE] = {0x6, 0x6a, 6},
    [MODEL_MILAN] = {0x19, 0x1, 1},
};
static_assert(ARRAY_LEN(model_ids) == MODEL_COUNT, "one row a model");

struct static_template {
    const char *vendor; /* NULL: no template */
    uint32_t models;    /* bit a model that may use it */
    struct arch_template template;
};

#define BIT(n) (1u << (n))
#define CPUID_PART(table) .cpuid = (table), .cpuid_count = ARRAY_LEN(table)
#define MSRS_PART(table) .msrs = (table), .msrs_count = ARRAY_LEN(table)

static const struct static_template static_templates[] = {
    [CFG_TEMPLATE_C3] = {ARCH_VENDOR_INTEL,
                         BIT(MODEL_SKYLAKE) | BIT(MODEL_CASCADE_LAKE) | BIT(MODEL_ICE_LAKE),
                         {CPUID_PART(c3_cpuid)}},
    [CFG_TEMPLATE_T2] = {ARCH_VENDOR_INTEL,
                         BIT(MODEL_SKYLAKE) | BIT(MODEL_CASCADE_LAKE) | BIT(MODEL_ICE_LAKE),
                         {CPUID_PART(t2_cpuid)}},
    [CFG_TEMPLATE_T2S] = {ARCH_VENDOR_INTEL,
                          BIT(MODEL_SKYLAKE) | BIT(MODEL_CASCADE_LAKE),
                          {CPUID_PART(t2_cpuid), MSRS_PART(t2s_msrs)}},
    [CFG_TEMPLATE_NONE] = {.vendor = NULL},
    [CFG_TEMPLATE_T2CL] = {ARCH_VENDOR_INTEL,
                           BIT(MODEL_CASCADE_LAKE) | BIT(MODEL_ICE_LAKE),
                           {CPUID_PART(t2cl_cpuid), MSRS_PART(t2cl_msrs)}},
    [CFG_TEMPLATE_T2A] = {ARCH_VENDOR_AMD, BIT(MODEL_MILAN), {CPUID_PART(t2a_cpuid)}},
};
static_assert(ARRAY_LEN(static_templates) == CFG_TEMPLATE_T2A + 1, "one row a template");

struct arch_template arch_template_of(const struct arch_cpu_config *config)
{
    const struct cfg_cpu_template *custom = config->custom_template;
    if (custom != NULL)
        return (struct arch_template){custom->cpuid, custom->cpuid_count, custom->msrs,
                                      custom->msrs_count};
    return static_templates[config->static_template].template;
}

int arch_template_check(const struct arch_host_cpu *host, const struct arch_cpu_config *config,
                        struct err *err)
{
    const struct static_template *row = &static_templates[config->static_template];
    if (config->custom_template != NULL || row->vendor == NULL)
        return 0;
    if (strcmp(host->vendor, row->vendor) != 0)
        return err_set(err, -EINVAL,
                       "Failed to get CPU template: CPU vendor mismatched between actual CPU and "
                       "CPU template.");
    for (uint32_t i = 0; i < MODEL_COUNT; i++) {
        const struct model_id *id = &model_ids[i];
        if ((row->models & BIT(i)) != 0 && host->family == id->family && host->model == id->model &&
            host->stepping == id->stepping)
            return 0;
    }
    return err_set(err, -EINVAL,
                   "Failed to get CPU template: The current CPU model is not permitted to apply "
                   "the CPU template.");
}

int arch_template_cpuid(struct hv_cpuid *cpuid, const struct arch_template *template,
                        struct err *err)
{
    for (uint32_t i = 0; i < template->cpuid_count; i++) {
        const struct cfg_cpuid_modifier *mod = &template->cpuid[i];
        struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, mod->leaf, mod->subleaf);
        if (entry == NULL)
            return err_set(err, -EINVAL,
                           "Template changes a CPUID entry not supported by KVM: Leaf: %x, "
                           "Subleaf: %x",
                           mod->leaf, mod->subleaf);
        entry->flags = mod->flags;
        entry->eax = (entry->eax & ~mod->mask[0]) | (mod->value[0] & mod->mask[0]);
        entry->ebx = (entry->ebx & ~mod->mask[1]) | (mod->value[1] & mod->mask[1]);
        entry->ecx = (entry->ecx & ~mod->mask[2]) | (mod->value[2] & mod->mask[2]);
        entry->edx = (entry->edx & ~mod->mask[3]) | (mod->value[3] & mod->mask[3]);
    }
    return 0;
}

int arch_template_msrs_merge(const struct arch_template *template, const struct hv_msrs *current,
                             struct hv_msrs *msrs, struct err *err)
{
    assert(current->count == template->msrs_count);
    uint32_t boot_count = msrs->count;
    for (uint32_t i = 0; i < template->msrs_count; i++) {
        const struct cfg_msr_modifier *mod = &template->msrs[i];
        uint32_t at = 0;
        while (at < msrs->count && msrs->entries[at].index != mod->addr)
            at++;
        if (at < boot_count)
            continue;
        if (at == msrs->count) {
            if (msrs->count >= HV_MSRS_MAX)
                return err_set(err, -ENOSPC,
                               "MSR 0x%x of the CPU template does not fit: %u MSRs with those of "
                               "the boot are the limit (ENOSPC); name fewer in msr_modifiers",
                               mod->addr, HV_MSRS_MAX);
            msrs->entries[msrs->count++] = current->entries[i];
        }
        struct kvm_msr_entry *entry = &msrs->entries[at];
        entry->data = (entry->data & ~mod->mask) | (mod->value & mod->mask);
    }
    return 0;
}
