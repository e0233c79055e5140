#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# A root device named by partuuid: the tuned kernel finds the second partition of a GPT or MBR disk by itself, and
# mayfly-init finds it from an initrd; with both irqchips.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash
PATH=$PATH:/usr/sbin:/sbin

readonly table_mib=1 root_mib=64
gpt_id=6d61e5a0-7f1e-4c0b-9b2d-0a4c1f3e5d77

# disk_with TABLE FILE: TABLE is gpt or dos. The first partition holds nothing, the second the root file system.
disk_with() {
    local table=$1 file=$2 sectors=$((root_mib * 2048)) second
    second="start=$((2 * table_mib * 2048)), size=$sectors, type=linux"
    [[ $table != gpt ]] || second+=", uuid=$gpt_id"
    rm -f "$file"
    truncate -s $(((2 * table_mib + root_mib + 1) * 1048576)) "$file"
    printf 'label: %s\n%s\nunit: sectors\nstart=%d, size=2048, type=linux\n%s\n' "$table" \
        "$([[ $table == gpt ]] || echo 'label-id: 0x5EAF00D1')" $((table_mib * 2048)) "$second" |
        sfdisk -q "$file" >"$dir/sfdisk" 2>&1 || fail "$table: sfdisk made no table" "$dir/sfdisk"
    dd if="$guest/root.ext4" of="$file" bs=1M seek=$((2 * table_mib)) conv=notrunc,sparse status=none
}

# boots CHIP TABLE ID WORD...
boots() {
    local chip=$1 table=$2 id=$3 what="$1, $2${4:+, initrd}"
    disk_with "$table" "$dir/disk"
    config "$dir/vm.json" disk="$dir/disk" partuuid="$id" "${@:4}" \
        args="console=ttyS0 quiet reboot=k panic=1 mayfly.run=\"sh -c 'cat /proc/cmdline; cat /proc/self/mountinfo'\""
    run "$dir/vm.json" "$dir/out" --irqchip "$chip"
    expect_status 0 "$dir/out" "$what"
    expect_line "root=PARTUUID=$id rw" "$dir/out" "$what: the command line"
    expect_line '^[0-9]+ [0-9]+ [0-9]+:2 / / rw' "$dir/out" "$what: the second partition is the root"
    expect_line 'mayfly-init: exit 0' "$dir/out" "$what"
}

boots split gpt $gpt_id
boots full dos 5eaf00d1-02
boots split dos 5EAF00D1-02 initrd=$guest/initrd-tuned.img
boots full gpt ${gpt_id^^} initrd=$guest/initrd-tuned.img
