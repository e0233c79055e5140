/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the CPUID tests share: hand-made lists of an Intel and an AMD host, tables for the hosts'
 * own leaves, and short ways to normalise and compare.
 */
#pragma once

#include <string.h>

#include "tests/unit/unit.h"
#include "vmm/arch/x86_64/cpuid_int.h"

#define INDEXED KVM_CPUID_FLAG_SIGNIFCANT_INDEX
#define ONES 0xffffffffu
#define TSC_KHZ 2899987u

static const struct arch_host_cpu intel_host = {"GenuineIntel", 0x6, 0x6a, 6};
static const struct arch_host_cpu amd_host = {"AuthenticAMD", 0x19, 0x1, 1};

static const struct kvm_cpuid_entry2 intel_list[] = {
    {.function = 0x0, .eax = 0x1f, .ebx = 1, .ecx = 2, .edx = 3},
    {.function = 0x1, .eax = 0x606a6, .ebx = 0xaabbccdd, .ecx = 0x80202000 | 1u << 15},
    {.function = 0x4, .index = 0, .flags = INDEXED, .eax = 0x3c004121, .ebx = 1},
    {.function = 0x4, .index = 1, .flags = INDEXED, .eax = 0x3c004122, .ebx = 1},
    {.function = 0x4, .index = 2, .flags = INDEXED, .eax = 0x3c004143, .ebx = 1},
    {.function = 0x4, .index = 3, .flags = INDEXED, .eax = 0x3c03c163, .ebx = 1},
    {.function = 0x4, .index = 4, .flags = INDEXED},
    {.function = 0x6, .eax = 0x77, .ecx = 0x9},
    {.function = 0x7, .flags = INDEXED, .ebx = 0, .ecx = ONES, .edx = ONES},
    {.function = 0xa, .eax = 1, .ebx = 2, .ecx = 3, .edx = 4},
    {.function = 0xb, .index = 0, .flags = INDEXED, .eax = 9, .ebx = 9, .ecx = 9, .edx = 9},
    {.function = 0x15},
    {.function = 0x16},
    {.function = 0x1f, .index = 0, .flags = INDEXED, .eax = 9, .ebx = 9, .ecx = 9, .edx = 9},
    {.function = 0x1f, .index = 1, .flags = INDEXED, .eax = 9},
    {.function = 0x1f, .index = 2, .flags = INDEXED, .eax = 9},
    {.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d},
    {.function = 0x40000001, .eax = 0x01007efb},
    {.function = 0x80000000, .eax = 0x80000008},
    {.function = 0x80000001, .ecx = 0x121},
    {.function = 0x80000005, .eax = 5},
    {.function = 0x80000006, .eax = 5},
    {.function = 0x80000008, .eax = 0x3030},
};

static const struct kvm_cpuid_entry2 amd_list[] = {
    {.function = 0x0, .eax = 0x10, .ebx = 1, .ecx = 2, .edx = 3},
    {.function = 0x1, .eax = 0xa00f11, .ebx = 0xaabbccdd, .ecx = 0x80202000},
    {.function = 0x7, .flags = INDEXED, .edx = 1u << 29 | 2},
    {.function = 0xb, .index = 0, .flags = INDEXED},
    {.function = 0x40000000, .eax = 0x40000001, .ebx = 0x4b4d564b, .ecx = 0x564b4d56, .edx = 0x4d},
    {.function = 0x40000001, .eax = 0x01007efb},
    {.function = 0x80000000, .eax = 0x8000001a, .ebx = 1},
    {.function = 0x80000001, .ecx = 0x393},
    {.function = 0x80000008, .eax = 0x3030, .ebx = 0x10000005, .ecx = 0xf0013},
};

struct host_leaf {
    uint32_t leaf;
    uint32_t subleaf;
    struct arch_cpuid_regs regs;
};

/* "Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz" is put together in read_intel. */
static const struct host_leaf intel_leaves[] = {
    {0x80000000, 0, {0x80000008, 0, 0, 0}},
    {0x80000005, 0, {0, 0, 0, 0}},
    {0x80000006, 0, {1, 2, 0x05007040, ONES}},
};

static const struct host_leaf amd_leaves[] = {
    {0x80000000, 0, {0x80000021, 0, 0, 0}},
    {0x80000005, 0, {0xff40ff40, 0xff40ff40, 0x20080140, 0x20080140}},
    {0x80000006, 0, {0x48002200, 0x68004200, 0x02006140, 0x08039140}},
    {0x8000001d, 0, {0x00004121, 0x01c0003f, 0x3f, 0}},
    {0x8000001d, 1, {0x00004122, 0x01c0003f, 0x3f, 0}},
    {0x8000001d, 2, {0x00004143, 0x01c0003f, 0x3ff, 2}},
    {0x8000001d, 3, {0x0003c163, 0x03c0003f, 0x7fff, 1}},
};

