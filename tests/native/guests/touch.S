# SPDX-License-Identifier: Apache-2.0
# Writes to 25,600 pages (100 MiB) and says so; then, for each byte that comes in on the serial port, to 1,000 of them.
.include "guest.inc"
.set FIRST, 0x1000000
.set PAGE, 4096
.set TOUCHED, 25600
.set AGAIN, 1000
.global _start
_start:
    movl $TOUCHED, %ecx
    call touch
    say "touched\n"
1:  movw $COM1 + 5, %dx             # LSR
    inb %dx, %al
    testb $1, %al
    jz 1b
    movw $COM1, %dx
    inb %dx, %al
    movl $AGAIN, %ecx
    call touch
    say "again\n"
    jmp 1b

# Adds 1 to the first word of so many pages: ecx.
touch:
    movl $FIRST, %ebx
2:  incl (%rbx)
    addl $PAGE, %ebx
    decl %ecx
    jnz 2b
    ret
    guest_library
