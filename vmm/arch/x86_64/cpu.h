/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CPUID and MSRs of the guest: KVM's supported list, then the CPU template, then normalisation
 * (devices.md 9, 10), the KVM and frequency leaves so that no calibration loop runs. Thread: vmm,
 * before the guest runs.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"
#include "vmm/hv/hv.h"
#include "vmm/hv/hv_state.h"

/* What the host is, read once; tests bring their own. */
struct arch_host_cpu {
    char vendor[13]; /* "GenuineIntel", "AuthenticAMD" */
    uint32_t family;
    uint32_t model;
    uint32_t stepping;
};
void arch_host_cpu_read(struct arch_host_cpu *ret_host);

struct arch_cpu_config {
    uint32_t vcpus_count;
    bool smt;
    uint32_t tsc_khz; /* guest TSC frequency; 0: unknown, leave the frequency leaves as they are */
    enum cfg_template static_template;
    const struct cfg_cpu_template *custom_template; /* NULL: none; wins over static_template */
};

/*
 * The list all vCPUs share before their index is filled in: `supported` (KVM's) with the template
 * applied and normalised. *cpuid is changed in place; on failure it is unspecified. Returns 0 or
 * -EINVAL (sentences of devices.md 9).
 */
MUST_CHECK int arch_cpuid_prepare(struct hv_cpuid *cpuid, const struct arch_host_cpu *host,
                                  const struct arch_cpu_config *config, struct err *err);

/* Fills in the fields that differ per vCPU (APIC ids). Pure. */
void arch_cpuid_set_index(struct hv_cpuid *cpuid, uint32_t vcpu_idx,
                          const struct arch_cpu_config *config);

/* Boot MSRs (devices.md 10) into *ret_msrs. Pure. */
void arch_boot_msrs(struct hv_msrs *ret_msrs);

/* Adds the template's MSRs: reads each (must be readable), changes the masked bits, appends to
 * *msrs. CPUID must be set before. Returns 0 or -errno. */
MUST_CHECK int arch_template_msrs(struct hv_vcpu *vcpu, const struct arch_cpu_config *config,
                                  struct hv_msrs *msrs, struct err *err);

/* Adds an MSR to the list, unless it is there or there is no room. Pure. */
void arch_add_kept_msr(struct hv_msr_list *list, uint32_t index);

/* Leaves of a list of MSRs those that hold a guest's state (snapshot.md 2). Pure. */
void arch_kept_msrs(struct hv_msr_list *list);

/* FPU state at boot and LINT0/LINT1 of the local APIC. Pure. */
void arch_boot_fpu(struct kvm_fpu *ret_fpu);
void arch_boot_lapic(struct kvm_lapic_state *lapic);
