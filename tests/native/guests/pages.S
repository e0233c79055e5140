# SPDX-License-Identifier: Apache-2.0
# Sixteen pages at 4 MiB that the serial input changes. A digit fills them with that number, `z` zeroes them, `s` says
# the sum of their 32-bit words and `n` the sum of 16 pages that nothing ever touched but `n`.
.include "guest.inc"
.set PAGES, 0x400000
.set NEVER, 0x800000
.set WORDS, 16 * 1024
.global _start
_start:
    say "ready\n"
1:  movw $COM1 + 5, %dx             # LSR
    inb %dx, %al
    testb $1, %al
    jz 1b
    movw $COM1, %dx
    inb %dx, %al
    movl $PAGES, %edi
    movl $WORDS, %ecx
    cmpb $'z', %al
    je 2f
    cmpb $'s', %al
    je 4f
    cmpb $'n', %al
    je 3f
    movzbl %al, %eax
    subl $'0', %eax
    jmp 5f
2:  xorl %eax, %eax
5:  cld
    rep stosl
    say "done\n"
    jmp 1b
3:  movl $NEVER, %edi
4:  xorl %ebx, %ebx
6:  addl (%rdi), %ebx
    addl $4, %edi
    decl %ecx
    jnz 6b
    say_hex %ebx
    say "\n"
    jmp 1b
    guest_library
