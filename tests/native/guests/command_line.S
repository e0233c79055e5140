# SPDX-License-Identifier: Apache-2.0
# Prints the kernel command line and resets.
.include "guest.inc"
.set ZERO_PAGE_CMD_LINE_PTR, 0x228
.global _start
_start:
    movl ZERO_PAGE_CMD_LINE_PTR(%rsi), %esi
    call guest_say
    say "\n"
    reset_vm
    guest_library
