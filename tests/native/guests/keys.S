# SPDX-License-Identifier: Apache-2.0
# Prints each scan code that the keyboard sends; resets after four.
.include "guest.inc"
.global _start
_start:
    say "ready\n"
    movl $4, %ebx
1:  inb $I8042_COMMAND, %al
    testb $1, %al
    jz 1b
    inb $0x60, %al
    movzbl %al, %edi
    call guest_say_hex
    say "\n"
    decl %ebx
    jnz 1b
    reset_vm
    guest_library
