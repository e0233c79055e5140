# SPDX-License-Identifier: Apache-2.0
# Says that it runs and halts for ever.
.include "guest.inc"
.global _start
_start:
    say "halted\n"
1:  hlt
    jmp 1b
    guest_library
