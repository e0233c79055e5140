# SPDX-License-Identifier: Apache-2.0
# Two vCPUs: the second triple-faults as soon as it runs, the first would reset long after.
.include "guest.inc"
.global _start
_start:
    map_mmio
    start_second_vcpu second, second_end
    movl $0xffffffff, %ecx
1:  decl %ecx
    jnz 1b
    reset_vm
    guest_library

.code16
second:
    movw $AP_CODE >> 4, %ax
    movw %ax, %ds
    lidt no_idt - second
    movl %cr0, %eax
    orb $1, %al                     # real mode would take vectors from address 0
    movl %eax, %cr0
    xorw %cx, %cx
    divw %cx
no_idt:
    .word 0
    .long 0
second_end:
