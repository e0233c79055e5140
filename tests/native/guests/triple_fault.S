# SPDX-License-Identifier: Apache-2.0
# Reads an address that no page table maps, with an empty IDT: fault, double fault, shutdown.
.include "guest.inc"
.global _start
_start:
    say "falling\n"
    lidt no_idt(%rip)
    movl $0x7f000000, %eax
    movl (%rax), %eax
    say "not reached\n"
    reset_vm
no_idt:
    .word 0
    .quad 0
    guest_library
