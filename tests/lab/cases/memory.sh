#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# needs: mem=6144
# 128 MiB, and 4,608 MiB across the 32-bit gap: the guest sees all of it. Of 128 MiB it fills 80 % with a file, which
# reads back as it was written; 4,608 would take an emulated machine too long.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    for mem in 128 4608; do
        fill=''
        [[ $mem != 128 ]] ||
            fill="; mount -t tmpfs -o size=90%25 none /tmp; dd if=/dev/urandom bs=1M count=102 2>/dev/null | tee /tmp/f | md5sum; ls -l /tmp/f; md5sum </tmp/f"
        config "$dir/vm.json" initrd=$guest/initrd-busybox.img mem=$mem \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'grep MemTotal /proc/meminfo; cat /proc/iomem$fill'\""
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status 0 "$dir/out" "$chip, $mem MiB"
        total_kib=$(tr -d '\r' <"$dir/out" | awk '/^MemTotal/ { print $2 }')
        ((total_kib > mem * 1024 * 80 / 100 && total_kib <= mem * 1024)) ||
            fail "$chip: the guest has $total_kib KiB of $mem MiB" "$dir/out"
        [[ -n $fill ]] || continue
        expect_line ' 106954752 .* /tmp/f' "$dir/out" "$chip: the file of 102 MiB"
        mapfile -t sums < <(tr -d '\r' <"$dir/out" | grep -aE '^[0-9a-f]{32}  -$')
        [[ ${#sums[@]} == 2 && ${sums[0]} == "${sums[1]}" ]] ||
            fail "$chip: 102 of $mem MiB do not read back as they were written" "$dir/out"
    done
    expect_line '100000000-15fffffff : System RAM' "$dir/out" "$chip: memory above 4 GiB"
done
