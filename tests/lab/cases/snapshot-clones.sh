#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# Ten clones of one snapshot: from the reseed onward none reads a random number that another has read, vsock answers by another path,
# the clock stands or goes on as asked, and the memory file stays as it was. tests/long/clones: a hundred, and of another kernel.
# shellcheck disable=SC2016 # what the guest is told is the guest's to expand
set -euo pipefail
# shellcheck source=tests/lab/snapshot.bash
source tests/lab/snapshot.bash

clones=10
reads=4   # of each clone
stood_s=3 # between the snapshot and the first clone, at least

# clone [MEMBER...]: the next one, with a disk of its own
clone() {
    cp --sparse=always "$dir/disk.then" "$dir/disk"
    load File "$dir/memory" "$@"
}

boot 1
what='the snapshot'
save Full
end_monitor
cp --sparse=always "$dir/disk" "$dir/disk.then"
sum=$(sha256sum <"$dir/memory")
sleep $stood_s

for number in $(seq $clones); do
    what="clone $number"
    clone '"vsock_override":{"uds_path":"'"$dir/clone.sock"'"}'
    answers "$dir/clone.sock"
    guest 'for i in $(seq 100); do dmesg | grep "reseeded due to virtual machine fork" && break; sleep 0.05; done; for i in $(seq '$reads'); do head -c 16 /dev/urandom | sha256sum; done; echo the time is $(date +%s)'
    # The kernel's stamp before it: the console shows what the guest was told, too.
    grep -aqE '^\[ *[0-9.]+\] .*reseeded due to virtual machine fork' "$dir/said" || fail "$what: no reseed" "$dir/said"
    grep -aoE '^[0-9a-f]{64} ' "$dir/said" >>"$dir/random"
    guest_s=$(sed -n 's/^the time is \([0-9]*\).*/\1/p' "$dir/said")
    ((guest_s <= $(date +%s) - stood_s)) || fail "$what: the guest's clock did not stand still" "$dir/said"
    end_monitor
    rm -f "$dir/clone.sock"
done
different=$(sort -u "$dir/random" | wc -l)
echo "$different different random numbers"
[[ $different == $((clones * reads)) ]] || fail "$clones clones read the same random numbers" "$dir/random"
[[ $(sha256sum <"$dir/memory") == "$sum" ]] || fail 'the memory file was written to'

what=clock_realtime
clone '"clock_realtime":true'
guest 'sleep 0.1; echo the time is $(date +%s)'
guest_s=$(sed -n 's/^the time is \([0-9]*\).*/\1/p' "$dir/said")
now_s=$(date +%s)
((guest_s >= now_s - 1 && guest_s <= now_s + 1)) || fail "$what: the guest says $guest_s, the host $now_s" "$dir/said"
sound
end_monitor
