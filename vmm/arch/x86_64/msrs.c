/* SPDX-License-Identifier: Apache-2.0 */
/*
 * MSRs and FPU state of a vCPU at boot (devices.md 10), and the MSRs of a CPU template (9.1).
 * Thread: vmm, before the guest runs.
 */
#include <assert.h>
#include <errno.h>
#include <string.h>

#include "vmm/arch/x86_64/cpuid_int.h"

/* Intel SDM 4, architectural MSRs; AMD APM 2, appendix A. */
#define MSR_IA32_TSC 0x10u
#define MSR_IA32_SYSENTER_CS 0x174u
#define MSR_IA32_SYSENTER_ESP 0x175u
#define MSR_IA32_SYSENTER_EIP 0x176u
#define MSR_IA32_MISC_ENABLE 0x1a0u
#define MSR_IA32_MTRR_DEF_TYPE 0x2ffu
#define MSR_STAR 0xc0000081u
#define MSR_LSTAR 0xc0000082u
#define MSR_CSTAR 0xc0000083u
#define MSR_SYSCALL_MASK 0xc0000084u
#define MSR_KERNEL_GS_BASE 0xc0000102u

#define MISC_ENABLE_FAST_STRING 0x1u
#define MTRR_ENABLE (1u << 11)
#define MTRR_TYPE_WRITE_BACK 6u

#define FPU_CONTROL_WORD 0x37fu
#define FPU_MXCSR 0x1f80u

static const struct kvm_msr_entry boot_msrs[] = {
    {.index = MSR_IA32_SYSENTER_CS},
    {.index = MSR_IA32_SYSENTER_ESP},
    {.index = MSR_IA32_SYSENTER_EIP},
    {.index = MSR_STAR},
    {.index = MSR_CSTAR},
    {.index = MSR_KERNEL_GS_BASE},
    {.index = MSR_SYSCALL_MASK},
    {.index = MSR_LSTAR},
    {.index = MSR_IA32_TSC},
    {.index = MSR_IA32_MISC_ENABLE, .data = MISC_ENABLE_FAST_STRING},
    {.index = MSR_IA32_MTRR_DEF_TYPE, .data = MTRR_ENABLE | MTRR_TYPE_WRITE_BACK},
};

static_assert(ARRAY_LEN(boot_msrs) <= HV_MSRS_MAX, "boot MSRs fit the list");
static_assert(CFG_MSRS_MAX <= HV_MSRS_MAX, "a template's MSRs are read in one call");

void arch_boot_msrs(struct hv_msrs *ret_msrs)
{
    memset(ret_msrs, 0, sizeof(*ret_msrs));
    ret_msrs->count = ARRAY_LEN(boot_msrs);
    memcpy(ret_msrs->entries, boot_msrs, sizeof(boot_msrs));
}

int arch_template_msrs(struct hv_vcpu *vcpu, const struct arch_cpu_config *config,
                       struct hv_msrs *msrs, struct err *err)
{
    struct arch_template template = arch_template_of(config);
    if (template.msrs_count == 0)
        return 0;
    assert(template.msrs_count <= CFG_MSRS_MAX);

    struct hv_msrs current = {.count = template.msrs_count};
    for (uint32_t i = 0; i < template.msrs_count; i++)
        current.entries[i].index = template.msrs[i].addr;
    int rc = hv_vcpu_get_msrs(vcpu, &current, err);
    if (rc < 0)
        return err_prefix(err, "Cannot apply the MSRs of the CPU template: ");
    return arch_template_msrs_merge(&template, &current, msrs, err);
}

void arch_boot_fpu(struct kvm_fpu *ret_fpu)
{
    memset(ret_fpu, 0, sizeof(*ret_fpu));
    ret_fpu->fcw = FPU_CONTROL_WORD;
    ret_fpu->mxcsr = FPU_MXCSR;
}
