#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# What a guest has fsynced survives a power cut at any moment: of the disk's writes, only those that a completed flush
# covers are kept (tests/lib/disk_recorder.h). With a flush that is answered and not made, the same check must fail.
# MAYFLY_TEST_SEED repeats a run's moments.
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash
# shellcheck source=tests/lab/files.bash
source tests/lab/files.bash

tools=$(dirname "$mayfly")/tests/lib
seed=${MAYFLY_TEST_SEED:-$RANDOM}
RANDOM=$seed

# cut ENGINE: runs the guest on a recorded disk, kills the monitor, and makes $dir/after.ext4 of the log.
cut() {
    local engine=$1 pid delay_ms=$((RANDOM % 2500))
    fresh_disk "$dir/root.ext4"
    fresh_disk "$dir/after.ext4"
    config "$dir/vm.json" disk="$dir/root.ext4" engine="$engine" cache=Writeback args="$writer_args"
    MAYFLY_TEST_DISK_LOG=$dir "$tools/mayfly-recorded" --no-api --config-file "$dir/vm.json" \
        </dev/null >"$dir/out" 2>&1 &
    pid=$!
    await_announced "$dir/out" 30 "$pid"
    sleep "$(printf '%d.%03d' $((delay_ms / 1000)) $((delay_ms % 1000)))"
    kill -KILL "$pid"
    wait "$pid" || true # killed
    "$tools/disk-replay" "$dir/root.ext4.log" "$dir/after.ext4" >"$dir/replay" ||
        fail "$engine: the log cannot be replayed" "$dir/replay"
}

for engine in Sync Async; do
    cut $engine
    image_holds "$dir/after.ext4" "$dir/out" $engine ||
        fail "$engine, seed $seed: the disk lost what the guest had fsynced" "$dir/why"
    grep -q 'dropped [1-9]' "$dir/replay" ||
        fail "$engine, seed $seed: nothing was left to drop, so the test showed nothing" "$dir/replay"
    echo "$engine: $files_count files whole; $(cat "$dir/replay")"

    export MAYFLY_TEST_DISK_BROKEN_FLUSH=1
    cut $engine
    unset MAYFLY_TEST_DISK_BROKEN_FLUSH
    if image_holds "$dir/after.ext4" "$dir/out" $engine; then
        fail "$engine, seed $seed: a flush that is not made went unnoticed" "$dir/replay"
    fi
done
