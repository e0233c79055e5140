# SPDX-License-Identifier: Apache-2.0
# A polite driver: reads the first sector and prints it, prints the disk's id, writes the second sector, flushes, and
# reads back through an indirect table.
.include "guest.inc"
.include "virtio.inc"
.global _start
_start:
    virtio_begin
    device_start
    request BLK_IN
    offer_one "read"
    movb $0, DATA + 64(%r8)
    leaq DATA(%r8), %rsi
    call guest_say

    device_start
    request BLK_GET_ID, 0, RINGS + DATA, 20
    offer_one "id"
    movb $0, DATA + 20(%r8)
    leaq DATA(%r8), %rsi
    call guest_say
    say "\n"

    device_start
    movl $0x6c6c6568, DATA(%r8)     # "hell"
    movl $0x0a6f, DATA + 4(%r8)     # "o\n"
    request BLK_OUT, 1, RINGS + DATA, 512, 0
    offer_one "write"

    # On the same queue: a flush, then a read by an indirect table.
    movb $0xee, RESULT(%r8)
    header BLK_FLUSH
    desc 0, RINGS + HEADER, 16, DESC_NEXT, 2
    avail 1, 0
    avail_idx 2
    notify
    outcome "flush", 2

    movq $0, DATA(%r8)
    movb $0xee, RESULT(%r8)
    header BLK_IN, 1
    desc 0, RINGS + HEADER, 16, DESC_NEXT, 1, TABLE
    desc 1, RINGS + DATA, 512, DESC_NEXT | DESC_WRITE, 2, TABLE
    desc 2, RINGS + RESULT, 1, DESC_WRITE, 0, TABLE
    desc 3, RINGS + TABLE, 48, DESC_INDIRECT
    avail 2, 3
    avail_idx 3
    notify
    outcome "indirect", 3
    leaq DATA(%r8), %rsi
    call guest_say
    reset_vm
    guest_library
    virtio_library
