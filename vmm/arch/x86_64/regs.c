/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Registers at the guest's first instruction: long mode for the Linux 64-bit boot protocol, 32-bit
 * protected mode without paging for PVH (devices.md 8.2). Thread: vmm, before the guest runs. Pure.
 */
#include "vmm/arch/x86_64/arch.h"

#include "vmm/arch/x86_64/boot_int.h"

#define CR0_PE 0x1ull
#define CR0_ET 0x10ull
#define CR0_PG 0x80000000ull
#define CR4_PAE 0x20ull
#define EFER_LME 0x100ull
#define EFER_LMA 0x400ull
#define RFLAGS_RESERVED 0x2ull /* bit 1 reads as one; interrupts off */

#define SEGMENT_CODE 0xbu /* execute, read, accessed */
#define SEGMENT_DATA 0x3u /* read, write, accessed */
#define SEGMENT_TSS 0xbu  /* busy */
#define IDT_LIMIT 7u      /* one empty entry */
#define TSS_LIMIT 0x67u

static struct kvm_segment flat_segment(uint8_t type, uint16_t selector)
{
    return (struct kvm_segment){
        .base = 0,
        .limit = 0xffffffff,
        .selector = selector,
        .type = type,
        .present = 1,
        .db = 1,
        .s = 1,
        .g = 1,
    };
}

void arch_boot_regs(const struct arch_kernel *kernel, struct kvm_regs *ret_regs,
                    struct kvm_sregs *sregs)
{
    struct kvm_regs regs = {.rip = kernel->entry, .rflags = RFLAGS_RESERVED};
    struct kvm_segment data = flat_segment(SEGMENT_DATA, BOOT_SELECTOR_DATA);

    sregs->cs = flat_segment(SEGMENT_CODE, BOOT_SELECTOR_CODE);
    sregs->ds = data;
    sregs->es = data;
    sregs->fs = data;
    sregs->gs = data;
    sregs->ss = data;
    /* Never loaded by the guest before it has its own; entering VMX needs a busy one. */
    sregs->tr = (struct kvm_segment){.limit = TSS_LIMIT, .type = SEGMENT_TSS, .present = 1};
    sregs->gdt.base = LAYOUT_GDT;
    sregs->gdt.limit = BOOT_GDT_ENTRIES * 8 - 1;
    sregs->idt.base = LAYOUT_IDT;
    sregs->idt.limit = IDT_LIMIT;
    sregs->cr4 = 0;

    switch (kernel->protocol) {
    case ARCH_PROTOCOL_LINUX64:
        regs.rsi = LAYOUT_ZERO_PAGE;
        regs.rsp = LAYOUT_BOOT_STACK;
        regs.rbp = LAYOUT_BOOT_STACK;
        sregs->cs.db = 0;
        sregs->cs.l = 1;
        sregs->cr3 = LAYOUT_PML4;
        sregs->cr4 = CR4_PAE;
        sregs->cr0 = CR0_PE | CR0_ET | CR0_PG;
        sregs->efer = EFER_LME | EFER_LMA;
        break;
    case ARCH_PROTOCOL_PVH:
        regs.rbx = LAYOUT_PVH_START_INFO;
        sregs->cr3 = 0;
        sregs->cr0 = CR0_PE | CR0_ET;
        sregs->efer = 0;
        break;
    }
    *ret_regs = regs;
}
