# SPDX-License-Identifier: Apache-2.0
# Counts for ever, one number a line: in a register, and in memory on a page of its own, which must agree.
.include "guest.inc"
.global _start
_start:
    say "numbers\n"
    xorl %r12d, %r12d
1:  movl $4000, %ecx
2:  decl %ecx
    jnz 2b
    cmpl %r12d, number
    jne 3f
    incl %r12d
    incl number
    say_hex %r12d
    say "\n"
    jmp 1b
3:  say "memory and register differ\n"
    reset_vm
    guest_library
.balign 4096
number:
    .long 0
.balign 4096
