/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The guest's CPUID: list edits, the rows of devices.md 10 that all vendors share, KVM's frequency
 * leaf and the per-vCPU ids. Order: template, then normalisation. Thread: vmm, before the guest
 * runs.
 */
#include "vmm/arch/x86_64/cpuid_int.h"

#include <assert.h>
#include <cpuid.h>
#include <errno.h>
#include <string.h>

#define FEATURES_ECX_PDCM (1u << 15)
#define FEATURES_ECX_TSC_DEADLINE (1u << 24)
#define FEATURES_ECX_HYPERVISOR (1u << 31)
#define FEATURES_EDX_HTT (1u << 28)
#define CACHE_LINE_QUADWORDS 8u /* 64 bytes, as CLFLUSH counts them */

/* Leaf 0xb: level types, and the x2APIC id bits that lie below the package. */
#define LEVEL_TYPE_SMT 1u
#define LEVEL_TYPE_CORE 2u
#define PACKAGE_SHIFT 5u

static_assert(1u << PACKAGE_SHIFT >= CFG_VCPUS_MAX, "all vCPUs are in one package");

static void read_host_leaf(uint32_t leaf, uint32_t subleaf, struct arch_cpuid_regs *ret_regs)
{
    __cpuid_count(leaf, subleaf, ret_regs->eax, ret_regs->ebx, ret_regs->ecx, ret_regs->edx);
}

void arch_host_cpu_read(struct arch_host_cpu *ret_host)
{
    struct arch_cpuid_regs regs;
    read_host_leaf(ARCH_LEAF_VENDOR, 0, &regs);
    memset(ret_host, 0, sizeof(*ret_host));
    memcpy(ret_host->vendor, &regs.ebx, 4);
    memcpy(ret_host->vendor + 4, &regs.edx, 4);
    memcpy(ret_host->vendor + 8, &regs.ecx, 4);

    read_host_leaf(ARCH_LEAF_FEATURES, 0, &regs);
    uint32_t family = arch_bits_get(regs.eax, 11, 8);
    ret_host->family = family;
    ret_host->model = arch_bits_get(regs.eax, 7, 4);
    ret_host->stepping = arch_bits_get(regs.eax, 3, 0);
    if (family == 0xf)
        ret_host->family += arch_bits_get(regs.eax, 27, 20);
    if (family == 0x6 || family == 0xf)
        ret_host->model |= arch_bits_get(regs.eax, 19, 16) << 4;
}

uint32_t arch_cpus_per_core(const struct arch_cpu_config *config)
{
    return config->smt && config->vcpus_count > 1 ? 2 : 1;
}

struct kvm_cpuid_entry2 *arch_cpuid_find(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf)
{
    for (uint32_t i = 0; i < cpuid->count; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == leaf && entry->index == subleaf)
            return entry;
    }
    return NULL;
}

int arch_cpuid_add(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf, uint32_t flags,
                   struct kvm_cpuid_entry2 **ret_entry, struct err *err)
{
    struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, leaf, subleaf);
    if (entry == NULL) {
        if (cpuid->count >= HV_CPUID_ENTRIES_MAX)
            return err_set(err, -EINVAL,
                           "No room for CPUID leaf 0x%x, subleaf 0x%x: KVM's list already has %u "
                           "entries (EINVAL); use a host kernel that reports fewer leaves",
                           leaf, subleaf, cpuid->count);
        entry = &cpuid->entries[cpuid->count++];
        *entry = (struct kvm_cpuid_entry2){.function = leaf, .index = subleaf, .flags = flags};
    }
    *ret_entry = entry;
    return 0;
}

int arch_cpuid_set_brand(struct hv_cpuid *cpuid, const char *brand, struct err *err)
{
    char bytes[ARCH_BRAND_SIZE] = {0};
    memcpy(bytes, brand, strnlen(brand, ARCH_BRAND_SIZE));
    for (uint32_t i = 0; i < 3; i++) {
        struct kvm_cpuid_entry2 *entry;
        int rc = arch_cpuid_add(cpuid, ARCH_LEAF_BRAND + i, 0, 0, &entry, err);
        if (rc < 0)
            return rc;
        memcpy(&entry->eax, bytes + 16 * i, 4);
        memcpy(&entry->ebx, bytes + 16 * i + 4, 4);
        memcpy(&entry->ecx, bytes + 16 * i + 8, 4);
        memcpy(&entry->edx, bytes + 16 * i + 12, 4);
    }
    return 0;
}

