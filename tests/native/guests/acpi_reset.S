# SPDX-License-Identifier: Apache-2.0
# ACPI's reset register: a wrong value (the VM goes on), then the right one.
.include "guest.inc"
.global _start
_start:
    movw $0x602, %dx                # RESET_REG
    movb $2, %al
    outb %al, %dx
    say "still here\n"
    movw $0x602, %dx
    movb $1, %al
    outb %al, %dx
    say "not reached\n"
1:  hlt
    jmp 1b
    guest_library
