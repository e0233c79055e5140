/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The only KVM ioctls of Mayfly: one hypervisor handle, one VM, its memory slots, interrupt
 * plumbing and vCPUs. Structs of Linux's uapi pass through unchanged. Order that KVM likes
 * (research: 7 ms on current hosts): memory slots before irqchip, irqfds and ioeventfds; one
 * routing table at build. Errors name the call, the errno and, looked up only after a failure,
 * the missing capability (KVM api.rst).
 */
#pragma once

#include <linux/kvm.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/mem/gmem.h"

#define HV_CPUID_ENTRIES_MAX 256u
#define HV_MSRS_MAX 256u
#define HV_GSI_COUNT 24u
#define HV_ROUTES_MAX (3u * HV_GSI_COUNT) /* a full table: PIC, IOAPIC and spare */
#define HV_VCPUS_MAX 64u

enum hv_irqchip { HV_IRQCHIP_SPLIT, HV_IRQCHIP_FULL };

/* As --irqchip names it. */
static inline const char *hv_irqchip_name(enum hv_irqchip irqchip)
{
    return irqchip == HV_IRQCHIP_FULL ? "full" : "split";
}

/* /dev/kvm. In the caller's storage; fds start at FD_NONE. Thread: vmm. */
struct hv {
    int fd;
    size_t run_size;  /* bytes of one vCPU's shared page(s) */
    uint32_t tsc_khz; /* of a vCPU that nobody has scaled; 0 until there is one */
};

/* Fixed-capacity lists in the shape KVM wants (header, then entries). */
struct hv_cpuid {
    uint32_t count;
    uint32_t padding;
    struct kvm_cpuid_entry2 entries[HV_CPUID_ENTRIES_MAX];
};
struct hv_msrs {
    uint32_t count;
    uint32_t padding;
    struct kvm_msr_entry entries[HV_MSRS_MAX];
};

/*
 * Opens the KVM node. path: "/dev/kvm". The sentence tells a missing node, a missing permission
 * and a node that is not KVM apart. Returns 0 (hv_close) or -errno.
 */
MUST_CHECK int hv_open(const char *path, struct hv *ret_hv, struct err *err);
void hv_close(struct hv *hv);

/* CPUID leaves this host's KVM can give a guest. Returns 0 or -errno. */
MUST_CHECK int hv_supported_cpuid(const struct hv *hv, struct hv_cpuid *ret_cpuid, struct err *err);

/* Is capability `cap` (KVM_CAP_*) there, and how much? Negative: -errno. */
MUST_CHECK int hv_check_capability(const struct hv *hv, uint32_t cap);

/* One virtual machine. In the caller's storage. */
struct hv_vm {
    struct hv *hv;
    int fd;
    enum hv_irqchip irqchip;
    struct gmem *gmem; /* borrowed; NULL until hv_vm_add_memory */
};

MUST_CHECK int hv_vm_create(struct hv *hv, struct hv_vm *ret_vm, struct err *err);
void hv_vm_close(struct hv_vm *vm);

/* Registers every region of `gmem` as a memory slot, in order; `log_dirty` turns KVM's dirty log
 * on. Call before hv_vm_create_irqchip. gmem outlives the VM. */
MUST_CHECK int hv_vm_add_memory(struct hv_vm *vm, struct gmem *gmem, bool log_dirty,
                                struct err *err);

/* Split: LAPICs in the kernel, IOAPIC ours. Full: PIC, IOAPIC and PIT in the kernel. Before the
 * first vCPU. */
MUST_CHECK int hv_vm_create_irqchip(struct hv_vm *vm, enum hv_irqchip irqchip, struct err *err);

/* The whole GSI table at once (KVM_SET_GSI_ROUTING). entries: at most HV_ROUTES_MAX. Any thread. */
MUST_CHECK int hv_vm_set_routes(struct hv_vm *vm, const struct kvm_irq_routing_entry *entries,
                                uint32_t entries_count, struct err *err);

/* Eventfd `fd` raises `gsi`, edge (KVM_IRQFD). */
MUST_CHECK int hv_vm_irqfd(struct hv_vm *vm, int fd, uint32_t gsi, struct err *err);

/* Raises `gsi` once, edge, without an eventfd (KVM_IRQ_LINE). Not while the guest needs it
 * often. */
MUST_CHECK int hv_vm_pulse(struct hv_vm *vm, uint32_t gsi, struct err *err);

/* A guest's 4-byte MMIO write of `datamatch` at `addr` raises eventfd `fd` (KVM_IOEVENTFD). */
MUST_CHECK int hv_vm_ioeventfd(struct hv_vm *vm, int fd, gpa_t addr, uint32_t datamatch,
                               struct err *err);

/*
 * From now on the kernel keeps a guest's writes to the `len` bytes at `addr` to itself, in order,
 * and no vCPU exits for them (KVM_REGISTER_COALESCED_MMIO; when its ring is full they exit as
 * ever). For registers whose writes may take effect late: hv_vcpu_late_write. Returns 1, 0 when
 * this KVM cannot, or -errno.
 */
MUST_CHECK int hv_vm_coalesce_writes(struct hv_vm *vm, gpa_t addr, uint32_t len, struct err *err);

