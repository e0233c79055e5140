#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A Linux guest's network over a TAP in a namespace of its own: order of two, MAC and MTU, ping, a large file down and up with its
# checksum, 200 streams at once, rate limiters within 5 %, the link down and up, the interface taken away.
set -euo pipefail
# shellcheck source=tests/lab/net.bash
source tests/lab/net.bash

size_mib=${MAYFLY_NET_MIB:-8} # tests/long/net: 1024

add_netns mayfly
in_netns ip tuntap add tap0 mode tap
in_netns ip link set tap0 mtu 9000 up
in_netns ip addr add $host/24 dev tap0
mkdir "$dir/www"
head -c $((size_mib << 20)) /dev/urandom >"$dir/www/big"
truncate -s 16M "$dir/www/zeros"
head -c 16384 /dev/urandom >"$dir/www/small"
read -r big _ < <(sha256sum "$dir/www/big")
read -r small _ < <(md5sum "$dir/www/small")
in_netns busybox httpd -f -p "$host:80" -h "$dir/www" &

serve ip netns exec mayfly "$mayfly"
# shellcheck disable=SC2119 # it takes none
put_guest
in_netns ip tuntap add tap1 mode tap
api PUT /network-interfaces/zz '{"iface_id":"zz","host_dev_name":"tap1","guest_mac":"06:00:ac:10:00:03"}'
api PUT /network-interfaces/zz '{"iface_id":"zz","host_dev_name":"tap1","guest_mac":"06:00:ac:10:00:04"}'
api PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"06:00:ac:10:00:02","mtu":9000}'
start_guest

what='order of PUT'
guest 'cat /sys/class/net/eth0/address && ip link set eth0 name other && ip link set eth1 name eth0'
said 06:00:ac:10:00:04
what=address
guest 'cat /sys/class/net/eth0/address /sys/class/net/eth0/mtu'
said 06:00:ac:10:00:02
said 9000
guest 'ip link set eth0 up && ip addr add 10.0.0.2/24 dev eth0'
what=ping
guest "ping -c 3 -s 8000 $host"
said '3 packets received'

what="$size_mib MiB down"
guest "wget -qO- http://$host/big | sha256sum"
said "$big"
what="$size_mib MiB up"
listen "$dir/up"
guest "wget -qO- http://$host/big | nc $host 9"
wait "$receiver"
[[ $(sha256sum <"$dir/up") == "$big"* ]] || fail "$what: other bytes arrived" "$out"
rm "$dir/up"

what='200 streams'
guest "for i in \$(seq 200); do wget -qO- http://$host/small | md5sum & done; wait"
[[ $(grep -acF "$small" "$dir/said") == 200 ]] || fail "$what: expected 200 right checksums" "$dir/said"

# 16 MiB at 4 MiB a second: 4 of them at once, then three seconds'; the clock is the guest's.
what=limiter
limit='"bandwidth":{"size":4194304,"refill_time":1000}'
for way in rx tx; do
    api PATCH /network-interfaces/eth0 "{\"iface_id\":\"eth0\",\"${way}_rate_limiter\":{$limit}}"
    if [[ $way == rx ]]; then
        command="wget -qO- http://$host/zeros >/dev/null"
    else
        listen /dev/null
        command="head -c 16777216 /dev/zero | nc $host 9"
    fi
    guest "read a b </proc/uptime; $command; read c d </proc/uptime; echo \$a \$c | awk '{ print \"took\", \$2 - \$1, \"s\" }'"
    took=$(sed -n 's/^took \([0-9.]*\) s.*/\1/p' "$dir/said")
    # Within 5 %, and 0.15 s for the programs' start; headers are less than a hundredth at this MTU.
    awk -v took="$took" 'BEGIN { exit !(took > 2.85 && took < 3.30) }' ||
        fail "$what $way: 16 MiB at 4 MiB/s, 4 of them at once, took $took s, expected 3" "$dir/said"
    api PATCH /network-interfaces/eth0 "{\"iface_id\":\"eth0\",\"${way}_rate_limiter\":{\"bandwidth\":{\"size\":0,\"refill_time\":0}}}"
done

what='link down and up'
in_netns ip link set tap0 down
guest "ping -c 1 -W 1 $host >/dev/null; true"
in_netns ip link set tap0 up
guest "ping -c 3 $host"
said '3 packets received'

what='interface taken away'
in_netns ip link del tap0
guest "ping -c 1 -W 1 $host >/dev/null; echo alive"
said alive
grep -aqF 'The interface tap0 is gone' "$out" || fail "$what: nothing was logged" "$out"
[[ $(grep -acF 'The interface tap0 is gone' "$out") == 1 ]] || fail "$what: expected one line" "$out"

stop_guest
expect_zero net_eth0 tx_malformed_frames tx_spoofed_mac_count event_fails activate_fails
