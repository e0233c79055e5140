# SPDX-License-Identifier: Apache-2.0
# Two vCPUs: the second resets the VM while the first spins.
.include "guest.inc"
.global _start
_start:
    map_mmio
    say "first vCPU runs\n"
    start_second_vcpu second, second_end
1:  jmp 1b
    guest_library

.code16
second:
    movw $COM1, %dx
    movb $'2', %al
    outb %al, %dx
    movb $I8042_RESET, %al
    outb %al, $I8042_COMMAND
    hlt
second_end:
