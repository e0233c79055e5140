# SPDX-License-Identifier: Apache-2.0
# Has a PVH entry (Xen x86/HVM direct boot ABI, version 1) beside the usual one, and prints what it finds there: the
# state of the CPU, the start info, the memory map, the command line, the RSDP's signature and the first module. In
# 32-bit mode without paging, so the library of the other guests is of no use.
.include "guest.inc"

.section .note.Xen, "a", @note
    .long 4, 4, 18                  # sizes of name and value, XEN_ELFNOTE_PHYS32_ENTRY
    .asciz "Xen"
    .long pvh_start

.set START_INFO_MAGIC, 0x336ec578
.set START_INFO_NR_MODULES, 12
.set START_INFO_MODLIST, 16
.set START_INFO_CMDLINE, 24
.set START_INFO_RSDP, 32
.set START_INFO_MEMMAP, 40
.set START_INFO_MEMMAP_ENTRIES, 48
.set MEMMAP_ENTRY_SIZE, 24
.set MODULE_SIZE, 8
.set STACK, 0x210000

.text
.global _start, pvh_start
_start:
    say "the 64-bit entry\n"
    reset_vm
    guest_library

.code32
# Prints a 32-bit value and a blank. Clobbers eax, ecx, edx, edi.
.macro hex32 value
    movl \value, %edi
    call say_hex32
.endm

# Prints the string at esi. Clobbers eax, edx, esi.
.macro text32 label
    movl $\label, %esi
    call say32
.endm

pvh_start:
    movl $STACK, %esp
    movl %cr0, %ebp
    text32 text_cpu
    hex32 %ebp
    movl %cr4, %ebp
    hex32 %ebp
    text32 text_info
    cmpl $START_INFO_MAGIC, (%ebx)
    jne wrong_magic
    hex32 4(%ebx)                   # version
    hex32 8(%ebx)                   # flags
    hex32 START_INFO_MEMMAP_ENTRIES(%ebx)
    hex32 START_INFO_NR_MODULES(%ebx)

    movl START_INFO_MEMMAP(%ebx), %ebp
    movl START_INFO_MEMMAP_ENTRIES(%ebx), %esi
    cmpl $16, %esi                  # a wrong count must not print for ever
    ja done
1:  testl %esi, %esi
    jz 2f
    pushl %esi
    text32 text_range
    hex32 4(%ebp)
    hex32 (%ebp)
    hex32 12(%ebp)
    hex32 8(%ebp)
    hex32 16(%ebp)                  # type
    popl %esi
    addl $MEMMAP_ENTRY_SIZE, %ebp
    decl %esi
    jmp 1b
2:
    text32 text_command_line
    movl START_INFO_CMDLINE(%ebx), %esi
    call say32
    text32 text_rsdp
    movl START_INFO_RSDP(%ebx), %esi
    movl $8, %ecx
    call say_bytes32
    movl START_INFO_NR_MODULES(%ebx), %ecx
    testl %ecx, %ecx
    jz done
    text32 text_module
    movl START_INFO_MODLIST(%ebx), %ebp
    movl (%ebp), %esi
    movl MODULE_SIZE(%ebp), %ecx
    cmpl $64, %ecx
    ja done
    call say_bytes32
done:
    text32 text_ok
    movb $I8042_RESET, %al
    outb %al, $I8042_COMMAND
3:  hlt
    jmp 3b
wrong_magic:
    hex32 (%ebx)
    text32 text_wrong
    movb $I8042_RESET, %al
    outb %al, $I8042_COMMAND
    jmp 3b

say32:
    movw $COM1, %dx
1:  movb (%esi), %al
    testb %al, %al
    jz 2f
    outb %al, %dx
    incl %esi
    jmp 1b
2:  ret

say_bytes32:
    movw $COM1, %dx
1:  movb (%esi), %al
    outb %al, %dx
    incl %esi
    decl %ecx
    jnz 1b
    ret

say_hex32:
    movw $COM1, %dx
    movl $8, %ecx
1:  roll $4, %edi
    movl %edi, %eax
    andl $15, %eax
    movb guest_digits(%eax), %al
    outb %al, %dx
    decl %ecx
    jnz 1b
    movb $' ', %al
    outb %al, %dx
    ret

text_cpu:
    .asciz "cr0 and cr4: "
text_info:
    .asciz "\nversion, flags, ranges, modules: "
text_range:
    .asciz "\nrange: "
text_command_line:
    .asciz "\ncommand line: "
text_rsdp:
    .asciz "\nRSDP: "
text_module:
    .asciz "\nmodule: "
text_ok:
    .asciz "\nOK\n"
text_wrong:
    .asciz "is no magic number\n"
