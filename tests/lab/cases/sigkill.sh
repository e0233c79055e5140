#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 75
# A monitor killed at any moment leaves a disk with a sound file system and every file that the guest has fsynced,
# on both engines with both irqchips.
# MAYFLY_TEST_SEED repeats a run's moments.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash
# shellcheck source=tests/lab/files.bash
source tests/lab/files.bash

seed=${MAYFLY_TEST_SEED:-$RANDOM}
RANDOM=$seed

for round in 1 2 3 4; do
    engine=Sync
    ((round % 2)) || engine=Async
    chip='split'
    ((round == 1 || round == 4)) || chip='full'
    wanted=$((RANDOM % 30 + 1)) delay_ms=$((RANDOM % 300))
    what="$engine, $chip, seed $seed, round $round: killed $delay_ms ms after file $wanted"
    fresh_disk "$dir/root.ext4"
    config "$dir/vm.json" disk="$dir/root.ext4" engine=$engine cache=Writeback args="$writer_args"
    "$mayfly" --no-api --config-file "$dir/vm.json" --irqchip $chip </dev/null >"$dir/out" 2>&1 &
    pid=$!
    await_announced "$dir/out" $wanted $pid
    sleep "$(printf '0.%03d' $delay_ms)"
    kill -KILL $pid
    wait $pid 2>/dev/null || true # killed
    image_holds "$dir/root.ext4" "$dir/out" "$what" || fail "$what: the disk is not whole" "$dir/why"
    echo "$what: $files_count files whole"
done
