# SPDX-License-Identifier: Apache-2.0
# Says "ready", waits until it is another VM than it was (VMGenID changes when a snapshot is loaded), says "awake" and
# halts for ever. Which VM it is it knows before it speaks: the snapshot may be taken as soon as it has.
.include "guest.inc"
.set VMGENID, 0xdfff0
.global _start
_start:
    movl $VMGENID, %ebx
    movq (%rbx), %rbp
    say "ready\n"
1:  cmpq %rbp, (%rbx)
    je 1b
    say "awake\n"
2:  hlt
    jmp 2b
    guest_library
