/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One plain sentence for an exit that ends the VM: what KVM said, where the guest was, which
 * bytes it could not run (KVM api.rst 5, KVM_EXIT_INTERNAL_ERROR). Thread: the vCPU's own.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "vmm/hv/hv_int.h"

#define INSN_SIZE_MAX 15u
#define HEX_SIZE (INSN_SIZE_MAX * 3 + 1)

/* Bytes at the guest's RIP: from KVM when it gave them, else through the guest's page tables. */
static uint32_t insn_bytes(struct hv_vcpu *vcpu, uint64_t rip, uint8_t *bytes)
{
    const struct kvm_run *run = vcpu->run;
    if (run->exit_reason == KVM_EXIT_INTERNAL_ERROR && run->internal.ndata >= 3 &&
        (run->emulation_failure.flags & KVM_INTERNAL_ERROR_EMULATION_FLAG_INSTRUCTION_BYTES)) {
        uint32_t count = run->emulation_failure.insn_size;
        if (count > INSN_SIZE_MAX)
            count = INSN_SIZE_MAX;
        memcpy(bytes, run->emulation_failure.insn_bytes, count);
        return count;
    }
    struct kvm_translation translation = {.linear_address = rip};
    if (!vcpu->vm->gmem || hv_ioctl(vcpu->fd, KVM_TRANSLATE, &translation) < 0 ||
        !translation.valid)
        return 0;
    uint64_t left_in_page = 4096 - translation.physical_address % 4096;
    uint32_t count = left_in_page < INSN_SIZE_MAX ? (uint32_t)left_in_page : INSN_SIZE_MAX;
    return gmem_read(vcpu->vm->gmem, gpa(translation.physical_address), bytes, count) < 0 ? 0
                                                                                          : count;
}

static void hex(const uint8_t *bytes, uint32_t count, char *text)
{
    text[0] = '\0';
    for (uint32_t i = 0; i < count; i++)
        (void)snprintf(text + i * 3, 4, "%02x ", bytes[i]);
    if (count)
        text[count * 3 - 1] = '\0';
}

static int explain_emulation(struct hv_vcpu *vcpu, uint64_t rip, struct err *err)
{
    uint8_t bytes[INSN_SIZE_MAX] = {0};
    char text[HEX_SIZE];
    uint32_t count = insn_bytes(vcpu, rip, bytes);
    hex(bytes, count, text);
    return err_set(
        err, -EIO,
        "vCPU %u: this host cannot run the guest's instruction at RIP 0x%llx (bytes %s): "
        "KVM_EXIT_INTERNAL_ERROR, emulation failure. KVM here has no hardware "
        "virtualization behind it, or the guest jumped to where no code is",
        vcpu->idx, (unsigned long long)rip, count ? text : "not readable");
}

int hv_vcpu_explain_exit(struct hv_vcpu *vcpu, struct err *err)
{
    const struct kvm_run *run = vcpu->run;
    struct kvm_regs regs = {0};
    unsigned long long rip = 0;
    if (hv_ioctl(vcpu->fd, KVM_GET_REGS, &regs) >= 0)
        rip = regs.rip;

    switch (run->exit_reason) {
    case KVM_EXIT_INTERNAL_ERROR:
        if (run->internal.suberror == KVM_INTERNAL_ERROR_EMULATION)
            return explain_emulation(vcpu, rip, err);
        return err_set(
            err, -EIO,
            "vCPU %u: KVM_EXIT_INTERNAL_ERROR, suberror %u, at RIP 0x%llx: KVM met a state "
            "it cannot go on from; the host's kernel log may say more",
            vcpu->idx, run->internal.suberror, rip);
    case KVM_EXIT_FAIL_ENTRY:
        return err_set(
            err, -EIO,
            "vCPU %u: the processor refused to enter the guest (KVM_EXIT_FAIL_ENTRY, hardware "
            "reason 0x%llx, RIP 0x%llx)",
            vcpu->idx, (unsigned long long)run->fail_entry.hardware_entry_failure_reason, rip);
    default:
        return err_set(err, -EIO, "vCPU %u: unexpected KVM exit reason %u at RIP 0x%llx", vcpu->idx,
                       run->exit_reason, rip);
    }
}
