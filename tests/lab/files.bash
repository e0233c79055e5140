# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A guest that writes files with fsync and says so, and the check of what a disk holds of them. For cases; sourced
# behind case.bash.
set -euo pipefail

# Each file is announced as 'whole NAME SHA256 end' after its fsync returned. Beside them one file is
# written past the cache all the time and never flushed, so that there is nearly always a write to
# lose. The command holds no quotes, no percent sign (guest/README.md: a byte in hex) and no lone --
# (where the kernel's own words end).
# shellcheck disable=SC2016,SC2154
writer_args='console=ttyS0 quiet reboot=k panic=1 mayfly.run="sh -c '\''mkdir /d; i=0;
(while :; do dd if=/dev/zero of=/d/noise bs=512 count=64 oflag=direct conv=notrunc 2>/dev/null;
done) &
while [ $i -lt 600 ]; do i=$((i+1)); n=$((i-i/40*40+1));
dd if=/dev/urandom of=/d/f$i bs=3000 count=$n conv=fsync 2>/dev/null || break;
set $(sha256sum /d/f$i); echo whole f$i $1 end;
[ $((i-i/5*5)) != 0 ] || mkdir /d/dir$i; done; sleep 1000'\''"'
writer_args=${writer_args//$'\n'/ }

# announced OUT: the sums of the files that the guest announced, as sha256sum -c reads them; a cut line does not count
announced() {
    tr -d '\r' <"$1" | sed -nE 's/^whole (f[0-9]+) ([0-9a-f]{64}) end$/\2  \1/p'
}

# await_announced OUT COUNT PID: waits until so many files were announced; fails when the monitor has ended.
await_announced() {
    local out=$1 count=$2 pid=$3 tries
    for ((tries = 0; tries < 300; tries++)); do
        if (($(announced "$out" | wc -l) >= count)); then
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "the monitor ended before the guest had written $count files" "$out"
        sleep 0.3
    done
    fail "the guest did not write $count files in 90 s" "$out"
}

# image_holds IMAGE OUT WHAT: 0 when the journal is replayed without a complaint, e2fsck finds nothing after that, and
# every announced file is there byte by byte; else 1, with the reason in $dir/why. Leaves the count in $files_count.
files_count=0
image_holds() {
    local image=$1 out=$2 what=$3 code=0
    rm -rf "$dir/files" "$dir/sums"
    mkdir "$dir/files"
    announced "$out" >"$dir/sums"
    files_count=$(wc -l <"$dir/sums")
    ((files_count > 0)) || fail "$what: the guest announced nothing" "$out"
    e2fsck -p "$image" >"$dir/why" 2>&1 || code=$?
    ((code <= 1)) || return 1 # 1: it replayed the journal and corrected what that leaves
    e2fsck -fn "$image" >"$dir/why" 2>&1 || return 1
    debugfs -R "rdump /d $dir/files" "$image" >"$dir/why" 2>&1 || return 1
    [[ -d $dir/files/d ]] || return 1
    (cd "$dir/files/d" && sha256sum --quiet -c "$dir/sums") >"$dir/why" 2>&1
}
