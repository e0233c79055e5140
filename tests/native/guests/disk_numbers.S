# SPDX-License-Identifier: Apache-2.0
# Counts for ever on a disk: writes each number to sector 8, flushes, reads it back into another buffer, compares and
# prints it. Who is restored between any two of these goes on with the next.
.include "guest.inc"
.include "virtio.inc"
.set BACK, DATA + 512
.global _start

# Offers the chain at head 0 and waits for it. r10d: chains so far.
.macro carry_out
    movb $0xee, RESULT(%r8)
    movl %r10d, %eax
    andl $QUEUE_SIZE - 1, %eax
    movw $0, AVAIL + 4(%r8,%rax,2)
    incl %r10d
    movw %r10w, AVAIL + 2(%r8)
    notify
    movl %r10d, %r9d
    call virtio_await
    cmpb $0, RESULT(%r8)
    jne wrong
.endm

_start:
    virtio_begin
    device_start
    xorl %r10d, %r10d
    xorl %r12d, %r12d
1:  incl %r12d
    movl %r12d, DATA(%r8)
    request BLK_OUT, 8, RINGS + DATA, 512, 0
    carry_out
    header BLK_FLUSH
    desc 0, RINGS + HEADER, 16, DESC_NEXT, 2
    carry_out
    movl $0, BACK(%r8)
    request BLK_IN, 8, RINGS + BACK, 512
    carry_out
    cmpl %r12d, BACK(%r8)
    jne wrong
    say_hex %r12d
    say "\n"
    jmp 1b
wrong:
    say "wrong: "
    call virtio_say_outcome
    reset_vm
    guest_library
    virtio_library
