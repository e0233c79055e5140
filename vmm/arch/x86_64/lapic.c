/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Local APIC of a vCPU at boot: LINT0 takes the PIC's interrupts, LINT1 is the NMI (devices.md 10;
 * Intel SDM 3A, 11.5.1). Thread: vmm, before the guest runs.
 */
#include <string.h>

#include "vmm/arch/x86_64/cpu.h"
#include "vmm/arch/x86_64/cpuid_int.h"

/* Offsets in the register page, and the delivery mode in bits 10:8 of a local vector entry. */
#define APIC_LVT_LINT0 0x350u
#define APIC_LVT_LINT1 0x360u
#define APIC_DELIVERY_NMI 4u
#define APIC_DELIVERY_EXTINT 7u

static void set_delivery(struct kvm_lapic_state *lapic, uint32_t off, uint32_t mode)
{
    uint32_t entry;
    memcpy(&entry, lapic->regs + off, sizeof(entry));
    entry = arch_bits_put(entry, 10, 8, mode);
    memcpy(lapic->regs + off, &entry, sizeof(entry));
}

void arch_boot_lapic(struct kvm_lapic_state *lapic)
{
    set_delivery(lapic, APIC_LVT_LINT0, APIC_DELIVERY_EXTINT);
    set_delivery(lapic, APIC_LVT_LINT1, APIC_DELIVERY_NMI);
}
