#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 75
# 64 KiB (8 with the full irqchip) through the serial line and back: nothing is lost while somebody reads, and a guest
# whose reader has stopped runs on while the counter rises.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

readonly backlog_size=$((60 * 1024)) # of the 64 KiB of a pipe
for chip in $irqchips; do
    # A byte costs three exits to come and go; the second irqchip proves its interrupts with fewer.
    payload_size=65536
    [[ $chip == split ]] || payload_size=8192
    # Letters only: a terminal in the guest would act on control characters.
    head -c 60000 /dev/urandom | base64 -w0 | tr -d '+/=' >"$dir/letters"
    head -c $payload_size "$dir/letters" >"$dir/in"
    mkfifo "$dir/stdin"
    config "$dir/vm.json" initrd=$guest/initrd-busybox.img \
        args="console=ttyS0 quiet loglevel=0 reboot=k panic=1 mayfly.run=\"sh -c 'stty raw -echo; echo BEGIN; head -c $payload_size | tee /echo; echo; sha256sum /echo'\""
    rm -f "$dir/metrics"
    "$mayfly" --no-api --config-file "$dir/vm.json" --irqchip "$chip" --level Error --metrics-path "$dir/metrics" \
        <"$dir/stdin" >"$dir/out" 2>"$dir/err" &
    pid=$!
    exec 9>"$dir/stdin"
    for _ in $(seq 300); do
        grep -aq BEGIN "$dir/out" && break
        sleep 0.2
    done
    cat "$dir/in" >&9
    wait $pid || fail "$chip: exit status $?" "$dir/err"
    exec 9>&-
    grep -aqF "$(cat "$dir/in")" "$dir/out" || fail "$chip: the echo is not what was sent" "$dir/err"
    expect_line "^$(sha256sum <"$dir/in" | cut -d' ' -f1)  /echo" "$dir/out" "$chip: the guest got other bytes"
    missed=$(metric_sum "$dir/metrics" uart missed_write_count)
    [[ $missed == 0 ]] || fail "$chip: $missed bytes were dropped although somebody read" "$dir/err"
    rm "$dir/stdin"

    # The reader has stopped and left 4 KiB of room in the pipe: the guest, who has 16 KiB to say, ends by itself all the
    # same. The beginning is in the pipe behind what was there before.
    config "$dir/vm.json" initrd=$guest/initrd-busybox.img \
        args="console=ttyS0 quiet loglevel=0 reboot=k panic=1 mayfly.run=\"sh -c 'dd if=/dev/zero bs=1024 count=16 | tr \\\\\\\\000 x'\""
    rm -f "$dir/metrics" "$dir/stdout"
    mkfifo "$dir/stdout"
    exec 8<>"$dir/stdout"
    head -c $backlog_size /dev/zero >&8
    "$mayfly" --no-api --config-file "$dir/vm.json" --irqchip "$chip" --level Error --metrics-path "$dir/metrics" \
        </dev/null >"$dir/stdout" 2>"$dir/err" 8>&- || fail "$chip: exit status $? with a stopped reader" "$dir/err"
    head -c $backlog_size <&8 >/dev/null
    read -r -t 5 -u 8 line || fail "$chip: nothing of the guest's is in the pipe" "$dir/err"
    [[ $line == 'mayfly-init: ready'* ]] || fail "$chip: expected the ready line, saw '$line'" "$dir/err"
    exec 8<&-
    missed=$(metric_sum "$dir/metrics" uart missed_write_count)
    ((missed >= 12000)) || fail "$chip: expected 12,000 bytes or more to be dropped as nobody read, saw $missed" "$dir/err"
done
