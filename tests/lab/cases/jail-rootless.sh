#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The jail of an ordinary user (--rootless) in a delegated cgroup v2, as systemd-run --user makes one: its controllers are
# switched on, a Linux guest boots, memory.max ends it, and what is refused leaves the cgroup as it was.
set -euo pipefail
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

base=$(mktemp -d /var/tmp/jails.XXXXXX)
user=10001
top=/sys/fs/cgroup/mayfly-user
chmod 755 "$base" "$dir" "$dir/.."
install -m 755 "$mayfly" "$dir/firecracker"
install -m 755 build/mayfly-jailer "$dir/jailer"
mkdir "$base/own"
chown "$user:$user" "$base/own"
chmod 666 /dev/kvm
echo '+memory +pids +cpu' >/sys/fs/cgroup/cgroup.subtree_control
mkdir "$top"

# delegate NAME: a cgroup that is the user's; sets cgroup
delegate() {
    cgroup=$top/$1
    mkdir "$cgroup"
    chown "$user:$user" "$cgroup" "$cgroup"/cgroup.{procs,subtree_control,threads}
}

# jailer ID [WORD...]: in the cgroup, as the user
jailer() {
    local id=$1
    shift
    # shellcheck disable=SC2016 # for the inner shell
    sh -c 'echo 0 >"$0/cgroup.procs"; exec "$@"' "$cgroup" setpriv --reuid "$user" --regid "$user" --clear-groups \
        "$dir/jailer" --rootless --id "$id" --exec-file "$dir/firecracker" --uid "$user" --gid "$user" \
        --chroot-base-dir "$base/own" "$@"
}

# expect VALUE SEEN WHAT
expect() {
    [[ $2 == "$1" ]] || fail "$what: $3: expected '$1', saw '$2'" "$out"
}

echo '+memory +pids +cpu' >$top/cgroup.subtree_control
delegate vm
what='a guest with limits'
root=$base/own/firecracker/vm-1/root
sock=$root/run/firecracker.socket
out=$dir/out-vm-1
mkdir -p "$root"
cp --sparse=always "$guest/vmlinux-tuned" "$root/vmlinux"
cp "$guest/initrd-busybox.img" "$root/initrd"
cp "$dir/script" "$root/script"
chown -R "$user:$user" "$base/own"
rm -f "$dir/in"
mkfifo "$dir/in"
status=0
jailer vm-1 --cgroup memory.max=400M --cgroup pids.max=32 -- --level Warning <"$dir/in" >"$out" 2>&1 &
exec 3>"$dir/in"
wait $! || status=$?
[[ $status == 0 ]] || fail "$what: the jailer ended with $status" "$out"
expect_line 'resource limits, cgroup limits; user' "$out" "$what"
pid=$(<"$root/firecracker.pid")
expect 419430400 "$(<"$cgroup/vm-1/memory.max")" memory.max
expect 32 "$(<"$cgroup/vm-1/pids.max")" pids.max
expect 'memory pids' "$(<"$cgroup/cgroup.subtree_control")" 'controllers that were switched on'
expect "$pid" "$(grep -x "$pid" "$cgroup/vm-1/cgroup.procs")" cgroup.procs
expect '' "$(<"$cgroup/cgroup.procs")" 'processes of the delegated one'
for _ in $(seq 100); do
    [[ ! -S $sock ]] || break
    sleep 0.05
done
api PUT /boot-source '{"kernel_image_path":"/vmlinux","initrd_path":"/initrd","boot_args":"console=ttyS0 quiet reboot=k mayfly.run=\"sh /dev/vda\""}'
api PUT /drives/script '{"drive_id":"script","path_on_host":"/script","is_root_device":false,"is_read_only":true}'
start_guest
guest 'echo boots'
said boots

what='memory.max'
begin 'dd if=/dev/zero of=/x bs=1M count=60'
echo 20M >"$cgroup/vm-1/memory.max" 2>/dev/null || :
for _ in $(seq 100); do
    [[ -d /proc/$pid ]] || break
    sleep 0.2
done
[[ ! -d /proc/$pid ]] || fail "$what: the monitor is still there" "$out"
expect 1 "$(awk '$1 == "oom_kill" { print $2 }' "$cgroup/vm-1/memory.events")" oom_kill

what='a value that is refused'
delegate refused
status=0
jailer bad --cgroup pids.max=32 --cgroup memory.max=much </dev/null >"$dir/bad" 2>&1 || status=$?
expect_status 1 "$dir/bad" "$what"
expect_line "Failed to write to cgroup: $cgroup/bad/memory.max = much" "$dir/bad" "$what"
expect '' "$(<"$cgroup/cgroup.subtree_control")" 'controllers'
expect '' "$(find "$cgroup" -mindepth 1 -type d)" 'cgroups'

what='a cgroup that is not delegated'
cgroup=$top/roots
mkdir "$cgroup"
status=0
jailer bad --cgroup pids.max=32 </dev/null >"$dir/bad" 2>&1 || status=$?
expect_status 1 "$dir/bad" "$what"
expect_line "cgroup $cgroup is not delegated to user $user" "$dir/bad" "$what"

what='no limits asked for, on a host of version 2'
status=0
jailer free -- --version </dev/null >"$dir/free" 2>&1 || status=$?
expect_status 0 "$dir/free" "$what"
expect_line 'not: cgroup limits \(no delegated cgroup v2\)' "$dir/free" "$what"
