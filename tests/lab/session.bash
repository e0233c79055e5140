# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# A guest that does what it is told: a monitor with an API, and a shell in the guest that reads commands from its serial
# line. Sourced, in place of case.bash. `pid` is the monitor's, `what` what is being done, for messages.
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

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

# serve COMMAND...: starts the monitor, which is what the command ends in, and waits for its API.
serve() {
    what='the start'
    mkfifo "$dir/in"
    "$@" --api-sock "$sock" --level Warning --metrics-path "$dir/metrics" <"$dir/in" >"$out" 2>&1 &
    pid=$!
    exec 3>"$dir/in"
    for _ in $(seq 100); do
        [[ ! -S $sock ]] || return 0
        sleep 0.05
    done
    fail "$what: there is no API" "$out"
}

# put_guest [WORD...]: the small guest that does what it is told; its first drive is the script. Words: of its command line. $kernel and
# $initrd, where they are set, are other images of build/guest.
put_guest() {
    api PUT /boot-source "{\"kernel_image_path\":\"$guest/${kernel:-vmlinux-tuned}\",\"initrd_path\":\"$guest/${initrd:-initrd-busybox.img}\",\"boot_args\":\"console=ttyS0 quiet reboot=k $* mayfly.run=\\\"sh /dev/vda\\\"\"}"
    api PUT /drives/script "{\"drive_id\":\"script\",\"path_on_host\":\"$dir/script\",\"is_root_device\":false,\"is_read_only\":true}"
}

start_guest() {
    what=boot
    api PUT /actions '{"action_type":"InstanceStart"}'
    await_line '^listening' "$out" "$pid" boot
}

# begin COMMAND: has the guest run it. Its output is what the console gets from now on.
begin() {
    from=$(wc -c <"$out")
    command=$1
    echo "$1" >&3
}

# await_done: waits for what was begun. Its output is in $dir/said.
await_done() {
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

# guest COMMAND: has the guest run it, and waits.
guest() {
    begin "$1"
    await_done
}

said() {
    grep -aqF -- "$1" "$dir/said" || fail "$what: expected '$1'" "$dir/said"
}

# stop_guest: the guest is asked to end, and the monitor ends well.
stop_guest() {
    what=end
    api PUT /actions '{"action_type":"SendCtrlAltDel"}'
    status=0
    wait "$pid" || status=$?
    expect_status 0 "$out" end
}

# expect_zero GROUP COUNTER...: counters of the metrics, after the end
expect_zero() {
    local group=$1 count seen
    shift
    for count in "$@"; do
        seen=$(metric_sum "$dir/metrics" "$group" "$count")
        [[ $seen == 0 ]] || fail "end: $count is $seen, expected 0" "$out"
    done
}
