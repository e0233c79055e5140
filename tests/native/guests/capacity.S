# SPDX-License-Identifier: Apache-2.0
# Prints the disk's number of sectors, and again whenever it is another. For ever.
.include "guest.inc"
.set CAPACITY, 0xc0001100
.global _start
_start:
    map_mmio
    movl $CAPACITY, %ebx
    movl $-1, %ebp
1:  movl (%rbx), %eax
    cmpl %eax, %ebp
    je 1b
    movl %eax, %ebp
    say_hex %ebp
    say "\n"
    jmp 1b
    guest_library
