# SPDX-License-Identifier: Apache-2.0
# Jumps to an address that page tables map but no memory stands behind.
.include "guest.inc"
.global _start
_start:
    say "jumping\n"
    movl $0x3f000000, %eax
    jmp *%rax
    guest_library
