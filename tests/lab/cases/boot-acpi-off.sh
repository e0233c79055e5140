#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 75
# With acpi=off the tuned kernel finds its CPUs and lines in the MP table and its disk on the command line.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    fresh_disk "$dir/root.ext4"
    config "$dir/vm.json" disk="$dir/root.ext4" vcpus=2 \
        args="console=ttyS0 quiet acpi=off reboot=k panic=1 mayfly.run=\"sh -c 'nproc; cat /proc/interrupts; ls /sys/firmware'\""
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$chip"
    expect_line '^2' "$dir/out" "$chip: two CPUs"
    expect_line 'mayfly-init: exit 0' "$dir/out" "$chip"
    expect_line 'virtio0' "$dir/out" "$chip: the disk's interrupt"
    if grep -aq '^acpi' "$dir/out"; then
        fail "$chip: ACPI was on" "$dir/out"
    fi
done
