# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the cases about snapshots share: a guest that writes its disk and its memory for ever and answers by vsock, its pair of files,
# and monitors that load it. Sourced, in place of session.bash; a case with a network sources net.bash before it.
# shellcheck source=tests/lab/session.bash
[[ -n ${sock:-} ]] || source tests/lab/session.bash

uds=$dir/v.sock
vcat=build/tests/lib/vcat
cp "$vcat" "$dir/vcat"
truncate -s %4096 "$dir/vcat"
truncate -s 16M "$dir/disk"
printf hello >"$dir/hello"
runner=() # what the monitor is started by: ip netns exec ...

# boot VCPUS: devices(), which a case may define, adds some of its own
boot() {
    serve "${runner[@]}" "$mayfly"
    # clock_realtime is for that clock only; each load is a line of the guest's log, and 1,000 are more than its 32 KiB hold.
    put_guest clocksource=kvm-clock log_buf_len=1M
    api PUT /drives/disk "{\"drive_id\":\"disk\",\"path_on_host\":\"$dir/disk\",\"is_root_device\":false,\"is_read_only\":false}"
    api PUT /drives/vcat "{\"drive_id\":\"vcat\",\"path_on_host\":\"$dir/vcat\",\"is_root_device\":false,\"is_read_only\":true}"
    api PUT /vsock "{\"guest_cid\":42,\"uds_path\":\"$uds\"}"
    api PUT /machine-config "{\"vcpu_count\":$1,\"mem_size_mib\":128,\"track_dirty_pages\":true}"
    [[ $(type -t devices) != function ]] || devices
    start_guest
    guest 'cat /dev/vdc >/vcat && chmod +x /vcat && mkdir -p /mnt'
    # One program writes the disk and one counts in memory, for ever; what each says is checked by its sum.
    guest 'head -c 500000 /dev/urandom >/pattern && sha256sum /pattern >/pattern.sum && mke2fs -q /dev/vdb && mount /dev/vdb /mnt'
    # shellcheck disable=SC2016 # the guest's to expand
    guest '(n=0; while [ ! -e /stop ]; do n=$((n + 1)); head -c 3000 /dev/urandom >/mnt/new; sha256sum </mnt/new >/mnt/new.sum; mv /mnt/new /mnt/data; mv /mnt/new.sum /mnt/data.sum; echo $n >/count; sleep 0.05; done) & true'
    guest '/vcat vsock-listen:1000 echo & true'
}

end_monitor() {
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    exec 3>&-
    rm -f "$sock" "$dir/in" "$uds"
}

# save TYPE
save() {
    api PATCH /vm '{"state":"Paused"}'
    api PUT /snapshot/create "{\"snapshot_type\":\"$1\",\"snapshot_path\":\"$dir/state\",\"mem_file_path\":\"$dir/memory\"}"
}

# load BACKEND PATH [MEMBER...]: in a process of its own
load() {
    local backend=$1 path=$2 more was=$what
    shift 2
    more=$(printf ',%s' '"resume_vm":true' "$@")
    serve "${runner[@]}" "$mayfly"
    api PUT /snapshot/load "{\"snapshot_path\":\"$dir/state\",\"mem_backend\":{\"backend_type\":\"$backend\",\"backend_path\":\"$path\"}$more}"
    what=$was
}

# answers [PATH]: the program in the guest, by a new stream
answers() {
    "$vcat" "connect:${1:-$uds}:1000" <"$dir/hello" >"$dir/got" 2>"$dir/why" || fail "$what: vsock: $(cat "$dir/why")" "$out"
    [[ $(cat "$dir/got") == hello ]] || fail "$what: vsock: got '$(cat "$dir/got")'" "$out"
}

# sound: everything in the guest is as its own programs have left it
sound() {
    # shellcheck disable=SC2016 # the guest's to expand
    # Its file is empty for a moment, each time that it is written.
    guest 'count() { c=; until [ "$c" ]; do c=$(cat /count); done; echo "$c"; }; a=$(count); sleep 0.3; b=$(count); [ "$b" -gt "$a" ] && echo counts'
    said counts
    guest 'sha256sum -c /pattern.sum'
}
