#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A Linux guest's network over a TAP in a namespace of its own: order of two, MAC and MTU, ping, a large file down and up with its
# checksum, 200 streams at once, rate limiters within 5 %, the link down and up, the interface taken away.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

sock=$dir/api.sock
out=$dir/out
host=10.0.0.1
size_mib=${MAYFLY_NET_MIB:-8} # --long: 1024
what=net

# The guest reads its commands from its serial line: one a line, and says when each is over.
cat >"$dir/script" <<'EOF'
echo listening
while read -r line; do eval "$line"; echo "done $?"; done
exit
EOF
truncate -s 4096 "$dir/script"

in_netns() {
    ip netns exec mayfly "$@"
}

# guest COMMAND: has the guest run it, and waits. Its output is what the console got since.
guest() {
    local from
    from=$(wc -c <"$out")
    echo "$1" >&3
    for _ in $(seq 1200); do
        tail -c +$((from + 1)) "$out" >"$dir/said"
        if grep -aqE '^done [0-9]+' "$dir/said"; then
            grep -aqE '^done 0' "$dir/said" || fail "$what: '$1' failed in the guest" "$dir/said"
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "$what: the monitor ended at '$1'" "$out"
        sleep 0.1
    done
    fail "$what: no end of '$1'" "$out"
}

# listen FILE: takes one connection on port 9 into FILE; its process is $receiver.
listen() {
    in_netns busybox nc -l -p 9 -e sh -c "cat >$1" &
    receiver=$!
    for _ in $(seq 100); do
        in_netns ss -ltnH 'sport = :9' | grep -q . && return
        sleep 0.1
    done
    fail "$what: nobody listens"
}

said() {
    grep -aqF -- "$1" "$dir/said" || fail "$what: expected '$1'" "$dir/said"
}

api() {
    local code
    code=$(curl -s -o "$dir/reply" -w '%{http_code}' --unix-socket "$sock" -X "$1" ${3:+-d "$3"} "http://localhost$2")
    [[ $code == 20[04] ]] || fail "$what: $1 $2 got $code: $(cat "$dir/reply")" "$out"
}

ip netns add mayfly
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

mkfifo "$dir/in"
in_netns "$mayfly" --api-sock "$sock" --level Warning --metrics-path "$dir/metrics" <"$dir/in" >"$out" 2>&1 &
pid=$!
exec 3>"$dir/in"
for _ in $(seq 100); do
    [[ -S $sock ]] && break
    sleep 0.05
done
api PUT /boot-source "{\"kernel_image_path\":\"$guest/vmlinux-tuned\",\"initrd_path\":\"$guest/initrd-busybox.img\",\"boot_args\":\"console=ttyS0 quiet reboot=k mayfly.run=\\\"sh /dev/vda\\\"\"}"
api PUT /drives/script "{\"drive_id\":\"script\",\"path_on_host\":\"$dir/script\",\"is_root_device\":false,\"is_read_only\":true}"
in_netns ip tuntap add tap1 mode tap
api PUT /network-interfaces/zz '{"iface_id":"zz","host_dev_name":"tap1","guest_mac":"06:00:ac:10:00:03"}'
api PUT /network-interfaces/zz '{"iface_id":"zz","host_dev_name":"tap1","guest_mac":"06:00:ac:10:00:04"}'
api PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0","guest_mac":"06:00:ac:10:00:02","mtu":9000}'
api PUT /actions '{"action_type":"InstanceStart"}'

what=boot
await_line '^listening' "$out" "$pid" boot

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
    # Headers on top of the payload are less than a hundredth at this MTU.
    awk -v took="$took" 'BEGIN { exit !(took > 2.85 && took < 3.18) }' ||
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

api PUT /actions '{"action_type":"SendCtrlAltDel"}'
status=0
wait "$pid" || status=$?
expect_status 0 "$out" end
for count in tx_malformed_frames tx_spoofed_mac_count event_fails activate_fails; do
    seen=$(metric_sum "$dir/metrics" net_eth0 $count)
    [[ $seen == 0 ]] || fail "end: $count is $seen, expected 0" "$out"
done
