# SPDX-License-Identifier: Apache-2.0
# Counts for ever by sending: each number is a frame from 06:00:ac:10:00:00, printed when the device has taken it.
# Prints the last two bytes of the device's MAC before the first number and whenever they are others.
.set FEATURES_ALL, 1 << 5       # MAC
.include "guest.inc"
.include "virtio.inc"

.set TX, 1
.set FRAME, RINGS + DATA
.set FRAME_SIZE, 12 + 60
.set SOURCE, 12 + 6             # its header, and the destination
.set LAST_OF_MAC, 0x100 + 4

.global _start
_start:
    virtio_begin
    device_setup
    xorl %edi, %edi
    movl $SCRATCH, %esi         # nothing is ever received
    call virtio_queue_setup
    movl $TX, %edi
    movl $RINGS, %esi
    call virtio_queue_setup
    movl $0xffffffff, DATA + 12(%r8)
    movw $0xffff, DATA + 16(%r8)
    movl $0x10ac0006, DATA + SOURCE(%r8)
    movl $0xb5880000, DATA + SOURCE + 4(%r8)
    desc 0, FRAME, FRAME_SIZE
    device_go

    movl $-1, %r14d
    xorl %r12d, %r12d
1:  movzwl LAST_OF_MAC(%rbx), %eax
    cmpl %eax, %r14d
    je 2f
    movl %eax, %r14d
    say "mac "
    say_hex %r14d
    say "\n"
2:  movl %r12d, %eax
    andl $QUEUE_SIZE - 1, %eax
    movw $0, AVAIL + 4(%r8,%rax,2)
    incl %r12d
    movw %r12w, AVAIL + 2(%r8)
    notify TX
    movl %r12d, %r9d
    call virtio_await
    say_hex %r12d
    say "\n"
    jmp 1b
    guest_library
    virtio_library
