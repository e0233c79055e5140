# SPDX-License-Identifier: Apache-2.0
# Sends every byte of the serial input back until a full stop arrives, then resets.
.include "guest.inc"
.global _start
_start:
    say "ready\n"
1:  movw $COM1 + 5, %dx             # LSR
    inb %dx, %al
    testb $1, %al
    jz 1b
    movw $COM1, %dx
    inb %dx, %al
    outb %al, %dx
    cmpb $'.', %al
    jne 1b
    say "\n"
    reset_vm
    guest_library
