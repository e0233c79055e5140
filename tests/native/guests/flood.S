# SPDX-License-Identifier: Apache-2.0
# Writes 16 KiB to the serial port and resets.
.include "guest.inc"
.global _start
_start:
    movl $SCRATCH, %edi
    movb $'x', %al
    movl $1024, %ecx
    cld
    rep stosb
    movl $16, %ebx
1:  movl $SCRATCH, %esi
    movl $1024, %ecx
    movw $COM1, %dx
    rep outsb
    decl %ebx
    jnz 1b
    reset_vm
    guest_library
