#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# The tuned kernel boots from an ext4 root disk on both engines with both irqchips, and what it writes is on the disk.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    for engine in Sync Async; do
        what="$chip, $engine"
        fresh_disk "$dir/root.ext4"
        config "$dir/vm.json" disk="$dir/root.ext4" engine=$engine cache=Writeback \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'mount; echo from-guest >/proof; sync; dd if=/dev/zero of=/big bs=64k count=64 conv=fsync 2>/dev/null; sha256sum /big'\""
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status 0 "$dir/out" "$what"
        expect_line '/dev/(vda|root) on / type ext4 \(rw' "$dir/out" "$what"
        expect_line 'mayfly-init: exit 0' "$dir/out" "$what"
        expect_line '^bb9f8df61474d25e71fa00722318cd387396ca1736605e1248821cc0de3d3af8  /big' "$dir/out" "$what"
        debugfs -R 'cat /proof' "$dir/root.ext4" >"$dir/proof" 2>/dev/null
        grep -q from-guest "$dir/proof" || fail "$what: the guest's file is not on the disk" "$dir/out"
        e2fsck -fn "$dir/root.ext4" >"$dir/fsck" 2>&1 || fail "$what: e2fsck found errors" "$dir/fsck"
    done
done
