#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# The README's conversation with the API: configures the VM of hello.json by requests, starts, pauses and resumes it, and
# presses Ctrl-Alt-Del. Needs `./quickstart --tuned` once.
# usage: examples/api.sh                        where KVM can run Linux
#        tests/lab/lab run examples/api.sh      where it cannot
set -euo pipefail

root=$(dirname "$(dirname "$(realpath "$0")")")
cd "$root"
dir=$(mktemp -d)
trap 'kill $! 2>/dev/null || true; rm -rf "$dir"' EXIT
socket=$dir/api.socket

put() { # PATH BODY [METHOD]
    echo "${3:-PUT} $1 $2"
    curl -sS --unix-socket "$socket" -X "${3:-PUT}" "http://localhost$1" -d "$2"
}

# The guest's console goes to a file, so that it can be looked for the prompt.
build/mayfly --api-sock "$socket" --log-path "$dir/log" </dev/null >"$dir/console" &
until [[ -S $socket ]]; do
    kill -0 $!
    sleep 0.01
done

put /machine-config '{"vcpu_count": 1, "mem_size_mib": 128}'
put /boot-source '{"kernel_image_path": "build/guest/vmlinux-tuned", "boot_args": "console=ttyS0 reboot=k panic=1"}'
put /drives/rootfs '{"drive_id": "rootfs", "path_on_host": "build/quickstart/root.ext4", "is_root_device": true, "is_read_only": false}'
put /actions '{"action_type": "InstanceStart"}'
until grep -aqF '/ # ' "$dir/console"; do
    kill -0 $! # the VM has ended
    sleep 0.1
done
cat "$dir/console"
echo

put /vm '{"state": "Paused"}' PATCH
curl -sS --unix-socket "$socket" http://localhost/
echo
put /vm '{"state": "Resumed"}' PATCH
put /actions '{"action_type": "SendCtrlAltDel"}'
wait $! # its status is 0
echo 'The guest has reset, and the monitor has ended.'
