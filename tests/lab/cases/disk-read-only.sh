#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# A read-only drive refuses writes, and its file stays as it was, on both engines with both irqchips.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

fresh_disk "$dir/root.ext4"
for chip in $irqchips; do
    for engine in Sync Async; do
        what="$chip, $engine"
        config "$dir/vm.json" disk="$dir/root.ext4" engine=$engine ro=true \
            args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'cat /sys/block/vda/ro; touch /x; echo touch \$?; dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync; echo dd \$?'\""
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status 0 "$dir/out" "$what"
        expect_line '^1' "$dir/out" "$what: the guest sees a read-only disk"
        expect_line '^touch 1' "$dir/out" "$what: a file cannot be made"
        expect_line '^dd 1' "$dir/out" "$what: the device cannot be written"
        cmp "$guest/root.ext4" "$dir/root.ext4" >"$dir/cmp" 2>&1 || fail "$what: the image changed" "$dir/cmp"
    done
done
