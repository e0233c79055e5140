#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 230
# 1, 2, 8 and 32 vCPUs are all online, with both irqchips, each on a thread of its own name.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    for vcpus in 1 2 8 32; do
        config "$dir/vm.json" initrd=$guest/initrd-busybox.img vcpus=$vcpus mem=256 \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'echo online: \$(cat /sys/devices/system/cpu/online) nproc: \$(nproc)'\""
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status 0 "$dir/out" "$chip, $vcpus vCPUs"
        expect_line "nproc: $vcpus\$" <(tr -d '\r' <"$dir/out") "$chip, $vcpus vCPUs"
    done
done
