/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The AMD rows of devices.md 10 (AMD APM 3, E.3 and E.4). Thread: vmm, before the guest runs.
 */
#include "vmm/arch/x86_64/cpuid_int.h"

#define FEATURES_EXT_EDX_ARCH_CAPABILITIES (1u << 29)
#define EXT_FEATURES_ECX_TOPOEXT (1u << 22)
#define APIC_ID_SIZE 7u /* bits of an APIC id that number a thread of the package */

/* Cache subleaves a host may describe; the reference has four. */
#define CACHES_MAX 8u

static void normalize_features(struct hv_cpuid *cpuid, const struct arch_cpu_config *config)
{
    struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, ARCH_LEAF_FEATURES_EXT, 0);
    if (entry != NULL)
        entry->edx &= ~FEATURES_EXT_EDX_ARCH_CAPABILITIES;
    if (entry != NULL)
        entry->ecx &= ~ARCH_FEATURES_EXT_ECX_SHSTK;
    entry = arch_cpuid_find(cpuid, ARCH_LEAF_EXT_FEATURES, 0);
    if (entry != NULL)
        entry->ecx |= EXT_FEATURES_ECX_TOPOEXT;
    entry = arch_cpuid_find(cpuid, ARCH_LEAF_SIZES, 0);
    if (entry != NULL) {
        entry->ecx = arch_bits_put(entry->ecx, 15, 12, APIC_ID_SIZE);
        entry->ecx = arch_bits_put(entry->ecx, 7, 0, config->vcpus_count - 1);
    }
}

/*
 * Leaf 0x8000001d: the host's caches, shared as the guest's cores share them. Older KVM lists lack
 * it.
 */
static int normalize_caches(struct hv_cpuid *cpuid, const struct arch_cpu_config *config,
                            arch_cpuid_read_fn read, struct err *err)
{
    struct arch_cpuid_regs regs;
    read(ARCH_LEAF_EXT_MAX, 0, &regs);
    if (regs.eax < ARCH_LEAF_CACHES_AMD)
        return 0;
    for (uint32_t i = 0; i < CACHES_MAX; i++) {
        read(ARCH_LEAF_CACHES_AMD, i, &regs);
        bool is_end = arch_bits_get(regs.eax, 4, 0) == 0;
        uint32_t level = arch_bits_get(regs.eax, 7, 5);
        struct kvm_cpuid_entry2 *entry;
        int rc = arch_cpuid_add(cpuid, ARCH_LEAF_CACHES_AMD, i, KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                &entry, err);
        if (rc < 0)
            return rc;
        entry->eax = regs.eax;
        entry->ebx = regs.ebx;
        entry->ecx = regs.ecx;
        entry->edx = regs.edx;
        if (is_end)
            return 0;
        if (level == 1 || level == 2)
            entry->eax = arch_bits_put(entry->eax, 25, 14, arch_cpus_per_core(config) - 1);
        else if (level == 3)
            entry->eax = arch_bits_put(entry->eax, 25, 14, config->vcpus_count - 1);
    }
    return 0;
}

/*
 * Leaf 0x8000001e: one node, cores of cpus_per_core threads; arch_cpuid_set_index fills in the ids.
 */
static int normalize_topology(struct hv_cpuid *cpuid, const struct arch_cpu_config *config,
                              struct err *err)
{
    struct kvm_cpuid_entry2 *entry;
    int rc = arch_cpuid_add(cpuid, ARCH_LEAF_TOPOLOGY_AMD, 0, 0, &entry, err);
    if (rc < 0)
        return rc;
    entry->eax = 0;
    entry->ebx = arch_bits_put(entry->ebx, 7, 0, 0);
    entry->ebx = arch_bits_put(entry->ebx, 15, 8, arch_cpus_per_core(config) - 1);
    entry->ecx = arch_bits_put(entry->ecx, 10, 0, 0);

    entry = arch_cpuid_find(cpuid, ARCH_LEAF_EXT_MAX, 0);
    if (entry != NULL && entry->eax < ARCH_LEAF_TOPOLOGY_AMD)
        entry->eax = ARCH_LEAF_TOPOLOGY_AMD;
    return 0;
}

int arch_cpuid_normalize_amd(struct hv_cpuid *cpuid, const struct arch_cpu_config *config,
                             arch_cpuid_read_fn read, struct err *err)
{
    normalize_features(cpuid, config);
    int rc = normalize_caches(cpuid, config, read, err);
    if (rc < 0)
        return rc;
    rc = normalize_topology(cpuid, config, err);
    if (rc < 0)
        return rc;
    return arch_cpuid_set_brand(cpuid, "AMD EPYC", err);
}
