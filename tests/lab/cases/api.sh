#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# A Linux guest driven through the API alone, on both engines: configured, started, paused (it stands still, with disk
# load in flight), resumed (it goes on, no error), its disk replaced by a larger one (it sees the new size), Ctrl-Alt-Del.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

sock=$dir/api.sock

# api METHOD PATH [BODY]: the reply's body; fails unless the status is 200 or 204.
api() {
    local code
    code=$(curl -s -o "$dir/reply" -w '%{http_code}' --unix-socket "$sock" -X "$1" ${3:+-d "$3"} "http://localhost$2")
    [[ $code == 20[04] ]] || fail "$what: $1 $2 $3 got $code: $(cat "$dir/reply")" "$dir/out"
    cat "$dir/reply"
}

# await REGEX: until the guest has said it.
await() {
    for _ in $(seq 300); do
        grep -aqE -- "$1" "$dir/out" && return
        kill -0 "$pid" 2>/dev/null || fail "$what: the monitor ended before the guest said '$1'" "$dir/out"
        sleep 0.1
    done
    fail "$what: the guest did not say '$1'" "$dir/out"
}

# Reads and writes the raw disk past the cache for ever and counts aloud; says the disk's size when that changes.
# shellcheck disable=SC2016
load='i=0; old=; while :; do dd if=/dev/urandom of=/dev/vda bs=16k count=8 oflag=direct 2>/dev/null || echo WRITE FAILED; dd if=/dev/vda of=/dev/null bs=64k count=8 iflag=direct 2>/dev/null || echo READ FAILED; new=$(cat /sys/block/vda/size); [ x$new = x$old ] || echo size $new end; old=$new; i=$((i+1)); echo round $i end; done'

for engine in Sync Async; do
    what=$engine
    truncate -s 8M "$dir/small"
    truncate -s 16M "$dir/large"
    rm -f "$sock"
    "$mayfly" --api-sock "$sock" --level Warning </dev/null >"$dir/out" 2>&1 &
    pid=$!
    for _ in $(seq 100); do
        [[ -S $sock ]] && break
        sleep 0.05
    done
    api PUT /boot-source "{\"kernel_image_path\":\"$guest/vmlinux-tuned\",\"initrd_path\":\"$guest/initrd-busybox.img\",\"boot_args\":\"console=ttyS0 quiet reboot=k mayfly.run=\\\"sh -c '${load//\'/}'\\\"\"}"
    api PUT /drives/data "{\"drive_id\":\"data\",\"path_on_host\":\"$dir/small\",\"is_root_device\":false,\"io_engine\":\"$engine\"}"
    api PUT /actions '{"action_type":"InstanceStart"}'
    await 'size 16384 end'
    await 'round 5 end'
    for _ in 1 2 3; do
        api PATCH /vm '{"state":"Paused"}'
        api GET / | grep -q '"state":"Paused"' || fail "$what: GET / does not say Paused" "$dir/reply"
        before=$(sha256sum "$dir/out" "$dir/small")
        sleep 1
        [[ $(sha256sum "$dir/out" "$dir/small") == "$before" ]] || fail "$what: the guest moved while paused" "$dir/out"
        api PATCH /vm '{"state":"Resumed"}'
        rounds=$(grep -ac 'round [0-9]* end' "$dir/out")
        await "round $((rounds + 3)) end"
    done
    api PATCH /drives/data "{\"drive_id\":\"data\",\"path_on_host\":\"$dir/large\"}"
    await 'size 32768 end'
    api GET /vm/config | grep -qF "\"path_on_host\":\"$dir/large\"" || fail "$what: GET /vm/config has the old path" "$dir/reply"
    # No limit, then 1 MiB a second, then none again: the guest goes on.
    api PATCH /drives/data '{"drive_id":"data","rate_limiter":{"bandwidth":{"size":1048576,"refill_time":1000}}}'
    rounds=$(grep -ac 'round [0-9]* end' "$dir/out")
    await "round $((rounds + 2)) end"
    api PATCH /drives/data '{"drive_id":"data","rate_limiter":{"bandwidth":{"size":0,"refill_time":0}}}'
    grep -aE 'FAILED|error' "$dir/out" && fail "$what: the guest had I/O errors" "$dir/out"
    api PUT /actions '{"action_type":"SendCtrlAltDel"}'
    status=0
    wait "$pid" || status=$?
    expect_status 0 "$dir/out" "$what"
done
