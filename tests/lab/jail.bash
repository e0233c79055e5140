# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the cases about jails share: monitors started by the jailer, the guest's files given to them. Sourced, in place of
# session.bash. `jailed ID` starts one and makes it the one that api, guest and the like speak to; `turn_to ID` goes back to it.
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

if ((UID != 0)) || ! grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    echo 'needs root and cgroup v2 with its controllers at /sys/fs/cgroup' >&2
    exit 77
fi
# Not in $dir: a tmpfs of the lab's, mounted nodev.
base=$(mktemp -d /var/tmp/jails.XXXXXX)
program=firecracker-case # its name; so the cgroup's, which no other monitors of a host are in
cgroups=/sys/fs/cgroup/$program
user=10001
chmod 755 "$base" "$dir" "$dir/.."
install -m 755 "$mayfly" "$dir/$program"
declare -A pids=() inputs=()
prefix=() # what the jailer is started by: strace ...

# A host's suite leaves nothing; a monitor that was killed holds its cgroup until it is gone.
leave_nothing() {
    for pid in "${pids[@]}"; do
        kill -9 "$pid" 2>/dev/null || continue
        await_end
    done
    find "$cgroups" -depth -type d -exec rmdir {} + 2>/dev/null || :
    rm -rf "$base"
    [[ $(type -t remove_more) != function ]] || remove_more
}
trap leave_nothing EXIT

# expect VALUE SEEN WHAT
expect() {
    [[ $2 == "$1" ]] || fail "$what: $3: expected '$1', saw '$2'" "$out"
}

# field NAME FILE: a line of NAME VALUE
field() {
    awk -v name="$1" '$1 == name { print $2 }' "$2"
}

# jailer ID [OPTION...]: takes the place of the shell that calls it; so for a subshell
jailer() {
    local id=$1
    shift
    exec "${prefix[@]}" build/mayfly-jailer --id "$id" --exec-file "$dir/$program" --uid "$user" --gid "$user" \
        --chroot-base-dir "$base" "$@"
}
# turn_to ID: that monitor is the one that is spoken to
turn_to() {
    root=$base/$program/$1/root
    sock=$root/run/firecracker.socket
    out=$dir/out-$1
    pid=${pids[$1]-}
    if [[ -n ${inputs[$1]-} ]]; then
        exec 3>&"${inputs[$1]}"
    fi
}

# jailed ID [OPTION...]: starts a monitor in its jail and waits for its API. With --new-pid-ns among the options the jailer ends and the
# monitor is no child of the case's.
jailed() {
    local id=$1 input child
    shift
    what="the jail $id"
    turn_to "$id"
    mkdir -p "$root"
    mkfifo "$dir/in-$id"
    jailer "$id" "$@" -- --level Warning <"$dir/in-$id" >"$out" 2>&1 &
    child=$!
    exec {input}>"$dir/in-$id"
    inputs[$id]=$input
    if [[ " $* " == *' --new-pid-ns '* ]]; then
        status=0
        wait "$child" || status=$?
        expect_status 0 "$out" "$what"
    fi
    for _ in $(seq 200); do
        [[ ! -S $sock ]] || break
        sleep 0.05
    done
    [[ -S $sock ]] || fail "$what: there is no API" "$out"
    pids[$id]=$(<"$root/$program.pid")
    turn_to "$id"
}

# give FILE NAME: puts a file into the jail, for its user
give() {
    cp --sparse=always "$1" "$root/$2"
    chown "$user:$user" "$root/$2"
}

# put_jailed_guest MIB: session.bash's guest, from files in the jail
put_jailed_guest() {
    give "$guest/vmlinux-tuned" vmlinux
    give "$guest/initrd-busybox.img" initrd
    give "$dir/script" script
    api PUT /boot-source '{"kernel_image_path":"/vmlinux","initrd_path":"/initrd","boot_args":"console=ttyS0 quiet reboot=k mayfly.run=\"sh /dev/vda\""}'
    api PUT /drives/script '{"drive_id":"script","path_on_host":"/script","is_root_device":false,"is_read_only":true}'
    api PUT /machine-config "{\"vcpu_count\":1,\"mem_size_mib\":$1}"
}

# await_end: until the monitor is gone; one that is the case's child may stay a zombie
await_end() {
    for _ in $(seq 200); do
        [[ $(awk '/^State/ { print $2 }' "/proc/$pid/status" 2>/dev/null) == [!Z] ]] || return 0
        sleep 0.1
    done
    fail "$what: the monitor is still there" "$out"
}
