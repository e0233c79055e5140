# SPDX-License-Identifier: Apache-2.0
# Garbage at every width to serial port, keyboard controller and ACPI ports, to the IOAPIC and to the boot timer's
# window. Only what would end the VM is left out. Deterministic.
.include "guest.inc"
.set IOAPIC, 0xfec00000
.set TIMER, 0xc0000000
.set PORT_ROUNDS, 24
.set IOAPIC_STEPS, 500
.global _start
_start:
    map_mmio
    movl $0x9e3779b9, %r12d
    movl $PORT_ROUNDS, %r13d
rounds:
    movl $0x3f8, %ebp
    movl $8, %r15d
    call garbage
    movl $0x60, %ebp
    movl $5, %r15d
    call garbage
    movl $0x600, %ebp
    movl $4, %r15d
    call garbage
    decl %r13d
    jnz rounds

    movl $IOAPIC, %ebx
    movl $IOAPIC_STEPS, %r13d
ioapic:
    call guest_next_random
    movl %eax, %r14d
    call guest_next_random
    movl %eax, (%rbx)               # index
    andl $0x3f, (%rbx)
    movl %r14d, 0x10(%rbx)          # entry
    movl 0x10(%rbx), %eax
    testl $0x3f, %r13d
    jnz 1f
    movl %r14d, %ecx
    andl $0xfff, %ecx
    movb %r14b, (%rbx,%rcx)
    movw %r14w, (%rbx,%rcx)
    movq %r14, 0x10(%rbx)
    movq (%rbx), %rax
1:  decl %r13d
    jnz ioapic

    movl $TIMER, %ebx
    movl $-1, (%rbx)
    movl 0xffc(%rbx), %eax

    # The serial port as a boot loader leaves it.
    movw $COM1 + 4, %dx
    movb $0, %al
    outb %al, %dx
    movw $COM1 + 3, %dx
    movb $3, %al
    outb %al, %dx
    say "\nalive\n"
    reset_vm

# Reads and writes r15d ports from ebp on, every width, at random values.
garbage:
1:  movl %ebp, %edx
    inb %dx, %al
    inw %dx, %ax
    inl %dx, %eax
    call guest_next_random
    movl %ebp, %edx
    outw %ax, %dx
    outl %eax, %dx
    cmpb $I8042_RESET, %al
    je 2f
    cmpl $0x600, %ebp               # SLEEP_CONTROL: never S5
    jne 3f
    andb $~0x20, %al
3:  cmpl $0x602, %ebp               # RESET_REG: never 1
    jne 4f
    orb $2, %al
4:  outb %al, %dx
2:  incl %ebp
    decl %r15d
    jnz 1b
    ret
    guest_library
