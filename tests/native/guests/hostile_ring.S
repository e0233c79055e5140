# SPDX-License-Identifier: Apache-2.0
# A driver that breaks every rule of the rings, one at a time; each line is the device's answer. The last request is a
# polite one: the device must have survived.
.include "guest.inc"
.include "virtio.inc"
.set NOWHERE, 0x70000000                # behind the guest's memory
.set HIGH, 0xfffffffffffff000           # wraps with a length of a page and more
.global _start
_start:
    virtio_begin

    # Activation.
.macro broken_queue name, reg, value
    device_setup
    movl $\value, \reg(%rbx)
    device_go
    outcome "\name"
.endm
    broken_queue "size zero", REG_QUEUE_NUM, 0
    broken_queue "size three", REG_QUEUE_NUM, 3
    broken_queue "size 512", REG_QUEUE_NUM, 512
    broken_queue "size huge", REG_QUEUE_NUM, 0xffff0010
    broken_queue "not ready", REG_QUEUE_READY, 0
    broken_queue "table nowhere", REG_QUEUE_DESC, NOWHERE
    broken_queue "table high", REG_QUEUE_DESC + 4, 0xffffffff
    broken_queue "table unaligned", REG_QUEUE_DESC, RINGS + 8
    broken_queue "avail nowhere", REG_QUEUE_AVAIL, NOWHERE
    broken_queue "avail unaligned", REG_QUEUE_AVAIL, RINGS + AVAIL + 1
    broken_queue "used nowhere", REG_QUEUE_USED, NOWHERE
    broken_queue "used unaligned", REG_QUEUE_USED, RINGS + USED + 2
    broken_queue "used in the device", REG_QUEUE_USED, WINDOW

    # Indexes.
    device_start
    request BLK_IN
    avail_idx 0x8000
    notify
    outcome "index far ahead"
    device_start
    request BLK_IN
    avail_idx QUEUE_SIZE + 1
    notify
    outcome "index one too far"
    device_start
    request BLK_IN
    avail 0, QUEUE_SIZE
    offer_one "head outside"
    device_start
    request BLK_IN
    avail 0, 0xffff
    offer_one "head huge"

    # Chains.
    device_start
    request BLK_IN
    desc 1, RINGS + DATA, 512, DESC_NEXT | DESC_WRITE, 1
    offer_one "loop of one"
    device_start
    request BLK_IN
    desc 1, RINGS + DATA, 512, DESC_NEXT | DESC_WRITE, 0
    offer_one "loop of two"
    device_start
    request BLK_IN
    desc 0, RINGS + HEADER, 16, DESC_NEXT, QUEUE_SIZE
    offer_one "next outside"
    device_start
    request BLK_IN
    desc 0, RINGS + HEADER, 16, DESC_NEXT, 0xffff
    offer_one "next huge"
    device_start
    request BLK_IN
    desc 2, RINGS + RESULT, 1, 0
    offer_one "readable behind writable"
    device_start
    request BLK_IN
    desc 1, RINGS + DATA, 0xffffffff, DESC_NEXT | DESC_WRITE, 2
    offer_one "lengths over 32 bits"
    device_start
    request BLK_IN
    desc 0, RINGS + HEADER, 15, DESC_NEXT, 1
    offer_one "header short"
    device_start
    request BLK_IN
    desc 0, RINGS + HEADER, 16, 0
    offer_one "no status"
    device_start
    request BLK_IN
    desc 0, RINGS + HEADER, 16, DESC_WRITE
    offer_one "no header"
    device_start
    request BLK_IN
    desc 0, NOWHERE, 16, DESC_NEXT, 1
    offer_one "header nowhere"
    device_start
    request BLK_IN
    desc 2, NOWHERE, 1, DESC_WRITE
    offer_one "status nowhere"
    device_start
    request BLK_IN
    desc 2, WINDOW, 1, DESC_WRITE
    offer_one "status in the device"

    # Indirect tables.
.macro indirect name, addr, len, flags=DESC_INDIRECT, next=0
    device_start
    header BLK_IN
    desc 0, RINGS + HEADER, 16, DESC_NEXT, 1, TABLE
    desc 1, RINGS + DATA, 512, DESC_NEXT | DESC_WRITE, 2, TABLE
    desc 2, RINGS + RESULT, 1, DESC_WRITE, 0, TABLE
    desc 0, \addr, \len, \flags, \next
    avail 0, 0
    offer_one "\name"
.endm
    indirect "table empty", RINGS + TABLE, 0
    indirect "table of 47 bytes", RINGS + TABLE, 47
    indirect "table cut short", RINGS + TABLE, 32
    indirect "table huge", RINGS + TABLE, 0xfffffff0
    indirect "indirect nowhere", NOWHERE, 48
    indirect "indirect high", HIGH, 0x2000
    indirect "indirect and next", RINGS + TABLE, 48, DESC_INDIRECT | DESC_NEXT, 1
    device_start
    desc 0, RINGS + TABLE, 48, DESC_INDIRECT, 0, TABLE
    desc 0, RINGS + TABLE, 48, DESC_INDIRECT
    avail 0, 0
    offer_one "indirect in indirect"

    # Requests that are refused with a status byte.
    device_start
    request BLK_IN, 0, NOWHERE
    offer_one "data nowhere"
    device_start
    request BLK_IN, 0, HIGH, 0x2000
    offer_one "data wraps"
    device_start
    request BLK_IN, 0, WINDOW
    offer_one "data in the device"
    device_start
    request BLK_OUT, 0, NOWHERE, 512, 0
    offer_one "write from nowhere"
    device_start
    request BLK_IN, 0, RINGS + DATA, 511
    offer_one "half a sector"
    device_start
    request BLK_IN, 0, RINGS + DATA, 0
    offer_one "no data"
    device_start
    request BLK_IN, 0, 0, 0xfffffc00
    offer_one "length huge"
    device_start
    request BLK_IN, 2047, RINGS + DATA, 1024
    offer_one "behind the end"
    device_start
    request BLK_OUT, 2048, RINGS + DATA, 512, 0
    offer_one "write behind the end"
    device_start
    request BLK_IN
    movl $0xffffffff, HEADER + 8(%r8)
    movl $0xffffffff, HEADER + 12(%r8)
    offer_one "sector huge"
    device_start
    request BLK_GET_ID, 0, RINGS + DATA, 19
    offer_one "id too short"
    device_start
    request 11
    offer_one "discard"
    device_start
    request 0xdeadbeef
    offer_one "type unknown"

    # The polite one.
    device_start
    request BLK_IN
    offer_one "alive"
    reset_vm
    guest_library
    virtio_library
