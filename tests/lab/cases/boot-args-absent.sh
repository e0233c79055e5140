#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# Without boot_args the guest gets the default command line (no console) and still boots from its root disk, with both
# irqchips.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

fresh_disk "$dir/root.ext4"
printf '#!/bin/sh\nmount -t proc proc /proc\ncat /proc/cmdline >/cmdline\nsync\nreboot -f\n' >"$dir/init"
chmod +x "$dir/init"
debugfs -w -R "rm /sbin/init" "$dir/root.ext4" >/dev/null 2>&1
debugfs -w -R "write $dir/init /sbin/init" "$dir/root.ext4" >/dev/null 2>&1
debugfs -w -R "set_inode_field /sbin/init mode 0100755" "$dir/root.ext4" >/dev/null 2>&1
printf '{"boot-source":{"kernel_image_path":"%s"},"drives":[{"drive_id":"rootfs","path_on_host":"%s","is_root_device":true,"is_read_only":false}],"machine-config":{"vcpu_count":1,"mem_size_mib":128}}\n' \
    "$guest/vmlinux-tuned" "$dir/root.ext4" >"$dir/vm.json"
for chip in $irqchips; do
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$chip: default command line"
    debugfs -R 'cat /cmdline' "$dir/root.ext4" >"$dir/cmdline" 2>/dev/null
    debugfs -w -R 'rm /cmdline' "$dir/root.ext4" >/dev/null 2>&1
    expect_line 'reboot=k panic=1 nomodule 8250.nr_uarts=0 i8042.noaux i8042.nomux i8042.dumbkbd swiotlb=noforce pci=off root=/dev/vda rw virtio_mmio.device=4K@0xc0001000:5' \
        "$dir/cmdline" "$chip: the guest's command line"
done
