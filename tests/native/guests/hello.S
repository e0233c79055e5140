# SPDX-License-Identifier: Apache-2.0
# Writes "M" to COM1 and resets through the keyboard controller: the shortest whole life of a guest.
.global _start
_start:
    movw $0x3f8, %dx
    movb $'M', %al
    outb %al, %dx
    movb $0xfe, %al
    outb %al, $0x64
    hlt
