#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A snapshot while a disk and two TCP streams are at work: the streams survive a pause of seconds and lose no byte, and the VM that is
# loaded talks by another TAP.
# shellcheck disable=SC2016 # what the guest is told is the guest's to expand
set -euo pipefail
# shellcheck source=tests/lab/net.bash
source tests/lab/net.bash
# shellcheck source=tests/lab/snapshot.bash
source tests/lab/snapshot.bash

size=$((12 << 20)) # at 4 MiB a second each way
limit='"bandwidth":{"size":1048576,"refill_time":250}'

# add_network NAMESPACE TAP: with the addresses that the guest knows (its ARP cache has the TAP's MAC, too), and files for it
add_network() {
    add_netns "$1"
    ip netns exec "$1" ip tuntap add "$2" mode tap
    ip netns exec "$1" ip link set "$2" address 02:00:0a:00:00:01 up
    ip netns exec "$1" ip addr add $host/24 dev "$2"
    ip netns exec "$1" busybox httpd -f -p "$host:80" -h "$dir/www" &
}

devices() {
    api PUT /network-interfaces/eth0 "{\"iface_id\":\"eth0\",\"host_dev_name\":\"tap0\",\"guest_mac\":\"06:00:ac:10:00:02\",\"rx_rate_limiter\":{$limit},\"tx_rate_limiter\":{$limit}}"
}

# in_the_middle: neither too early nor too late
in_the_middle() {
    local seen
    seen=$(stat -c %s "$dir/up")
    ((seen > 0 && seen < size)) || fail "$what: $seen of $size bytes have arrived" "$out"
}

mkdir "$dir/www"
head -c "$size" /dev/urandom >"$dir/www/big"
read -r big _ < <(sha256sum "$dir/www/big")
add_network mayfly tap0
add_network other tap1
runner=(ip netns exec mayfly)
boot 2
guest 'ip link set eth0 up && ip addr add 10.0.0.2/24 dev eth0'

what='streams at work'
guest "wget -qO /big http://$host/big"
listen "$dir/up"
guest "(wget -qO- http://$host/big | sha256sum >/down.sum) & true"
guest "(nc $host 9 </big) & true"
for _ in $(seq 100); do
    (($(stat -c %s "$dir/up") < size / 4)) || break
    sleep 0.05
done
in_the_middle
save Full
in_the_middle
cp "$dir/disk" "$dir/disk.then"
sleep 3
api PATCH /vm '{"state":"Resumed"}'

what='the streams of the one that was paused'
wait "$receiver"
[[ $(sha256sum <"$dir/up") == "$big"* ]] || fail "$what: other bytes arrived" "$out"
guest 'for i in $(seq 200); do [ -s /down.sum ] && break; sleep 0.1; done; cat /down.sum'
said "$big"
answers "$uds"
sound
end_monitor

what='another TAP'
cp "$dir/disk.then" "$dir/disk"
runner=(ip netns exec other)
load File "$dir/memory" '"network_overrides":[{"iface_id":"eth0","host_dev_name":"tap1"}]'
answers "$uds"
sound
guest "ping -c 3 $host"
said '3 packets received'
guest "wget -qO- http://$host/big | sha256sum"
said "$big"
guest 'touch /stop; sleep 1; (sha256sum </mnt/data | diff - /mnt/data.sum) && umount /mnt && echo same'
said same
e2fsck -fn "$dir/disk" >"$dir/fsck" 2>&1 || fail "$what: the file system is not clean" "$dir/fsck"
end_monitor
