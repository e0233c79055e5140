#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# Ctrl-Alt-Del, pressed from outside (tests/lib/keys_wrap.c), interrupts the tuned kernel, and its init ends the VM as a
# reboot does; with both irqchips.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

keyed=$(dirname "$mayfly")/tests/lib/mayfly-keyed
for chip in $irqchips; do
    config "$dir/vm.json" initrd=$guest/initrd-busybox.img \
        args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'cat /proc/interrupts; echo GOING ON; sleep 1000'\""
    rm -f "$dir/keys"
    mkfifo "$dir/keys"
    MAYFLY_TEST_KEYS=$dir/keys "$keyed" --no-api --config-file "$dir/vm.json" --irqchip "$chip" \
        --metrics-path "$dir/metrics" </dev/null >"$dir/out" 2>&1 &
    pid=$!
    await_line 'GOING ON' "$dir/out" $pid "$chip"
    printf x >"$dir/keys"
    timeout 20 tail --pid=$pid -s 0.3 -f /dev/null || fail "$chip: expected the guest to end, saw it go on for 20 s" "$dir/out"
    status=0
    wait $pid || status=$?
    expect_status 0 "$dir/out" "$chip: Ctrl-Alt-Del"
    expect_line 'i8042' "$dir/out" "$chip: the keyboard's interrupt"
    expect_line 'Firecracker exiting successfully. exit_code=0' "$dir/out" "$chip"
    resets=$(metric_sum "$dir/metrics" i8042 reset_count)
    [[ $resets == 1 ]] || fail "$chip: expected one reset by the keyboard controller, saw $resets" "$dir/out"
    rm "$dir/metrics"
done
