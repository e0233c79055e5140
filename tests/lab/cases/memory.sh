#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# needs: mem=6144
# 128 MiB, and 4,608 MiB across the 32-bit gap: the guest sees and uses all of it.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    for mem in 128 4608; do
        config "$dir/vm.json" initrd=$guest/initrd-busybox.img mem=$mem \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'grep MemTotal /proc/meminfo; cat /proc/iomem'\""
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status 0 "$dir/out" "$chip, $mem MiB"
        total_kib=$(tr -d '\r' <"$dir/out" | awk '/^MemTotal/ { print $2 }')
        ((total_kib > mem * 1024 * 80 / 100 && total_kib <= mem * 1024)) ||
            fail "$chip: the guest has $total_kib KiB of $mem MiB" "$dir/out"
    done
    expect_line '100000000-15fffffff : System RAM' "$dir/out" "$chip: memory above 4 GiB"
done
