#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 100
# Debian's stock cloud kernel, found through ACPI only, boots from its initrd and from an ext4 root disk on both engines,
# with both irqchips.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

one() { # CHIP WHAT DISK-WORDS...
    local chip=$1 what="$1, $2"
    shift 2
    config "$dir/vm.json" kernel=$guest/vmlinuz-stock initrd=$guest/initrd-stock.img mem=512 "$@" \
        args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'uname -r; mount; cat /proc/iomem'\""
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$what"
    expect_line '-cloud-amd64' "$dir/out" "$what"
    expect_line 'mayfly-init: exit 0' "$dir/out" "$what"
}

for chip in $irqchips; do
    one "$chip" initrd
    for engine in Sync Async; do
        fresh_disk "$dir/root.ext4"
        one "$chip" "$engine" disk="$dir/root.ext4" engine=$engine
        expect_line '/dev/vda on / type ext4' "$dir/out" "$chip, $engine"
        expect_line 'LNRO0005:00' "$dir/out" "$chip, $engine"
    done
done
