/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and CPU template internals of the arch room: list edits, the per-vendor rows of devices.md
 * 10 and the template view of devices.md 9. Thread: vmm, before the guest runs. All of it is pure.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/arch/x86_64/cpu.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv.h"

#define ARCH_VENDOR_INTEL "GenuineIntel"
#define ARCH_VENDOR_AMD "AuthenticAMD"

/* KVM clocks the local APIC's timer at one count a nanosecond. */
#define ARCH_LAPIC_BUS_KHZ 1000000u

/* CPUID leaves with a meaning here (Intel SDM 2A CPUID; AMD APM 3 E.3, E.4). */
#define ARCH_LEAF_VENDOR 0x0u
#define ARCH_LEAF_FEATURES 0x1u
#define ARCH_LEAF_CACHES_INTEL 0x4u
#define ARCH_LEAF_POWER 0x6u
#define ARCH_LEAF_FEATURES_EXT 0x7u
/* Control-flow enforcement: its MSRs are state that no snapshot keeps yet. */
#define ARCH_FEATURES_EXT_ECX_SHSTK (1u << 7)
#define ARCH_FEATURES_EXT_EDX_IBT (1u << 20)
#define ARCH_LEAF_PERFMON 0xau
#define ARCH_LEAF_TOPOLOGY 0xbu
#define ARCH_LEAF_TSC 0x15u
#define ARCH_LEAF_FREQUENCY 0x16u
#define ARCH_LEAF_TOPOLOGY_V2 0x1fu
#define ARCH_LEAF_KVM 0x40000000u
#define ARCH_LEAF_KVM_FREQUENCY 0x40000010u
#define ARCH_LEAF_EXT_MAX 0x80000000u
#define ARCH_LEAF_EXT_FEATURES 0x80000001u
#define ARCH_LEAF_BRAND 0x80000002u /* and the two behind it */
#define ARCH_LEAF_L1 0x80000005u
#define ARCH_LEAF_L2 0x80000006u
#define ARCH_LEAF_SIZES 0x80000008u
#define ARCH_LEAF_CACHES_AMD 0x8000001du
#define ARCH_LEAF_TOPOLOGY_AMD 0x8000001eu

#define ARCH_BRAND_SIZE 48u /* bytes, three leaves */

struct arch_cpuid_regs {
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
};

/* Reads one leaf of the host: the CPUID instruction, or a table in tests. */
typedef void (*arch_cpuid_read_fn)(uint32_t leaf, uint32_t subleaf,
                                   struct arch_cpuid_regs *ret_regs);

/* reg with bits [high:low] replaced by value (cut to the field). high <= 31. */
static inline uint32_t arch_bits_put(uint32_t reg, uint32_t high, uint32_t low, uint32_t value)
{
    uint32_t mask = (uint32_t)((1ull << (high - low + 1)) - 1) << low;
    return (reg & ~mask) | ((value << low) & mask);
}

static inline uint32_t arch_bits_get(uint32_t reg, uint32_t high, uint32_t low)
{
    return (uint32_t)((reg >> low) & ((1ull << (high - low + 1)) - 1));
}

/* Hardware threads of one guest core: 2 with SMT and more than one vCPU, else 1. */
uint32_t arch_cpus_per_core(const struct arch_cpu_config *config);

/*
 * The entry of exactly this leaf and subleaf, or NULL. Borrowed from *cpuid, valid until the list
 * changes.
 */
struct kvm_cpuid_entry2 *arch_cpuid_find(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf);

/*
 * Finds the entry or appends a zeroed one with `flags` (KVM_CPUID_FLAG_*). Returns 0, or -EINVAL
 * when HV_CPUID_ENTRIES_MAX entries are there already.
 */
MUST_CHECK int arch_cpuid_add(struct hv_cpuid *cpuid, uint32_t leaf, uint32_t subleaf,
                              uint32_t flags, struct kvm_cpuid_entry2 **ret_entry, struct err *err);

/*
 * Writes the brand string (ARCH_BRAND_SIZE bytes, zero-padded) into its three leaves. 0 or -EINVAL.
 */
MUST_CHECK int arch_cpuid_set_brand(struct hv_cpuid *cpuid, const char *brand, struct err *err);

/*
 * Every row of devices.md 10 and the frequency leaves; `read` gives the host's own leaves. 0 or
 * -EINVAL.
 */
MUST_CHECK int arch_cpuid_normalize(struct hv_cpuid *cpuid, const struct arch_host_cpu *host,
                                    const struct arch_cpu_config *config, arch_cpuid_read_fn read,
                                    struct err *err);
MUST_CHECK int arch_cpuid_normalize_intel(struct hv_cpuid *cpuid,
                                          const struct arch_cpu_config *config,
                                          arch_cpuid_read_fn read, struct err *err);
MUST_CHECK int arch_cpuid_normalize_amd(struct hv_cpuid *cpuid,
                                        const struct arch_cpu_config *config,
                                        arch_cpuid_read_fn read, struct err *err);

/*
 * The ratio of leaf 0x15: TSC = 1 GHz * numerator / denominator, nearest to tsc_khz with a
 * numerator that a 32-bit product with the crystal's kHz survives (Linux multiplies so). tsc_khz:
 * above 0.
 */
void arch_tsc_ratio(uint32_t tsc_khz, uint32_t *ret_numerator, uint32_t *ret_denominator);

/* What a template changes, static or custom. Arrays are borrowed. */
struct arch_template {
    const struct cfg_cpuid_modifier *cpuid;
    uint32_t cpuid_count;
    const struct cfg_msr_modifier *msrs;
    uint32_t msrs_count;
};

/*
 * The template `config` asks for; empty when it asks for none. A custom one wins over a static one.
 */
struct arch_template arch_template_of(const struct arch_cpu_config *config);

/* May this host use the static template (devices.md 9.2)? Custom ones always. 0 or -EINVAL. */
MUST_CHECK int arch_template_check(const struct arch_host_cpu *host,
                                   const struct arch_cpu_config *config, struct err *err);

/*
 * Applies the CPUID part: each leaf must be in the list, its flags are overwritten. 0 or -EINVAL.
 */
MUST_CHECK int arch_template_cpuid(struct hv_cpuid *cpuid, const struct arch_template *template,
                                   struct err *err);

/*
 * Appends the template's MSRs to *msrs: `current` holds each one's value now, in the template's
 * order. One that stands in *msrs already is left out: boot values win. Returns 0 or -ENOSPC
 * (HV_MSRS_MAX).
 */
MUST_CHECK int arch_template_msrs_merge(const struct arch_template *template,
                                        const struct hv_msrs *current, struct hv_msrs *msrs,
                                        struct err *err);
