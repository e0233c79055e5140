# SPDX-License-Identifier: Apache-2.0
# MMIO: a drive's window answers with magic value, version, device id and capacity; addresses without a device read 0
# at every width and swallow writes.
.include "guest.inc"
.set WINDOW, 0xc0001000
.global _start
_start:
    map_mmio
    movl $WINDOW, %ebx
    say_hex (%rbx)                  # magic
    say " "
    say_hex 4(%rbx)                 # version
    say " "
    say_hex 8(%rbx)                 # device id
    say " "
    say_hex 0x100(%rbx)             # capacity, low word
    say "\n"
    movl $0xc0800000, %ebx          # nobody's
    movl $0x12345678, (%rbx)
    movq $-1, %rax
    movb (%rbx), %al
    movl %eax, %edi
    say_hex %edi                    # ffffff00
    movq $-1, %rax
    movw 2(%rbx), %ax
    movl %eax, %edi
    say_hex %edi                    # ffff0000
    say_hex 4(%rbx)                 # 00000000
    movq 8(%rbx), %rdi
    shrq $32, %rdi
    say_hex %edi                    # 00000000
    say "\n"
    reset_vm
    guest_library