static inline void read_table(const struct host_leaf *leaves, size_t count, uint32_t leaf,
                              uint32_t subleaf, struct arch_cpuid_regs *ret_regs)
{
    *ret_regs = (struct arch_cpuid_regs){0};
    for (size_t i = 0; i < count; i++) {
        if (leaves[i].leaf == leaf && leaves[i].subleaf == subleaf)
            *ret_regs = leaves[i].regs;
    }
}

static inline void read_brand(const char *brand, uint32_t leaf, struct arch_cpuid_regs *ret_regs)
{
    char bytes[48] = {0};
    memcpy(bytes, brand, strlen(brand));
    memcpy(ret_regs, bytes + 16 * (leaf - 0x80000002), 16);
}

static inline void read_intel(uint32_t leaf, uint32_t subleaf, struct arch_cpuid_regs *ret_regs)
{
    if (leaf >= 0x80000002 && leaf <= 0x80000004)
        read_brand("Intel(R) Xeon(R) Platinum 8375C CPU @ 2.90GHz", leaf, ret_regs);
    else
        read_table(intel_leaves, ARRAY_LEN(intel_leaves), leaf, subleaf, ret_regs);
}

static inline void read_intel_no_frequency(uint32_t leaf, uint32_t subleaf,
                                           struct arch_cpuid_regs *ret_regs)
{
    if (leaf >= 0x80000002 && leaf <= 0x80000004)
        read_brand("Genuine Intel(R) CPU GHz 0000%@", leaf, ret_regs);
    else
        read_table(intel_leaves, ARRAY_LEN(intel_leaves), leaf, subleaf, ret_regs);
}

static inline void read_amd(uint32_t leaf, uint32_t subleaf, struct arch_cpuid_regs *ret_regs)
{
    read_table(amd_leaves, ARRAY_LEN(amd_leaves), leaf, subleaf, ret_regs);
}

static inline void read_old_amd(uint32_t leaf, uint32_t subleaf, struct arch_cpuid_regs *ret_regs)
{
    read_table(amd_leaves, ARRAY_LEN(amd_leaves), leaf, subleaf, ret_regs);
    if (leaf == 0x80000000)
        ret_regs->eax = 0x8000001a;
}

static inline struct arch_cpu_config make_config(uint32_t vcpus_count, bool smt)
{
    return (struct arch_cpu_config){.vcpus_count = vcpus_count,
                                    .smt = smt,
                                    .tsc_khz = TSC_KHZ,
                                    .static_template = CFG_TEMPLATE_NONE};
}

static inline void normalize_intel(struct hv_cpuid *cpuid, uint32_t vcpus_count, bool smt)
{
    *cpuid = (struct hv_cpuid){.count = ARRAY_LEN(intel_list)};
    memcpy(cpuid->entries, intel_list, sizeof(intel_list));
    struct arch_cpu_config config = make_config(vcpus_count, smt);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(cpuid, &intel_host, &config, read_intel, &err), 0);
}

static inline void normalize_amd(struct hv_cpuid *cpuid, uint32_t vcpus_count, bool smt)
{
    *cpuid = (struct hv_cpuid){.count = ARRAY_LEN(amd_list)};
    memcpy(cpuid->entries, amd_list, sizeof(amd_list));
    struct arch_cpu_config config = make_config(vcpus_count, smt);
    struct err err = ERR_INIT;
    assert_int_equal(arch_cpuid_normalize(cpuid, &amd_host, &config, read_amd, &err), 0);
}

static inline void assert_leaf(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
                               uint32_t eax, uint32_t ebx, uint32_t ecx, uint32_t edx)
{
    const struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, leaf, subleaf);
    assert_non_null(entry);
    assert_int_equal(entry->eax, eax);
    assert_int_equal(entry->ebx, ebx);
    assert_int_equal(entry->ecx, ecx);
    assert_int_equal(entry->edx, edx);
}

static inline void get_brand(struct hv_cpuid *cpuid, char ret_brand[49])
{
    memset(ret_brand, 0, 49);
    for (uint32_t i = 0; i < 3; i++) {
        const struct kvm_cpuid_entry2 *entry = arch_cpuid_find(cpuid, 0x80000002 + i, 0);
        assert_non_null(entry);
        memcpy(ret_brand + 16 * i, &entry->eax, 16); /* four registers in a row */
    }
}
