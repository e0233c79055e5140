# SPDX-License-Identifier: Apache-2.0
# Reads a sector over and over into a page that the vCPU never touches: the kernel puts it there.
# Prints a number for each.
.include "guest.inc"
.include "virtio.inc"
.set FAR, 0x900000
.global _start

_start:
    virtio_begin
    device_start
    xorl %r10d, %r10d
    request BLK_IN, 8, FAR, 512
1:  movb $0xee, RESULT(%r8)
    incl %r10d
    movl %r10d, %eax
    decl %eax
    andl $QUEUE_SIZE - 1, %eax
    movw $0, AVAIL + 4(%r8,%rax,2)
    movw %r10w, AVAIL + 2(%r8)
    notify
    movl %r10d, %r9d
    call virtio_await
    cmpb $0, RESULT(%r8)
    jne 2f
    say_hex %r10d
    say "\n"
    jmp 1b
2:  say "wrong: "
    call virtio_say_outcome
    reset_vm
    guest_library
    virtio_library
