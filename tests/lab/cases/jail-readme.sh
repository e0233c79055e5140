#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 120
# The README's commands for production, as they stand there, start a Linux guest in a jail. In a mount namespace in which what they
# write to is empty; the tree that they are called in has the example's disk.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

if ((UID != 0)) || ! grep -qw memory /sys/fs/cgroup/cgroup.controllers 2>/dev/null; then
    echo 'needs root and cgroup v2 with its controllers at /sys/fs/cgroup' >&2
    exit 77
fi
awk '/^## In production/ { is_it = 1 } is_it && /^```/ { if (++fences == 2) exit; next } is_it && fences == 1' README.md >"$dir/commands"
expect_line '^build/mayfly-jailer .*--config-file' "$dir/commands" 'the commands of the README'
tree=$dir/tree
mkdir -p "$tree/build/quickstart"
ln -s "$PWD/examples" "$tree/examples"
for name in compat guest mayfly-jailer; do
    ln -s "$PWD/build/$name" "$tree/build/$name"
done
fresh_disk "$tree/build/quickstart/root.ext4"
out=$dir/out
# A shell of its own, whose end takes the mounts away.
# shellcheck disable=SC2016 # its own words
CONSOLE=$out unshare --mount bash -euc '
    mount -t tmpfs none /srv
    mount -t tmpfs none /usr/local/bin
    cd "$1"
    . "$2" </dev/null
    pid=$(</srv/jailer/firecracker/vm-1/root/firecracker.pid)
    for _ in $(seq 600); do
        ! grep -aqF "/ # " "$CONSOLE" || break
        sleep 0.1
    done
    echo "user $(awk "/^Uid/ { print \$2 }" "/proc/$pid/status")"
    echo "limit $(</sys/fs/cgroup/firecracker/vm-1/memory.max)"
    kill "$pid"
    while [[ -d /proc/$pid ]]; do sleep 0.1; done
    rmdir /sys/fs/cgroup/firecracker/vm-1 /sys/fs/cgroup/firecracker
' bash "$tree" "$dir/commands" >"$out" 2>&1 || fail 'the commands of the README' "$out"
expect_line '/ # ' "$out" "the guest's shell"
expect_line 'user 10001$' "$out" "the monitor's user"
expect_line '^limit 209715200$' "$out" "the jail's limit"
