#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# Every way a guest can end: reboot, power-off (ACPI S5), panic and triple fault, each with its exit code.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

for chip in $irqchips; do
    for end in reboot poweroff panic triple; do
        # reboot=t makes the kernel's restart a triple fault.
        how=k expected=0 word=$end
        [[ $end != triple ]] || how=t expected=1 word=reboot
        # panic=-1 restarts at once: with 1 the kernel counts a second by spinning, fifty of the emulator's.
        config "$dir/vm.json" initrd=$guest/initrd-tuned.img \
            args="console=ttyS0 quiet reboot=$how panic=-1 mayfly.init_exit mayfly.end=$word"
        run "$dir/vm.json" "$dir/out" --irqchip "$chip"
        expect_status $expected "$dir/out" "$chip, $end"
        [[ $end != panic ]] || expect_line 'Kernel panic - not syncing' "$dir/out" "$chip, $end"
        if [[ $end == triple ]]; then
            expect_line 'the guest shut down by a triple fault' "$dir/out" "$chip, $end"
        else
            expect_line 'Vmm is stopping' "$dir/out" "$chip, $end"
        fi
    done
    # The reset register of the FADT, which Linux prefers with reboot=acpi.
    config "$dir/vm.json" initrd=$guest/initrd-tuned.img args="console=ttyS0 quiet reboot=acpi panic=1 mayfly.init_exit"
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$chip, ACPI reset"
done
