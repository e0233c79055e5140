# SPDX-License-Identifier: Apache-2.0
# Prints a full stop now and then for ever: whoever sees no more of them knows that it does not run.
.include "guest.inc"
.global _start
_start:
    say "counting\n"
    movw $COM1, %dx
1:  movl $20000, %ecx
2:  decl %ecx
    jnz 2b
    movb $'.', %al
    outb %al, %dx
    jmp 1b
    guest_library
