# SPDX-License-Identifier: Apache-2.0
# Port IO: ports without a device read 0 at every width and swallow writes; the serial port takes string output and
# answers a string input.
.include "guest.inc"
.global _start
_start:
    movl $0xffffffff, %eax
    movw $0x123, %dx
    inb %dx, %al
    movl %eax, %edi
    say_hex %edi                    # ffffff00
    movl $0xffffffff, %eax
    movw $0x124, %dx
    inw %dx, %ax
    movl %eax, %edi
    say_hex %edi                    # ffff0000
    movl $0xffffffff, %eax
    movw $0x128, %dx
    inl %dx, %eax
    movl %eax, %edi
    say_hex %edi                    # 00000000
    movl $0x5a5a5a5a, %eax
    movw $0x128, %dx
    outb %al, %dx
    outw %ax, %dx
    outl %eax, %dx
    say "\n"
    # The scratch register keeps what is written.
    movw $COM1 + 7, %dx
    movb $0xa5, %al
    outb %al, %dx
    xorl %eax, %eax
    inb %dx, %al
    movl %eax, %edi
    say_hex %edi                    # 000000a5
    # Three reads of it as a string.
    movl $SCRATCH, %edi
    movl $0, (%rdi)
    movl $3, %ecx
    movw $COM1 + 7, %dx
    cld
    rep insb
    movl $SCRATCH, %eax
    say_hex (%rax)                  # 00a5a5a5
    leaq text(%rip), %rsi
    movl $text_end - text, %ecx
    movw $COM1, %dx
    rep outsb
    reset_vm
text:
    .ascii "\nstring output\n"
text_end:
    guest_library
