# SPDX-License-Identifier: Apache-2.0
# A 16-byte compare and exchange on an address without memory: every KVM has to interpret it, and none can.
.include "guest.inc"
.global _start, impossible
_start:
    map_mmio
    say "trying\n"
    movl $0xc0800000, %ebx
    movq %rbx, %rsi
    xorl %eax, %eax
    xorl %edx, %edx
    xorl %ecx, %ecx
impossible:
    lock cmpxchg16b (%rsi)
    say "not reached\n"
    reset_vm
    guest_library
