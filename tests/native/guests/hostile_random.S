# SPDX-License-Identifier: Apache-2.0
# A pseudo-random walk over the drive's whole window: reads and writes of every width, values at random or drawn to
# status and notify registers. Deterministic. Then a polite request: the device must have survived.
.include "guest.inc"
.include "virtio.inc"
.set STEPS, 3000
.global _start
_start:
    virtio_begin
    movl $0x2545f491, %r12d         # the walk's state
    movl $STEPS, %r13d
walk:
    call guest_next_random
    movl %eax, %r14d                # value
    call guest_next_random
    movl %eax, %ecx
    andl $0x1ff, %ecx               # offset: registers and the start of the configuration space
    movl %eax, %edx
    shrl $9, %edx
    andl $7, %edx                   # what to do
    leaq (%rbx,%rcx), %rdi
    cmpl $0, %edx
    je read_byte
    cmpl $1, %edx
    je write_byte
    cmpl $2, %edx
    je write_half
    cmpl $3, %edx
    je write_long
    andl $0x1fc, %ecx
    leaq (%rbx,%rcx), %rdi
    cmpl $4, %edx
    je read_word
    cmpl $5, %edx
    jae write_word
read_byte:
    movb (%rdi), %al
    jmp stepped
write_byte:
    movb %r14b, (%rdi)
    jmp stepped
write_half:
    movw %r14w, (%rdi)
    jmp stepped
write_long:
    movq %r14, (%rdi)
    jmp stepped
read_word:
    movl (%rdi), %eax
    jmp stepped
write_word:
    movl %r14d, (%rdi)
stepped:
    # Now and then a legal step, so that the walk reaches every status.
    testl $0x1f, %r13d
    jnz 1f
    device_setup
    testl $0x20, %r13d
    jnz 1f
    device_go
1:  decl %r13d
    jnz walk

    device_start
    request BLK_IN
    offer_one "alive"
    reset_vm
    guest_library
    virtio_library
