# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the cases with a network share: the namespace, an API, a guest that does what it is told. Sourced, in place of
# case.bash. `pid` is the monitor's, `what` what is being done, for messages.
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

sock=$dir/api.sock
out=$dir/out
host=10.0.0.1
what=net

# The guest reads its commands from its serial line: one a line, and says when each is over.
cat >"$dir/script" <<'EOF'
echo listening
while read -r line; do eval "$line"; echo "done $?"; done
exit
EOF
truncate -s 4096 "$dir/script"

# add_netns NAME: a fresh namespace; an earlier case may have left one.
add_netns() {
    [[ ! -e /run/netns/$1 ]] || ip netns del "$1"
    ip netns add "$1"
}

in_netns() {
    ip netns exec mayfly "$@"
}

# guest COMMAND: has the guest run it, and waits. Its output is what the console got since.
guest() {
    local from
    from=$(wc -c <"$out")
    echo "$1" >&3
    for _ in $(seq 1200); do
        tail -c +$((from + 1)) "$out" >"$dir/said"
        if grep -aqE '^done [0-9]+' "$dir/said"; then
            grep -aqE '^done 0' "$dir/said" || fail "$what: '$1' failed in the guest" "$dir/said"
            return
        fi
        kill -0 "$pid" 2>/dev/null || fail "$what: the monitor ended at '$1'" "$out"
        sleep 0.1
    done
    fail "$what: no end of '$1'" "$out"
}

# listen FILE: takes one connection on port 9 into FILE; its process is $receiver.
listen() {
    in_netns busybox nc -l -p 9 -e sh -c "cat >$1" &
    receiver=$!
    for _ in $(seq 100); do
        in_netns ss -ltnH 'sport = :9' | grep -q . && return
        sleep 0.1
    done
    fail "$what: nobody listens"
}

said() {
    grep -aqF -- "$1" "$dir/said" || fail "$what: expected '$1'" "$dir/said"
}

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

await_guest() {
    what=boot
    await_line '^listening' "$out" "$pid" boot
}