static uint32_t next_pow2(uint32_t value)
{
    uint32_t pow2 = 1;
    while (pow2 < value)
        pow2 *= 2;
    return pow2;
}

static void normalize_features(struct kvm_cpuid_entry2 *entry, const struct arch_cpu_config *config)
{
    entry->ebx = arch_bits_put(entry->ebx, 15, 8, CACHE_LINE_QUADWORDS);
    entry->ebx = arch_bits_put(entry->ebx, 23, 16, next_pow2(config->vcpus_count));
    entry->ecx &= ~FEATURES_ECX_PDCM;
    entry->ecx |= FEATURES_ECX_TSC_DEADLINE | FEATURES_ECX_HYPERVISOR;
    entry->edx &= ~FEATURES_EDX_HTT;
    if (config->vcpus_count > 1)
        entry->edx |= FEATURES_EDX_HTT;
}

/*
 * Leaf 0xb: threads, then cores; current kernels report neither, so both subleaves may have to be
 * made.
 */
static int normalize_topology(struct hv_cpuid *cpuid, const struct arch_cpu_config *config,
                              struct err *err)
{
    struct kvm_cpuid_entry2 *level;
    for (uint32_t i = 0; i < 2; i++) {
        int rc = arch_cpuid_add(cpuid, ARCH_LEAF_TOPOLOGY, i, KVM_CPUID_FLAG_SIGNIFCANT_INDEX,
                                &level, err);
        if (rc < 0)
            return rc;
    }
    uint32_t cpus_per_core = arch_cpus_per_core(config);
    for (uint32_t i = 0; (level = arch_cpuid_find(cpuid, ARCH_LEAF_TOPOLOGY, i)) != NULL; i++) {
        uint32_t type = 0;
        level->eax = 0;
        level->ebx = 0;
        if (i == 0) {
            level->eax = cpus_per_core - 1; /* log2 of 1 or 2 */
            level->ebx = cpus_per_core;
            type = LEVEL_TYPE_SMT;
        } else if (i == 1) {
            level->eax = PACKAGE_SHIFT;
            level->ebx = config->vcpus_count;
            type = LEVEL_TYPE_CORE;
        }
        level->ecx = i | (type << 8);
        level->edx = 0;
    }
    return 0;
}

/* L1 and L2 as the host has them; KVM's own lists differ between kernels. */
static int normalize_caches(struct hv_cpuid *cpuid, arch_cpuid_read_fn read, struct err *err)
{
    struct arch_cpuid_regs regs;
    read(ARCH_LEAF_EXT_MAX, 0, &regs);
    uint32_t host_max = regs.eax;
    for (uint32_t leaf = ARCH_LEAF_L1; leaf <= ARCH_LEAF_L2 && leaf <= host_max; leaf++) {
        struct kvm_cpuid_entry2 *entry;
        int rc = arch_cpuid_add(cpuid, leaf, 0, 0, &entry, err);
        if (rc < 0)
            return rc;
        read(leaf, 0, &regs);
        entry->eax = regs.eax;
        entry->ebx = regs.ebx;
        entry->ecx = regs.ecx;
        entry->edx = leaf == ARCH_LEAF_L2 ? arch_bits_put(regs.edx, 17, 16, 0) : regs.edx;
    }
    return 0;
}

/*
 * TSC and APIC timer frequencies behind KVM's own signature and feature leaves, which stay as they
 * are.
 */
