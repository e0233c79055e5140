#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A Linux guest inside the whole jail: a user of its own, a PID and a network namespace, cgroup v2, all filters and Landlock. It
# boots, networks, is snapshotted, and goes on in another jail; its limits bind, and others live.
set -euo pipefail
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

# Not in $dir: a tmpfs of the lab's, mounted nodev.
base=$(mktemp -d /var/tmp/jails.XXXXXX)
cgroups=/sys/fs/cgroup/firecracker
user=10001
chmod 755 "$base" "$dir" "$dir/.."
install -m 755 "$mayfly" "$dir/firecracker"

# enter_netns NAME TAP ADDRESS: a network namespace with one TAP, the jail's user's
make_netns() {
    ip netns add "$1"
    ip netns exec "$1" ip tuntap add "$2" mode tap user "$user" vnet_hdr
    ip netns exec "$1" ip link set "$2" address 02:00:00:00:00:01 # the same host for a clone
    ip netns exec "$1" ip addr add "$3" dev "$2"
    ip netns exec "$1" ip link set "$2" up
}

# jail ID NETNS [WORD...]: starts a monitor in its jail. Words: more options of the jailer.
jail() {
    local id=$1 netns=$2
    shift 2
    what="the jail $id"
    root=$base/firecracker/$id/root
    sock=$root/run/firecracker.socket
    out=$dir/out-$id
    mkdir -p "$root"
    rm -f "$dir/in"
    mkfifo "$dir/in"
    status=0
    build/mayfly-jailer --id "$id" --exec-file "$dir/firecracker" --uid "$user" --gid "$user" \
        --chroot-base-dir "$base" --netns "/run/netns/$netns" --new-pid-ns "$@" -- --level Warning \
        <"$dir/in" >"$out" 2>&1 &
    exec 3>"$dir/in"
    wait $! || status=$?
    [[ $status == 0 ]] || fail "$what: the jailer ended with $status" "$out"
    pid=$(<"$root/firecracker.pid")
    for _ in $(seq 100); do
        [[ ! -S $sock ]] || return 0
        sleep 0.05
    done
    fail "$what: there is no API" "$out"
}

# expect VALUE SEEN WHAT
expect() {
    [[ $2 == "$1" ]] || fail "$what: $3: expected '$1', saw '$2'" "$out"
}

# give FILE NAME: puts a file into the jail, for its user
give() {
    cp --sparse=always "$1" "$root/$2"
    chown "$user:$user" "$root/$2"
}

make_netns one tap0 10.0.0.1/24
make_netns two tap1 10.0.0.1/24

jail vm-1 one --cgroup memory.max=400M --cgroup pids.max=32 --cgroup 'cpu.max=max 100000'
expect 419430400 "$(<$cgroups/vm-1/memory.max)" memory.max
# KVM has a thread of its own there.
expect "$pid" "$(grep -x "$pid" $cgroups/vm-1/cgroup.procs)" cgroup.procs
expect "$user" "$(awk '/^Uid/ { print $2 }' "/proc/$pid/status")" user
expect 2 "$(awk '/^Seccomp:/ { print $2 }' "/proc/$pid/status")" Seccomp
expect "$pid 1" "$(awk '/^NSpid/ { print $2, $3 }' "/proc/$pid/status")" 'its pids'

give "$guest/vmlinux-tuned" vmlinux
give "$guest/initrd-busybox.img" initrd
give "$dir/script" script
api PUT /boot-source '{"kernel_image_path":"/vmlinux","initrd_path":"/initrd","boot_args":"console=ttyS0 quiet reboot=k mayfly.run=\"sh /dev/vda\""}'
api PUT /drives/script '{"drive_id":"script","path_on_host":"/script","is_root_device":false,"is_read_only":true}'
api PUT /network-interfaces/eth0 '{"iface_id":"eth0","host_dev_name":"tap0"}'
api PUT /vsock '{"guest_cid":42,"uds_path":"/v.sock"}'
start_guest
what='the network'
guest 'ip addr add 10.0.0.2/24 dev eth0 && ip link set eth0 up && ping -c 2 -W 5 10.0.0.1'
said ' 0% packet loss'
what='a disk'
guest 'dd if=/dev/vda of=/dev/null bs=4k count=1 2>/dev/null'

what='a snapshot'
api PATCH /vm '{"state":"Paused"}'
api PUT /snapshot/create '{"snapshot_path":"/state","mem_file_path":"/memory"}'
api PATCH /vm '{"state":"Resumed"}'
guest 'echo still here'
said 'still here'
first_pid=$pid first_root=$root first_sock=$sock first_out=$out
exec 4>&3

jail vm-2 two --cgroup memory.max=400M
for file in state memory; do
    mv "$first_root/$file" "$root/$file"
done
give "$dir/script" script
api PUT /snapshot/load '{"snapshot_path":"/state","mem_backend":{"backend_type":"File","backend_path":"/memory"},"resume_vm":true,
    "network_overrides":[{"iface_id":"eth0","host_dev_name":"tap1"}]}'
what='the clone'
guest 'ping -c 2 -W 5 10.0.0.1'
said ' 0% packet loss'

what='memory.max'
begin 'dd if=/dev/zero of=/dev/shm/x bs=1M count=60 2>/dev/null || dd if=/dev/zero of=/x bs=1M count=60'
echo 20M >$cgroups/vm-2/memory.max 2>/dev/null || :
for _ in $(seq 100); do
    [[ -d /proc/$pid ]] || break
    sleep 0.2
done
[[ ! -d /proc/$pid ]] || fail "$what: the monitor is still there" "$out"
expect 1 "$(awk '$1 == "oom_kill" { print $2 }' $cgroups/vm-2/memory.events)" oom_kill

what='the other VM'
pid=$first_pid root=$first_root sock=$first_sock out=$first_out
exec 3>&4
guest 'echo lives on'
said 'lives on'

what=cpu.max
echo '20000 100000' >$cgroups/vm-1/cpu.max
# shellcheck disable=SC2016 # the guest's shell counts
guest 'i=0; while [ $i -lt 20000 ]; do i=$((i + 1)); done'
throttled=$(awk '$1 == "nr_throttled" { print $2 }' $cgroups/vm-1/cpu.stat)
((throttled > 0)) || fail "$what: a busy guest was never held" "$out"
echo max >$cgroups/vm-1/cpu.max

what=end
api PUT /actions '{"action_type":"SendCtrlAltDel"}'
for _ in $(seq 100); do
    [[ -d /proc/$pid ]] || break
    sleep 0.2
done
[[ ! -d /proc/$pid ]] || fail "$what: the monitor is still there" "$out"

what=pids.max
status=0
build/mayfly-jailer --id few --exec-file "$dir/firecracker" --uid "$user" --gid "$user" --chroot-base-dir "$base" \
    --cgroup pids.max=1 </dev/null >"$dir/few" 2>&1 || status=$?
expect_status 1 "$dir/few" "$what"
expect_line 'Cannot start the API thread: Resource temporarily unavailable' "$dir/few" "$what"

what='a parent without values'
mkdir "$cgroups/crowd"
status=0
strace -f -e trace=write -o "$dir/writes" build/mayfly-jailer --id joins --exec-file "$dir/firecracker" --uid "$user" \
    --gid "$user" --chroot-base-dir "$base" --parent-cgroup firecracker/crowd -- --version >"$dir/joins" 2>&1 || status=$?
expect_status 0 "$dir/joins" "$what"
expect 1 "$(grep -c 'write([0-9]*, "0", 1)' "$dir/writes")" 'writes to cgroup.procs'
