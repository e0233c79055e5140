# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A guest that does what it is told: a monitor with an API, and a shell in the guest that reads commands from its serial
# line. For cases; sourced behind case.bash.
set -euo pipefail

sock=$dir/api.sock
out=$dir/out
what=session

# What the guest's shell does: a command a line, and says when each is over.
cat >"$dir/script" <<'EOF'
echo listening
while read -r line; do eval "$line"; echo "done $?"; done
exit
EOF
truncate -s 4096 "$dir/script"

# api METHOD PATH [BODY]
api() {
    local code
    code=$(curl -s -o "$dir/reply" -w '%{http_code}' --unix-socket "$sock" -X "$1" ${3:+-d "$3"} "http://localhost$2")
    [[ $code == 20[04] ]] || fail "$what: $1 $2 got $code: $(cat "$dir/reply")" "$out"
}

# monitor_start [COMMAND...]: the monitor, behind COMMAND (in a namespace, say), with the guest's kernel and script set.
# shellcheck disable=SC2120 # COMMAND may be absent
monitor_start() {
    mkfifo "$dir/in"
    "$@" "$mayfly" --api-sock "$sock" --level Warning --metrics-path "$dir/metrics" <"$dir/in" >"$out" 2>&1 &
    pid=$!
    exec 3>"$dir/in"
    for _ in $(seq 100); do
        [[ -S $sock ]] && break
        sleep 0.05
    done
    api PUT /boot-source "{\"kernel_image_path\":\"$guest/vmlinux-tuned\",\"initrd_path\":\"$guest/initrd-busybox.img\",\"boot_args\":\"console=ttyS0 quiet reboot=k mayfly.run=\\\"sh /dev/vda\\\"\"}"
    api PUT /drives/script "{\"drive_id\":\"script\",\"path_on_host\":\"$dir/script\",\"is_root_device\":false,\"is_read_only\":true}"
}

guest_start() {
    what=boot
    api PUT /actions '{"action_type":"InstanceStart"}'
    await_line '^listening' "$out" "$pid" boot
}

# guest_begin COMMAND: has the guest run it. Its output is what the console gets from now on.
guest_begin() {
    from=$(wc -c <"$out")
    command=$1
    echo "$1" >&3
}

# guest_end: waits for what was begun. Its output is in $dir/said.
guest_end() {
    for _ in $(seq 1200); do
        tail -c +$((from + 1)) "$out" >"$dir/said"
        if grep -aqE '^done [0-9]+' "$dir/said"; then
            grep -aqE '^done 0' "$dir/said" || fail "$what: '$command' failed in the guest" "$dir/said"
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "$what: the monitor ended at '$command'" "$out"
        sleep 0.1
    done
    fail "$what: no end of '$command'" "$out"
}

guest() {
    guest_begin "$1"
    guest_end
}

said() {
    grep -aqF -- "$1" "$dir/said" || fail "$what: expected '$1'" "$dir/said"
}

# guest_stop: the guest is asked to end, and the monitor ends well.
guest_stop() {
    what=end
    api PUT /actions '{"action_type":"SendCtrlAltDel"}'
    status=0
    wait "$pid" || status=$?
    expect_status 0 "$out" end
}
