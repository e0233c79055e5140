#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 150
# Bandwidth and operations hold within 5 % over twenty refills, after the first bucket: one with each
# irqchip.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

truncate -s 64M "$dir/disk"
# within_5_percent WHAT EXPECTED_MS: reads the guest's "ms N" line.
within_5_percent() {
    local ms
    ms=$(tr -d '\r' <"$dir/out" | awk '/^ms / { print $2 }')
    [[ -n $ms ]] || fail "$1: the guest did not say how long it took" "$dir/out"
    ((ms >= $2 * 95 / 100 && ms <= $2 * 105 / 100)) || fail "$1: expected $2 ms within 5 %, saw $ms ms" "$dir/out"
}

# The first bucket is spent before the clock starts.
reads() { # FIRST_COUNT COUNT BLOCK_SIZE
    printf "sh -c 'r() { dd if=/dev/vda of=/dev/null iflag=direct bs=%s count=\$1 skip=\$2 2>/dev/null; }; t() { read a b </proc/uptime; echo \${a%%.*}\${a#*.}0; }; r %s 0; s=\$(t); r %s %s; e=\$(t); echo ms \$((e-s))'" \
        "$3" "$1" "$2" "$1"
}

config "$dir/vm.json" initrd=$guest/initrd-busybox.img disk="$dir/disk" \
    limiter='{"bandwidth":{"size":1048576,"refill_time":1000}}' \
    args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"$(reads 32 640 32768)\""
sed -i 's/"is_root_device":true/"is_root_device":false/' "$dir/vm.json"
run "$dir/vm.json" "$dir/out" --irqchip split
expect_status 0 "$dir/out" bandwidth
within_5_percent "20 MiB at 1 MiB a second" 20000

config "$dir/vm.json" initrd=$guest/initrd-busybox.img disk="$dir/disk" \
    limiter='{"ops":{"size":50,"refill_time":1000}}' \
    args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"$(reads 50 1000 4096)\""
sed -i 's/"is_root_device":true/"is_root_device":false/' "$dir/vm.json"
run "$dir/vm.json" "$dir/out" --irqchip full
expect_status 0 "$dir/out" operations
within_5_percent "1,000 operations at 50 a second" 20000
