#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# outside: tests/lab/iperf3-disk
# iperf3 both ways and over UDP, through a TAP that is moved into a namespace while the monitor holds it; then the namespace is
# removed under the running guest: the TAP goes with it, the guest and the API stay.
set -euo pipefail
# shellcheck source=tests/lab/net.bash
source tests/lab/net.bash

tap=/network-interfaces/eth0
size_mib=32

# iperf3_of NAME OPTION...: runs the guest's against ours; it ends by 0 when all that was asked for went through.
iperf3_of() {
    what="iperf3 $1"
    shift
    in_netns iperf3 --server --one-off --daemon --logfile "$dir/server"
    for _ in $(seq 100); do
        in_netns ss -ltnH 'sport = :5201' | grep -q . && break
        sleep 0.1
    done
    guest "iperf3 --client $host $*"
    said receiver
}

add_netns mayfly
add_netns monitor
ip -n monitor tuntap add tap0 mode tap
serve ip netns exec monitor "$mayfly"
api PUT /boot-source "{\"kernel_image_path\":\"$guest/vmlinux-tuned\",\"boot_args\":\"console=ttyS0 quiet reboot=k ro mayfly.run=\\\"sh /dev/vdb\\\"\"}"
api PUT /drives/root "{\"drive_id\":\"root\",\"path_on_host\":\"$guest/iperf3.ext4\",\"is_root_device\":true,\"is_read_only\":true}"
api PUT /drives/script "{\"drive_id\":\"script\",\"path_on_host\":\"$dir/script\",\"is_root_device\":false,\"is_read_only\":true}"
api PUT $tap '{"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"06:00:ac:10:00:02"}'
ip -n monitor link set tap0 netns mayfly
in_netns ip link set tap0 up
in_netns ip addr add $host/24 dev tap0
start_guest
guest 'mount -t tmpfs tmpfs /tmp; ip link set eth0 up && ip addr add 10.0.0.2/24 dev eth0'

iperf3_of up --bytes "${size_mib}M"
iperf3_of down --reverse --bytes "${size_mib}M"
iperf3_of 'both ways, four streams' --bidir --parallel 4 --time 1
iperf3_of 'of datagrams' --udp --bitrate 20M --time 1

what='namespace removed'
ip netns del mayfly
# What is left of it goes once nothing runs there, and a moment later.
for _ in $(seq 100); do
    guest "ping -c 1 -W 1 $host >/dev/null; echo alive"
    said alive
    grep -aqF 'The interface tap0 is gone' "$out" && break
done
[[ $(grep -acF 'The interface tap0 is gone' "$out") == 1 ]] || fail "$what: expected one line" "$out"
api GET /
grep -qF '"state":"Running"' "$dir/reply" || fail "$what: the state is not Running" "$dir/reply"
api PATCH $tap '{"iface_id":"eth0","rx_rate_limiter":{"bandwidth":{"size":1000,"refill_time":100}}}'
code=$(curl -s -o "$dir/reply" -w '%{http_code}' --unix-socket "$sock" -X PUT \
    -d '{"iface_id":"eth0","host_dev_name":"tap0"}' "http://localhost$tap")
[[ $code == 400 ]] || fail "$what: a PUT of a running VM's interface got $code" "$dir/reply"

stop_guest
expect_zero net_eth0 tx_malformed_frames tx_spoofed_mac_count event_fails activate_fails
