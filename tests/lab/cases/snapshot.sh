#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# Linux from snapshots, whole ones and diffs: programs, memory and disk go on right after many saves and loads under load,
# clones have other random numbers, vsock answers at once and by another path, the clock stands or goes on as asked.
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
cp "$dir/state" "$dir/first.state"
cp --sparse=always "$dir/memory" "$dir/first.memory"
api PATCH /vm '{"state":"Resumed"}'
what='the original goes on'
sound
answers

for cycle in $(seq "$cycles"); do
    what="cycle $cycle"
    save "$( ((cycle % 2)) && echo Diff || echo Full)"
    end_monitor
    load File "$dir/memory" '"track_dirty_pages":true'
    start_us=${EPOCHREALTIME/[.,]/}
    answers
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

what=clones # of the first snapshot: its disk is not theirs any more, and so they do not look at it
cp "$dir/first.state" "$dir/state"
cp --sparse=always "$dir/first.memory" "$dir/memory"
sum=$(sha256sum <"$dir/memory")
for clone in 1 2 3; do
    load File "$dir/memory" '"vsock_override":{"uds_path":"'"$dir/clone.sock"'"}'
    answers "$dir/clone.sock"
    guest 'head -c 16 /dev/urandom | sha256sum'
    grep -aE '^[0-9a-f]{64} ' "$dir/said" >>"$dir/random"
    guest 'echo the time is $(date +%s)'
    guest_s=$(sed -n 's/^the time is \([0-9]*\).*/\1/p' "$dir/said")
    ((guest_s <= $(date +%s) - clone)) || fail "$what: the guest's clock did not stand still" "$dir/said"
    end_monitor
    rm -f "$dir/clone.sock"
    sleep 1
done
[[ $(sort -u "$dir/random" | wc -l) == 3 ]] || fail "$what: the same random numbers" "$dir/random"
[[ $(sha256sum <"$dir/memory") == "$sum" ]] || fail "$what: the memory file was written to"

load File "$dir/memory" '"clock_realtime":true'
what=clock_realtime
guest 'sleep 0.1; echo the time is $(date +%s)'
guest_s=$(sed -n 's/^the time is \([0-9]*\).*/\1/p' "$dir/said")
now_s=$(date +%s)
((guest_s >= now_s - 1 && guest_s <= now_s + 1)) || fail "$what: the guest says $guest_s, the host $now_s" "$dir/said"
end_monitor

for vcpus in 1 8; do
    what="$vcpus vCPUs"
    boot "$vcpus"
    save Full
    end_monitor
    load File "$dir/memory"
    answers
    sound
    guest 'echo there are $(nproc)'
    said "there are $vcpus"
    end_monitor
done