static int set_kvm_frequency(struct hv_cpuid *cpuid, uint32_t tsc_khz, struct err *err)
{
    struct kvm_cpuid_entry2 *kvm = arch_cpuid_find(cpuid, ARCH_LEAF_KVM, 0);
    if (kvm == NULL || tsc_khz == 0)
        return 0;
    if (kvm->eax < ARCH_LEAF_KVM_FREQUENCY)
        kvm->eax = ARCH_LEAF_KVM_FREQUENCY;
    struct kvm_cpuid_entry2 *entry;
    int rc = arch_cpuid_add(cpuid, ARCH_LEAF_KVM_FREQUENCY, 0, 0, &entry, err);
    if (rc < 0)
        return rc;
    entry->eax = tsc_khz;
    entry->ebx = ARCH_LAPIC_BUS_KHZ;
    entry->ecx = 0;
    entry->edx = 0;
    return 0;
}

int arch_cpuid_normalize(struct hv_cpuid *cpuid, const struct arch_host_cpu *host,
                         const struct arch_cpu_config *config, arch_cpuid_read_fn read,
                         struct err *err)
{
    struct kvm_cpuid_entry2 *vendor = arch_cpuid_find(cpuid, ARCH_LEAF_VENDOR, 0);
    struct kvm_cpuid_entry2 *features = arch_cpuid_find(cpuid, ARCH_LEAF_FEATURES, 0);
    if (vendor == NULL || features == NULL)
        return err_set(err, -EINVAL,
                       "KVM's CPUID list has no leaf 0x%x (EINVAL); use a host kernel that has it",
                       vendor == NULL ? ARCH_LEAF_VENDOR : ARCH_LEAF_FEATURES);
    memcpy(&vendor->ebx, host->vendor, 4);
    memcpy(&vendor->edx, host->vendor + 4, 4);
    memcpy(&vendor->ecx, host->vendor + 8, 4);
    normalize_features(features, config);

    if (vendor->eax >= ARCH_LEAF_TOPOLOGY) {
        int rc = normalize_topology(cpuid, config, err);
        if (rc < 0)
            return rc;
    }
    int rc = normalize_caches(cpuid, read, err);
    if (rc < 0)
        return rc;
    rc = set_kvm_frequency(cpuid, config->tsc_khz, err);
    if (rc < 0)
        return rc;
    if (strcmp(host->vendor, ARCH_VENDOR_INTEL) == 0)
        return arch_cpuid_normalize_intel(cpuid, config, read, err);
    if (strcmp(host->vendor, ARCH_VENDOR_AMD) == 0)
        return arch_cpuid_normalize_amd(cpuid, config, read, err);
    return 0;
}

int arch_cpuid_prepare(struct hv_cpuid *cpuid, const struct arch_host_cpu *host,
                       const struct arch_cpu_config *config, struct err *err)
{
    assert(config->vcpus_count >= 1 && config->vcpus_count <= CFG_VCPUS_MAX);
    assert(cpuid->count <= HV_CPUID_ENTRIES_MAX);

    int rc = arch_template_check(host, config, err);
    if (rc < 0)
        return rc;
    struct arch_template template = arch_template_of(config);
    rc = arch_template_cpuid(cpuid, &template, err);
    if (rc < 0)
        return rc;
    return arch_cpuid_normalize(cpuid, host, config, read_host_leaf, err);
}

void arch_cpuid_set_index(struct hv_cpuid *cpuid, uint32_t vcpu_idx,
                          const struct arch_cpu_config *config)
{
    for (uint32_t i = 0; i < cpuid->count; i++) {
        struct kvm_cpuid_entry2 *entry = &cpuid->entries[i];
        if (entry->function == ARCH_LEAF_FEATURES) {
            entry->ebx = arch_bits_put(entry->ebx, 31, 24, vcpu_idx);
        } else if (entry->function == ARCH_LEAF_TOPOLOGY ||
                   entry->function == ARCH_LEAF_TOPOLOGY_V2) {
            entry->edx = vcpu_idx;
        } else if (entry->function == ARCH_LEAF_TOPOLOGY_AMD) {
            entry->eax = vcpu_idx;
            entry->ebx = arch_bits_put(entry->ebx, 7, 0, vcpu_idx / arch_cpus_per_core(config));
        }
    }
}
