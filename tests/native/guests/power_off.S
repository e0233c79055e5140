# SPDX-License-Identifier: Apache-2.0
# ACPI S5: first a sleep state that does not exist (the VM goes on), then power-off.
.include "guest.inc"
.global _start
_start:
    movw $0x600, %dx                # SLEEP_CONTROL
    movb $(3 << 2) | 0x20, %al
    outb %al, %dx
    say "still here\n"
    movw $0x600, %dx
    movb $(5 << 2) | 0x20, %al
    outb %al, %dx
    say "not reached\n"
1:  hlt
    jmp 1b
    guest_library
