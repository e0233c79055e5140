# SPDX-License-Identifier: Apache-2.0
# Two vCPUs: the second flips bytes of a frame's source address for ever, while the first sends the same frame 4,096
# times, 16 at a time, and then resets the VM.
.set FEATURES_ALL, 0
.include "guest.inc"
.include "virtio.inc"

.set ROUNDS, 256
.set TX, 1

.set FRAME, 0x20000             # where code of 16 bits gets at it
.set SOURCE, 12 + 6             # its header, and the destination
.set ETHERTYPE, SOURCE + 6
.set FRAME_SIZE, 226            # longer than what a monitor looks at
.set LOCAL_EXPERIMENTAL, 0xb588 # 0x88b5 on the wire

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

    movl $FRAME, %edi
    movl $FRAME_SIZE, %ecx
    xorl %eax, %eax
    rep stosb
    movl $FRAME, %edi
    movl $0xffffffff, 12(%rdi)
    movw $0xffff, 16(%rdi)
    movl $0x10ac0006, SOURCE(%rdi)      # 06:00:ac:10:00:02
    movw $0x0200, SOURCE + 4(%rdi)
    movw $LOCAL_EXPERIMENTAL, ETHERTYPE(%rdi)
    .set idx, 0
    .rept QUEUE_SIZE
    desc idx, FRAME, FRAME_SIZE
    avail idx, idx
    .set idx, idx + 1
    .endr
    device_go

    start_second_vcpu second, second_end
    movl $FRAME, %edi
1:  cmpw $0x0200, SOURCE + 4(%rdi)
    je 1b                               # it flips by now

    xorl %r9d, %r9d
    movl $ROUNDS, %r13d
2:  addl $QUEUE_SIZE, %r9d
    movw %r9w, AVAIL + 2(%r8)
    notify TX
    call virtio_await
    decl %r13d
    jnz 2b
    reset_vm
    guest_library
    virtio_library

.code16
second:
    movw $FRAME >> 4, %ax
    movw %ax, %ds
1:  xorw $0x0101, SOURCE
    xorw $0x0101, SOURCE + 4
    jmp 1b
second_end:
