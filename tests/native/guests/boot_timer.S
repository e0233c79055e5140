# SPDX-License-Identifier: Apache-2.0
# Writes to the boot timer: a wrong value, wrong widths and offsets, then the one that counts.
.include "guest.inc"
.set TIMER, 0xc0000000
.global _start
_start:
    map_mmio
    movl $TIMER, %ebx
    movb $122, (%rbx)
    movw $123, (%rbx)
    movl $123, (%rbx)
    movb $123, 1(%rbx)
    movb $123, (%rbx)
    say "timed\n"
    reset_vm
    guest_library
