/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a snapshot keeps of KVM: one vCPU's state and the VM's, as Linux's uapi structs, which are a
 * stable ABI (KVM api.rst). Plain data; belongs to whoever holds it. snapshots/format knows its
 * bytes and versions. Thread: vmm, while no vCPU is in KVM_RUN.
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/hv/hv.h"

/* The largest that KVM_CAP_XSAVE2 has said on any host is 11,008 bytes (AMX). */
#define HV_STATE_XSAVE_SIZE_MAX 16384u
#define HV_STATE_XSAVE_SIZE_MIN 4096u
#define HV_STATE_MSRS_MAX 512u
#define HV_STATE_CHIPS_COUNT 3u /* both PICs, and the IOAPIC: of the kernel's irqchip only */

struct hv_vcpu_state {
    uint32_t mp_state;
    uint32_t tsc_khz;
    struct kvm_regs regs;
    struct kvm_sregs sregs;
    struct kvm_debugregs debugregs;
    struct kvm_xcrs xcrs;
    struct kvm_lapic_state lapic;
    struct kvm_vcpu_events events;
    struct hv_cpuid cpuid;
    uint32_t msrs_count;
    struct kvm_msr_entry msrs[HV_STATE_MSRS_MAX]; /* TSC_DEADLINE is the last */
    uint32_t xsave_size;                          /* bytes */
    uint8_t xsave[HV_STATE_XSAVE_SIZE_MAX];
};

struct hv_vm_state {
    enum hv_irqchip irqchip;
    struct kvm_clock_data clock;
    struct kvm_irqchip chips[HV_STATE_CHIPS_COUNT]; /* HV_IRQCHIP_FULL only */
    struct kvm_pit_state2 pit;                      /* likewise */
};

/* MSRs by index. */
struct hv_msr_list {
    uint32_t count;
    uint32_t indexes[HV_STATE_MSRS_MAX];
};

/* The MSRs that this host's KVM saves (KVM_GET_MSR_INDEX_LIST). Returns 0 or -errno; -E2BIG: more
 * than HV_STATE_MSRS_MAX. */
MUST_CHECK int hv_msr_index_list(const struct hv *hv, struct hv_msr_list *ret_list,
                                 struct err *err);

/* Takes a vCPU's state, with the MSRs of `list`; what was begun in its last exit has been finished
 * (a run that was kicked). Returns 0 or -errno with the call named. */
MUST_CHECK int hv_vcpu_save(struct hv_vcpu *vcpu, const struct hv_msr_list *list,
                            struct hv_vcpu_state *ret_state, struct err *err);

/*
 * Puts it into a fresh vCPU, in the order that KVM needs: APIC before MSRs, the TSC before its
 * deadline, events last. Returns 0 or -errno with the call named, also when this host's CPU lacks
 * what the state has.
 */
MUST_CHECK int hv_vcpu_restore(struct hv_vcpu *vcpu, const struct hv_vcpu_state *state,
                               struct err *err);

/* Where the guest has KVM write its clock (MSR_KVM_SYSTEM_TIME_NEW); 0: nowhere. Pure. */
uint64_t hv_vcpu_state_clock(const struct hv_vcpu_state *state);

/* The VM's clock and, of the kernel's irqchip, PICs, IOAPIC and PIT. Returns 0 or -errno. */
MUST_CHECK int hv_vm_save(struct hv_vm *vm, struct hv_vm_state *ret_state, struct err *err);

/*
 * Puts them into a VM with the same kind of irqchip. The clock goes on where it was, or, with
 * realtime, has gone on by the host's time since: then the state must have that time
 * (hv_vm_state_has_realtime). Returns 0 or -errno.
 */
MUST_CHECK int hv_vm_restore(struct hv_vm *vm, const struct hv_vm_state *state, bool realtime,
                             struct err *err);
/* Does the state say what the host's time was as the clock was read? KVM tells it where the host's
 * clock is its TSC. Pure. */
bool hv_vm_state_has_realtime(const struct hv_vm_state *state);

/* KVM's dirty log of memory slot `slot` since the last call, one bit a page as gmem_dirty_take.
 * words: as many as the slot needs. Returns 0 or -errno. */
MUST_CHECK int hv_vm_dirty_log(struct hv_vm *vm, uint32_t slot, uint64_t *words, struct err *err);
