# SPDX-License-Identifier: Apache-2.0
# A driver that does things at the wrong time: notifies before activation, moves queues of a running device, skips
# status steps, offers one head twice, resets in the middle of IO, writes the configuration space.
.include "guest.inc"
.include "virtio.inc"
.set BIG, 0x400000                      # room for long reads
.set BIG_LEN, 0x10000
.set ROUNDS, 32
.global _start
_start:
    virtio_begin

    movl $0, REG_STATUS(%rbx)
    notify
    movl $1, REG_QUEUE_NOTIFY(%rbx)
    movl $0xffffffff, REG_QUEUE_NOTIFY(%rbx)
    say "notify in reset: "
    call virtio_say_outcome

    device_setup
    request BLK_IN
    avail_idx 1
    notify
    say "notify before activation: "
    call virtio_say_outcome
    device_go
    outcome "queued before activation"

    # Steps in the wrong order change nothing.
    movl $0, REG_STATUS(%rbx)
    movl $0x0f, REG_STATUS(%rbx)
    movl $0x02, REG_STATUS(%rbx)
    say "driver-ok at once: "
    call virtio_say_outcome
    movl $0x01, REG_STATUS(%rbx)
    movl $0x03, REG_STATUS(%rbx)
    movl $0x0b, REG_STATUS(%rbx)
    say "features without version 1: "
    call virtio_say_outcome
    movl $0x80, REG_STATUS(%rbx)
    say "failed: "
    call virtio_say_outcome

    # A running device's queue stays where it was.
    device_start
    movl $0x10, REG_QUEUE_DESC(%rbx)
    movl $0x10, REG_QUEUE_USED(%rbx)
    movl $2, REG_QUEUE_NUM(%rbx)
    movl $0, REG_QUEUE_READY(%rbx)
    movl $5, REG_QUEUE_SEL(%rbx)
    movl $7, REG_QUEUE_NUM(%rbx)
    movl $-1, 0x100(%rbx)
    movb $-1, 0x105(%rbx)
    movl $-1, 0xffc(%rbx)
    movw $-1, REG_STATUS(%rbx)
    movb $0, REG_STATUS(%rbx)
    request BLK_IN
    offer_one "moved queue"

    # One head offered twice at once: two answers or needs-reset, both harmless.
    device_start
    request BLK_IN
    avail 1, 0
    avail_idx 2
    notify
    movl $2, %r9d
    call virtio_await
    say "same head twice: done\n"

    # Resets while long reads are on their way.
    movl $ROUNDS, %r10d
1:  device_start
    request BLK_IN, 0, BIG, BIG_LEN
    desc 3, RINGS + HEADER, 16, DESC_NEXT, 4
    desc 4, BIG, BIG_LEN, DESC_NEXT | DESC_WRITE, 2
    avail 1, 3
    avail_idx 2
    notify
    movl $0, REG_STATUS(%rbx)
    decl %r10d
    jnz 1b

    device_start
    request BLK_IN
    offer_one "alive"
    reset_vm
    guest_library
    virtio_library