/* Why KVM_RUN came back; the numbers behind it stand in the vCPU's run area. */
enum hv_exit {
    HV_EXIT_INTERRUPTED, /* a signal or immediate_exit: look at the stop flag */
    HV_EXIT_IO,
    HV_EXIT_MMIO,
    HV_EXIT_HLT,
    HV_EXIT_SHUTDOWN, /* triple fault */
    HV_EXIT_SYSTEM_EVENT,
    HV_EXIT_FAIL_ENTRY,
    HV_EXIT_INTERNAL_ERROR,
    HV_EXIT_OTHER,
};

/* One vCPU. The thread that runs it owns it once the guest runs. In the caller's storage. */
struct hv_vcpu {
    struct hv_vm *vm;
    int fd;
    uint32_t idx;
    struct kvm_run *run; /* run_size bytes, shared with the kernel */
};

MUST_CHECK int hv_vcpu_create(struct hv_vm *vm, uint32_t idx, struct hv_vcpu *ret_vcpu,
                              struct err *err);
void hv_vcpu_close(struct hv_vcpu *vcpu);

/* Enters the guest until the next exit. Returns 0 with *ret_exit, or -errno of KVM_RUN. */
MUST_CHECK int hv_vcpu_run(struct hv_vcpu *vcpu, enum hv_exit *ret_exit);

/* Makes the running or next hv_vcpu_run return HV_EXIT_INTERRUPTED at once. Safe in a signal
 * handler. */
void hv_vcpu_kick(struct hv_vcpu *vcpu);
/* Takes the kick back before entering again. The vCPU's own thread. */
void hv_vcpu_unkick(struct hv_vcpu *vcpu);

/* One port or MMIO access in the run area, unpacked. data: `len` bytes each for `count` accesses
 * (string IO). */
struct hv_access {
    uint64_t addr;
    uint8_t *data;
    uint32_t len;
    uint32_t count;
    bool is_write;
};
MUST_CHECK int hv_vcpu_io(struct hv_vcpu *vcpu, struct hv_access *ret_access);
MUST_CHECK int hv_vcpu_mmio(struct hv_vcpu *vcpu, struct hv_access *ret_access);

/* A guest's write that the kernel kept (hv_vm_coalesce_writes). */
struct hv_late_write {
    uint64_t addr;
    uint32_t len;
    uint8_t data[8];
};

/* Room of KVM's ring: no vCPU can have made more of them before its exit. */
#define HV_LATE_WRITES_MAX 170u

/*
 * Takes the oldest late write, whichever vCPU made it: all of a VM share one ring. Callers take
 * turns, under a lock of theirs. Returns 1 with *ret_write, 0 when there is none, or -EIO when the
 * ring says what cannot be.
 */
MUST_CHECK int hv_vcpu_late_write(struct hv_vcpu *vcpu, struct hv_late_write *ret_write);

/*
 * One plain sentence about a HV_EXIT_INTERNAL_ERROR, HV_EXIT_FAIL_ENTRY or HV_EXIT_OTHER: what
 * KVM said, RIP, and for an emulation failure the instruction bytes and that this host's KVM
 * cannot run it. Returns -EIO.
 */
int hv_vcpu_explain_exit(struct hv_vcpu *vcpu, struct err *err);

/* State in and out, one ioctl each. get fills, set applies; 0 or -errno with the call named. */
MUST_CHECK int hv_vcpu_set_cpuid(struct hv_vcpu *vcpu, const struct hv_cpuid *cpuid,
                                 struct err *err);
MUST_CHECK int hv_vcpu_get_regs(struct hv_vcpu *vcpu, struct kvm_regs *ret_regs, struct err *err);
MUST_CHECK int hv_vcpu_set_regs(struct hv_vcpu *vcpu, const struct kvm_regs *regs, struct err *err);
MUST_CHECK int hv_vcpu_get_sregs(struct hv_vcpu *vcpu, struct kvm_sregs *ret_sregs,
                                 struct err *err);
MUST_CHECK int hv_vcpu_set_sregs(struct hv_vcpu *vcpu, const struct kvm_sregs *sregs,
                                 struct err *err);
MUST_CHECK int hv_vcpu_set_fpu(struct hv_vcpu *vcpu, const struct kvm_fpu *fpu, struct err *err);
MUST_CHECK int hv_vcpu_get_lapic(struct hv_vcpu *vcpu, struct kvm_lapic_state *ret_lapic,
                                 struct err *err);
MUST_CHECK int hv_vcpu_set_lapic(struct hv_vcpu *vcpu, const struct kvm_lapic_state *lapic,
                                 struct err *err);
MUST_CHECK int hv_vcpu_set_mp_state(struct hv_vcpu *vcpu, uint32_t mp_state, struct err *err);
/* All of them must be accepted; the sentence names the first MSR that is not. */
MUST_CHECK int hv_vcpu_set_msrs(struct hv_vcpu *vcpu, const struct hv_msrs *msrs, struct err *err);
/* Reads the MSRs whose indexes are in *msrs and fills their data. */
MUST_CHECK int hv_vcpu_get_msrs(struct hv_vcpu *vcpu, struct hv_msrs *msrs, struct err *err);
/* Tells a guest with kvmclock that it was paused (KVM_KVMCLOCK_CTRL). Returns 0, or -EINVAL: it has
 * none, or -errno. */
MUST_CHECK int hv_vcpu_kvmclock_ctrl(struct hv_vcpu *vcpu, struct err *err);
/* Guest TSC frequency in kHz; 0 or -errno. */
MUST_CHECK int hv_vcpu_get_tsc_khz(struct hv_vcpu *vcpu, uint32_t *ret_khz, struct err *err);
