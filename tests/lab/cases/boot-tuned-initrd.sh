#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# The tuned kernel reaches userspace from an initrd, with both irqchips as an ELF file, and as a bzImage.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    config "$dir/vm.json" initrd=$guest/initrd-tuned.img args="console=ttyS0 quiet reboot=k panic=1 mayfly.init_exit"
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$chip"
    expect_line 'mayfly-init: ready [0-9]+ ns' "$dir/out" "$chip"
    expect_line 'Firecracker exiting successfully. exit_code=0' "$dir/out" "$chip"
done

config "$dir/vm.json" kernel=$guest/bzImage-tuned initrd=$guest/initrd-tuned.img \
    args="console=ttyS0 quiet reboot=k panic=1 mayfly.init_exit"
run "$dir/vm.json" "$dir/out"
expect_status 0 "$dir/out" bzImage
expect_line 'mayfly-init: ready [0-9]+ ns' "$dir/out" bzImage
