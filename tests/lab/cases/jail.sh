#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# A Linux guest inside the whole jail: a user of its own, a PID and a network namespace, cgroup v2 with limits, all filters and
# Landlock. It boots, networks, writes its disk, speaks by vsock; it is snapshotted and goes on with all that in another jail.
set -euo pipefail
# shellcheck source=tests/lab/jail.bash
source tests/lab/jail.bash

vcat=build/tests/lib/vcat
host=10.0.0.1
all=(--new-pid-ns --cgroup-version 2 --cgroup memory.max=400M --cgroup pids.max=32 --cgroup 'cpu.max=90000 100000')

# make_netns NAME TAP: a network namespace with one TAP, the jail's user's; the same host for a clone
make_netns() {
    [[ ! -e /run/netns/$1 ]] || ip netns del "$1"
    ip netns add "$1"
    ip netns exec "$1" ip tuntap add "$2" mode tap user "$user" vnet_hdr
    ip netns exec "$1" ip link set "$2" address 02:00:00:00:00:01
    ip netns exec "$1" ip addr add "$host/24" dev "$2"
    ip netns exec "$1" ip link set "$2" up
    ip netns exec "$1" busybox httpd -p "$host:80" -h "$dir/www"
}

remove_more() {
    for netns in mayfly-one mayfly-two; do
        ip netns pids "$netns" | xargs -r kill -9
        ip netns del "$netns"
    done
}

# confined ID: the walls that can be seen from outside stand
confined() {
    expect 419430400 "$(<$cgroups/"$1"/memory.max)" memory.max
    expect 32 "$(<$cgroups/"$1"/pids.max)" pids.max
    expect '90000 100000' "$(<$cgroups/"$1"/cpu.max)" cpu.max
    # KVM has a thread of its own there.
    expect "$pid" "$(grep -x "$pid" "$cgroups/$1/cgroup.procs")" cgroup.procs
    expect "$user" "$(field Uid: "/proc/$pid/status")" user
    expect 1 "$(field NoNewPrivs: "/proc/$pid/status")" NoNewPrivs
    for task in "/proc/$pid/task"/*; do
        expect 2 "$(field Seccomp: "$task/status")" "Seccomp of $(<"$task/comm")"
        expect 0000000000000000 "$(field CapEff: "$task/status")" "CapEff of $(<"$task/comm")"
    done
    expect "$pid 1" "$(awk '/^NSpid/ { print $2, $3 }' "/proc/$pid/status")" 'its pids'
}

# works: the guest's network, its disk and its vsock
works() {
    local was=$what
    what="$was: ping"
    guest "ping -c 2 -W 5 $host"
    said ' 0% packet loss'
    what="$was: a TCP stream"
    guest "wget -qO- http://$host/big | sha256sum"
    said "$big"
    what="$was: its disk"
    guest 'sync && echo 3 >/proc/sys/vm/drop_caches && sha256sum -c /mnt/sum && cp /mnt/file /mnt/again && sync'
    what="$was: vsock to the guest"
    "$vcat" "connect:$root/v.sock:1000" <"$dir/hello" >"$dir/got" 2>"$dir/why" || fail "$what" "$dir/why"
    expect hello "$(<"$dir/got")" 'what came back'
    what="$was: vsock to the host"
    "$vcat" "unix-listen:$root/v.sock_52" echo &
    server=$!
    for _ in $(seq 100); do
        [[ ! -S $root/v.sock_52 ]] || break
        sleep 0.05
    done
    chown "$user" "$root/v.sock_52"
    guest 'echo hello | /vcat vsock:2:52 | grep -q hello'
    kill "$server"
    rm "$root/v.sock_52"
    what=$was
}

mkdir "$dir/www"
head -c 2M /dev/urandom >"$dir/www/big"
chmod -R a+rX "$dir/www"
read -r big _ < <(sha256sum "$dir/www/big")
printf hello >"$dir/hello"
cp "$vcat" "$dir/vcat"
truncate -s %4096 "$dir/vcat"
truncate -s 8M "$dir/disk"
make_netns mayfly-one tap0
make_netns mayfly-two tap1

jailed vm-1 --netns /run/netns/mayfly-one "${all[@]}"
put_jailed_guest 128
give "$dir/vcat" vcat
give "$dir/disk" disk
api PUT /drives/vcat '{"drive_id":"vcat","path_on_host":"/vcat","is_root_device":false,"is_read_only":true}'
api PUT /drives/disk '{"drive_id":"disk","path_on_host":"/disk","is_root_device":false,"is_read_only":false,"io_engine":"Async","cache_type":"Writeback"}'
api PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0"}'
api PUT /vsock '{"guest_cid":42,"uds_path":"/v.sock"}'
start_guest
guest 'cat /dev/vdb >/vcat && chmod +x /vcat && ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up'
guest 'mke2fs -q /dev/vdc && mkdir -p /mnt && mount /dev/vdc /mnt && head -c 500000 /dev/urandom >/mnt/file && sha256sum /mnt/file >/mnt/sum'
guest '/vcat vsock-listen:1000 echo & true'
what='the first jail'
confined vm-1
works

what='a snapshot'
api PATCH /vm '{"state":"Paused"}'
api PUT /snapshot/create '{"snapshot_path":"/state","mem_file_path":"/memory"}'
first=$root
kill -9 "$pid"
await_end

jailed vm-2 --netns /run/netns/mayfly-two "${all[@]}"
for file in state memory disk script vcat; do
    mv "$first/$file" "$root/$file"
done
api PUT /snapshot/load '{"snapshot_path":"/state","mem_backend":{"backend_type":"File","backend_path":"/memory"},"resume_vm":true,
    "network_overrides":[{"iface_id":"eth0","host_dev_name":"tap1"}]}'
what='the second jail'
confined vm-2
works
what=end
api PUT /actions '{"action_type":"SendCtrlAltDel"}'
await_end
if grep -a 'seccomp filter does not allow' "$dir"/out-*; then
    fail "$what: a filter stopped something" "$out"
fi
