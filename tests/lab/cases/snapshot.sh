#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 600
# Linux from snapshots, whole ones and diffs: programs, memory and disk go on right after many saves and loads under load, and vsock
# answers at once.
# shellcheck disable=SC2016 # what the guest is told is the guest's to expand
set -euo pipefail
# shellcheck source=tests/lab/snapshot.bash
source tests/lab/snapshot.bash

cycles=${MAYFLY_SNAPSHOT_CYCLES:-20} # tests/long/snapshot: 1000

# latency: from the reply to a load until a new vsock stream has been answered, a process's start included, by this host's clock
latency() {
    sort -n "$dir/answered_us" | awk '{ all[NR] = $1 } END { print "a vsock answer after", all[int((NR + 1) / 2)] / 1000, "ms (median),", all[NR] / 1000, "(most)" }'
}

boot 2
what='the first snapshot'
save Full
api PATCH /vm '{"state":"Resumed"}'
what='the original goes on'
sound
answers "$uds"

for cycle in $(seq "$cycles"); do
    what="cycle $cycle"
    save "$( ((cycle % 2)) && echo Diff || echo Full)"
    end_monitor
    load File "$dir/memory" '"track_dirty_pages":true'
    start_us=${EPOCHREALTIME/[.,]/}
    answers "$uds"
    echo $((${EPOCHREALTIME/[.,]/} - start_us)) >>"$dir/answered_us"
    ((cycle % 100)) || echo "$cycle cycles: $(latency)" >&2
    # Its timers are where they were: a TSC that is not what it was lets them wait.
    ((cycle > 1)) || guest 'read a b </proc/uptime; sleep 0.04; read c d </proc/uptime; echo slept from $a to $c'
    ((cycle > 1)) || awk '/^slept from/ { exit !($5 - $3 < 0.4) }' "$dir/said" || fail "$what: a sleep of 40 ms took too long" "$dir/said"
    ((cycle % 5)) || sound
done
latency
what='the disk'
sound
# Told to stop, and not killed: between its two mv the sum is the last file's.
guest 'touch /stop; wait %1; (sha256sum </mnt/data | diff - /mnt/data.sum) && umount /mnt && echo same'
said same
e2fsck -fn "$dir/disk" >"$dir/fsck" 2>&1 || fail "$what: the file system is not clean" "$dir/fsck"
guest 'dmesg | grep -c "reseeded due to virtual machine fork"'
said "$cycles"
end_monitor

for vcpus in 1 8; do
    what="$vcpus vCPUs"
    boot "$vcpus"
    save Full
    end_monitor
    load File "$dir/memory"
    answers "$uds"
    sound
    guest 'echo there are $(nproc)'
    said "there are $vcpus"
    end_monitor
done
