#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 400
# 1, 2, 8 and 32 vCPUs are all online, with both irqchips, and each runs on a thread of its name.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

# vcpu_threads PID: names of the monitor's vCPU threads, in order
vcpu_threads() {
    cat "/proc/$1/task/"*/comm | grep '^fc_vcpu' | sort -V
}

for chip in $irqchips; do
    for vcpus in 1 2 8 32; do
        what="$chip, $vcpus vCPUs"
        config "$dir/vm.json" initrd=$guest/initrd-busybox.img vcpus=$vcpus mem=256 \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'echo online: \$(cat /sys/devices/system/cpu/online) nproc: \$(nproc); sleep 1'\""
        rm -f "$dir/out"
        "$mayfly" --no-api --config-file "$dir/vm.json" --irqchip "$chip" </dev/null >"$dir/out" 2>&1 &
        pid=$!
        until grep -asq '^online: ' "$dir/out"; do
            kill -0 $pid 2>/dev/null || fail "$what: the monitor ended early" "$dir/out"
            sleep 0.1
        done
        vcpu_threads $pid >"$dir/threads"
        seq -f 'fc_vcpu %.0f' 0 $((vcpus - 1)) | cmp -s - "$dir/threads" ||
            fail "$what: these are the vCPU threads" "$dir/threads"
        wait $pid || fail "$what: exit status $?" "$dir/out"
        expect_line "nproc: $vcpus\$" <(tr -d '\r' <"$dir/out") "$what"
    done
done
