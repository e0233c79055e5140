/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a state file has of the vCPUs and of the VM, as text for people: the editor's info-vmstate.
 * Firecracker's program prints its own structs; the names are the same where the thing is. Single
 * thread.
 */
#include <stdio.h>

#include "snapshots/tool/commands.h"
#include "snapshots/tool/verify.h"

static void print_regs(const struct kvm_regs *regs)
{
    const struct {
        const char *name;
        uint64_t value;
    } all[] = {
        {"rax", regs->rax}, {"rbx", regs->rbx},       {"rcx", regs->rcx}, {"rdx", regs->rdx},
        {"rsi", regs->rsi}, {"rdi", regs->rdi},       {"rsp", regs->rsp}, {"rbp", regs->rbp},
        {"r8", regs->r8},   {"r9", regs->r9},         {"r10", regs->r10}, {"r11", regs->r11},
        {"r12", regs->r12}, {"r13", regs->r13},       {"r14", regs->r14}, {"r15", regs->r15},
        {"rip", regs->rip}, {"rflags", regs->rflags},
    };
    for (size_t i = 0; i < ARRAY_LEN(all); i++)
        (void)printf("  %s: 0x%llx\n", all[i].name, (unsigned long long)all[i].value);
}

static void print_sregs(const struct kvm_sregs *sregs)
{
    const struct {
        const char *name;
        const struct kvm_segment *segment;
    } segments[] = {
        {"cs", &sregs->cs}, {"ds", &sregs->ds}, {"es", &sregs->es}, {"fs", &sregs->fs},
        {"gs", &sregs->gs}, {"ss", &sregs->ss}, {"tr", &sregs->tr}, {"ldt", &sregs->ldt},
    };
    for (size_t i = 0; i < ARRAY_LEN(segments); i++)
        (void)printf("  %s: selector 0x%x, base 0x%llx, limit 0x%x\n", segments[i].name,
                     segments[i].segment->selector, (unsigned long long)segments[i].segment->base,
                     segments[i].segment->limit);
    (void)printf("  gdt: base 0x%llx, limit 0x%x\n  idt: base 0x%llx, limit 0x%x\n",
                 (unsigned long long)sregs->gdt.base, sregs->gdt.limit,
                 (unsigned long long)sregs->idt.base, sregs->idt.limit);
    (void)printf("  cr0: 0x%llx\n  cr2: 0x%llx\n  cr3: 0x%llx\n  cr4: 0x%llx\n  cr8: 0x%llx\n"
                 "  efer: 0x%llx\n  apic_base: 0x%llx\n",
                 (unsigned long long)sregs->cr0, (unsigned long long)sregs->cr2,
                 (unsigned long long)sregs->cr3, (unsigned long long)sregs->cr4,
                 (unsigned long long)sregs->cr8, (unsigned long long)sregs->efer,
                 (unsigned long long)sregs->apic_base);
}

static void print_vcpu(uint32_t idx, const struct hv_vcpu_state *vcpu)
{
    (void)printf("vcpu %u:\n  mp_state: %u\n  tsc_khz: %u\n", idx, vcpu->mp_state, vcpu->tsc_khz);
    print_regs(&vcpu->regs);
    print_sregs(&vcpu->sregs);
    (void)printf("  xsave: %u bytes\n", vcpu->xsave_size);
    for (uint32_t i = 0; i < vcpu->cpuid.count; i++) {
        const struct kvm_cpuid_entry2 *entry = &vcpu->cpuid.entries[i];
        (void)printf("  cpuid 0x%x.0x%x: eax 0x%08x, ebx 0x%08x, ecx 0x%08x, edx 0x%08x\n",
                     entry->function, entry->index, entry->eax, entry->ebx, entry->ecx, entry->edx);
    }
    for (uint32_t i = 0; i < vcpu->msrs_count; i++)
        (void)printf("  msr 0x%x: 0x%llx\n", vcpu->msrs[i].index,
                     (unsigned long long)vcpu->msrs[i].data);
}

int snaptool_vcpu_states(const struct snaptool_args *args, struct err *err)
{
    struct snapf_content *content = NULL;
    int rc = snaptool_state_read(args->state, &content, err);
    if (rc < 0)
        return rc;
    for (uint32_t i = 0; i < content->machine.vcpus_count; i++)
        print_vcpu(i, &content->machine.vcpus[i]);
    snaptool_state_free(content);
    return 0;
}

static void print_device(const struct machine_device_state *device)
{
    const char *name = "virtio device";
    switch (device->kind) {
    case MACHINE_DEVICE_BLK:
        name = "block";
        break;
    case MACHINE_DEVICE_NET:
        name = "net";
        break;
    case MACHINE_DEVICE_VSOCK:
        name = "vsock";
        break;
    }
    (void)printf("%s: base 0x%llx, gsi %u, features 0x%llx, %s, %u queues\n", name,
                 (unsigned long long)device->base, device->gsi,
                 (unsigned long long)device->virtio.acked,
                 device->virtio.active ? "in use" : "not in use", device->virtio.queues_count);
}

int snaptool_vm_state(const struct snaptool_args *args, struct err *err)
{
    struct snapf_content *content = NULL;
    int rc = snaptool_state_read(args->state, &content, err);
    if (rc < 0)
        return rc;
    const struct machine_state *machine = &content->machine;
    (void)printf("vcpus: %u\nirqchip: %s\nkvm clock: %llu ns\n", machine->vcpus_count,
                 hv_irqchip_name(machine->vm.irqchip), (unsigned long long)machine->vm.clock.clock);
    for (uint32_t i = 0; i < machine->regions_count; i++)
        (void)printf("memory: base 0x%llx, size 0x%llx\n",
                     (unsigned long long)machine->regions[i].base.v,
                     (unsigned long long)machine->regions[i].size);
    (void)printf("vmgenid: base 0x%llx, gsi %u\nvmclock: base 0x%llx, gsi %u\n",
                 (unsigned long long)machine->generation.place.vmgenid_base,
                 machine->generation.vmgenid_gsi,
                 (unsigned long long)machine->generation.place.vmclock_base,
                 machine->generation.vmclock_gsi);
    for (uint32_t i = 0; i < machine->devices_count; i++)
        print_device(&machine->devices[i]);
    snaptool_state_free(content);
    return 0;
}
