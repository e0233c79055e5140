#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 140
# What a guest has fsynced survives a power cut at any moment: of the disk's writes, only those that a completed flush
# covers are kept (tests/lib/disk_recorder.h). With a flush that is answered and not made, the same check must fail.
# Each engine runs with both irqchips, once with flushes and once without. MAYFLY_TEST_SEED repeats a run's moments.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash
# shellcheck source=tests/lab/files.bash
source tests/lab/files.bash

tools=$(dirname "$mayfly")/tests/lib
seed=${MAYFLY_TEST_SEED:-$RANDOM}
RANDOM=$seed

# cut ENGINE CHIP COUNT: runs the guest on a recorded disk, kills the monitor some time after COUNT files, and
# makes $dir/after.ext4 of the log.
cut() {
    local engine=$1 chip=$2 count=$3 pid delay_ms=$((RANDOM % 1500))
    fresh_disk "$dir/root.ext4"
    fresh_disk "$dir/after.ext4"
    config "$dir/vm.json" disk="$dir/root.ext4" engine="$engine" cache=Writeback args="$writer_args"
    MAYFLY_TEST_DISK_LOG=$dir "$tools/mayfly-recorded" --no-api --config-file "$dir/vm.json" --irqchip "$chip" \
        </dev/null >"$dir/out" 2>&1 &
    pid=$!
    await_announced "$dir/out" "$count" "$pid"
    sleep "$(printf '%d.%03d' $((delay_ms / 1000)) $((delay_ms % 1000)))"
    kill -KILL "$pid"
    wait "$pid" 2>/dev/null || true # killed
    "$tools/disk-replay" "$dir/root.ext4.log" "$dir/after.ext4" >"$dir/replay" ||
        fail "$engine: the log cannot be replayed" "$dir/replay"
}

# lawful ENGINE CHIP: what was fsynced survives. A moment at which there was no write to lose shows nothing
# and does not count.
lawful() {
    local engine=$1 chip=$2 what="$1, $2, seed $seed" tries
    for tries in 1 2 3 4; do
        cut "$engine" "$chip" 15
        image_holds "$dir/after.ext4" "$dir/out" "$what" ||
            fail "$what: the disk lost what the guest had fsynced" "$dir/why"
        echo "$what: $files_count files whole; $(cat "$dir/replay")"
        if grep -q 'dropped [1-9]' "$dir/replay"; then
            return
        fi
    done
    fail "$what: there was no write to lose in $tries runs" "$dir/replay"
}

# unlawful ENGINE CHIP: without flushes the check finds files missing or damaged.
unlawful() {
    local engine=$1 chip=$2 what="$1, $2, seed $seed"
    export MAYFLY_TEST_DISK_BROKEN_FLUSH=1
    cut "$engine" "$chip" 3
    unset MAYFLY_TEST_DISK_BROKEN_FLUSH
    if image_holds "$dir/after.ext4" "$dir/out" "$what"; then
        fail "$what: a flush that is not made went unnoticed" "$dir/replay"
    fi
}

lawful Sync split
unlawful Sync full
lawful Async full
unlawful Async split
