# SPDX-License-Identifier: Apache-2.0
# Two vCPUs count for ever, each in a register and in memory: the first prints both counts, a line a number of its own.
.include "guest.inc"
.set SECOND_COUNT, 0x20000
.global _start
_start:
    map_mmio
    movl $SECOND_COUNT, %eax
    movl $0, (%rax)
    start_second_vcpu second, second_end
    xorl %r12d, %r12d
1:  movl $4000, %ecx
2:  decl %ecx
    jnz 2b
    cmpl %r12d, number
    jne 3f
    incl %r12d
    incl number
    say_hex %r12d
    say " "
    say_hex SECOND_COUNT
    say "\n"
    jmp 1b
3:  say "memory and register differ\n"
    reset_vm
    guest_library
.balign 4096
number:
    .long 0

.code16
second:
    movw $SECOND_COUNT >> 4, %ax
    movw %ax, %ds
    xorl %ebx, %ebx
1:  incl %ebx
    incl 0
    cmpl %ebx, 0
    je 1b
    movw $COM1, %dx
    movb $'!', %al                  # register and memory differ
    outb %al, %dx
    hlt
second_end:
