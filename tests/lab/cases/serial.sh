#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 480
# 64 KiB (8 with the full irqchip) through the serial line and back: nothing is lost while somebody reads, and a guest
# whose reader has stopped runs on while the counter rises.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

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

    # The reader stops after the first line, and 16 KiB do not fit a pipe of 4: the guest ends by itself all the same.
    config "$dir/vm.json" initrd=$guest/initrd-busybox.img \
        args="console=ttyS0 quiet loglevel=0 reboot=k panic=1 mayfly.run=\"sh -c 'dd if=/dev/zero bs=1024 count=16 | tr \\\\\\\\000 x'\""
    rm -f "$dir/metrics" "$dir/stdout"
    mkfifo "$dir/stdout"
    exec 8<>"$dir/stdout"
    python3 -c 'import fcntl; fcntl.fcntl(8, fcntl.F_SETPIPE_SZ, 4096)' 8<&8
    "$mayfly" --no-api --config-file "$dir/vm.json" --irqchip "$chip" --level Error --metrics-path "$dir/metrics" \
        </dev/null >"$dir/stdout" 2>"$dir/err" 8>&- &
    pid=$!
    read -r -t 30 -u 8 line || fail "$chip: the guest said nothing" "$dir/err"
    [[ $line == 'mayfly-init: ready'* ]] || fail "$chip: expected the ready line, saw '$line'" "$dir/err"
    wait $pid || fail "$chip: exit status $? with a stopped reader" "$dir/err"
    exec 8<&-
    missed=$(metric_sum "$dir/metrics" uart missed_write_count)
    ((missed >= 12000)) || fail "$chip: expected 12,000 bytes or more to be dropped as nobody read, saw $missed" "$dir/err"
done
