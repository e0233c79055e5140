#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 140
# A snapshot while a guest writes an ext4 disk without pause. A copy of the disk from then holds, after its journal was replayed, all
# that the guest had fsynced; a power cut right behind the snapshot leaves the same, byte by byte, and would not without the
# snapshot's own flush; and a VM that is loaded with another copy writes on, and leaves a clean file system with every file.
# shellcheck disable=SC2016,SC2154 # what the guest is told is the guest's to expand; files.bash sets files_count
set -euo pipefail
# shellcheck source=tests/lab/snapshot.bash
source tests/lab/snapshot.bash
# shellcheck source=tests/lab/files.bash
source tests/lab/files.bash

tools=build/tests/lib

# start_writing ENGINE: a monitor that records what it does to the disk, and a guest at work. It announces what it has fsynced, and
# has another file written past its cache, so that there is nearly always a write that no flush of its own covers.
start_writing() {
    fresh_disk "$dir/ext4"
    cp --sparse=always "$dir/ext4" "$dir/cut.ext4"
    MAYFLY_TEST_DISK_LOG=$dir serve "$tools/mayfly-recorded"
    put_guest
    api PUT /drives/disk "{\"drive_id\":\"disk\",\"path_on_host\":\"$dir/ext4\",\"is_root_device\":false,\"is_read_only\":false,\"io_engine\":\"$1\",\"cache_type\":\"Writeback\"}"
    api PUT /machine-config '{"vcpu_count":1,"mem_size_mib":128}'
    start_guest
    guest 'mkdir -p /mnt && mount -t ext4 /dev/vdb /mnt && mkdir /mnt/d'
    guest '(while [ ! -e /stop ]; do dd if=/dev/urandom of=/mnt/d/noise bs=512 count=32 oflag=direct conv=notrunc 2>/dev/null; done) & true'
    guest '(i=0; while [ ! -e /stop ]; do i=$((i + 1)); dd if=/dev/urandom of=/mnt/d/f$i bs=3000 count=$((i % 40 + 1)) conv=fsync 2>/dev/null || break; set $(sha256sum /mnt/d/f$i); echo whole f$i $1 end; [ $((i % 5)) != 0 ] || mkdir /mnt/d/dir$i; done) & true'
}

# replay LOG: what a power cut would leave, into cut.ext4. The log after its own beginning makes the same image.
replay() {
    "$tools/disk-replay" "$1" "$dir/cut.ext4" >"$dir/replay" 2>&1 || fail "$what: the log cannot be replayed" "$dir/replay"
}

# snapshot_amid: a snapshot after some files. The last record of the log is its flush's end; where nothing is lost without it, the
# moment shows nothing and does not count.
snapshot_amid() {
    local tries
    for tries in 1 2 3 4; do
        await_announced "$out" $((tries * 8)) "$pid"
        save Full
        cp "$dir/ext4.log" "$dir/cut.log"
        truncate -s -1 "$dir/cut.log"
        replay "$dir/cut.log"
        ! grep -q 'dropped [1-9]' "$dir/replay" || return 0
        api PATCH /vm '{"state":"Resumed"}'
    done
    fail "$what: there was no write to lose in $tries snapshots" "$dir/replay"
}

for engine in Sync Async; do
    start_writing "$engine"
    what="$engine, the disk at the snapshot"
    snapshot_amid
    lost=$(grep -o 'dropped [0-9]*' "$dir/replay")
    cp --sparse=always "$dir/ext4" "$dir/then.ext4"
    cp --sparse=always "$dir/ext4" "$dir/looked.ext4"
    end_monitor
    cp "$out" "$dir/out.then"
    replay "$dir/ext4.log"
    cmp "$dir/cut.ext4" "$dir/then.ext4" || fail "$what: not all of it was durable" "$dir/replay"
    dumpe2fs -h "$dir/looked.ext4" 2>/dev/null | grep -q needs_recovery || fail "$what: it was not being written"
    image_holds "$dir/looked.ext4" "$dir/out.then" "$what" || fail "$what: it lacks what the guest had fsynced" "$dir/why"
    echo "$what: $files_count files whole; $(cat "$dir/replay"); without the snapshot's $lost"

    what="$engine, a VM that goes on with a copy"
    load File "$dir/memory" "\"drive_overrides\":[{\"drive_id\":\"disk\",\"path_on_host\":\"$dir/then.ext4\"}]"
    await_announced "$out" 3 "$pid"
    guest 'touch /stop; wait; umount /mnt'
    end_monitor
    ! dumpe2fs -h "$dir/then.ext4" 2>/dev/null | grep -q needs_recovery || fail "$what: its journal was left open" "$out"
    e2fsck -fn "$dir/then.ext4" >"$dir/fsck" 2>&1 || fail "$what: the file system is not clean" "$dir/fsck"
    cat "$dir/out.then" "$out" >"$dir/out.all"
    image_holds "$dir/then.ext4" "$dir/out.all" "$what" || fail "$what: it lacks what the guest had fsynced" "$dir/why"
    echo "$what: $files_count files whole"
done
