#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# A read-only drive refuses writes, and its file stays as it was, on both engines.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for engine in Sync Async; do
    fresh_disk "$dir/root.ext4"
    before=$(sha256sum <"$dir/root.ext4")
    config "$dir/vm.json" disk="$dir/root.ext4" engine=$engine ro=true \
        args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'cat /sys/block/vda/ro; touch /x; echo touch \$?; dd if=/dev/zero of=/dev/vda bs=512 count=1 conv=fsync; echo dd \$?'\""
    run "$dir/vm.json" "$dir/out"
    expect_status 0 "$dir/out" "$engine"
    expect_line '^1' "$dir/out" "$engine: the guest sees a read-only disk"
    expect_line '^touch 1' "$dir/out" "$engine: a file cannot be made"
    expect_line '^dd 1' "$dir/out" "$engine: the device cannot be written"
    [[ $(sha256sum <"$dir/root.ext4") == "$before" ]] || fail "$engine: the image changed" "$dir/out"
done
