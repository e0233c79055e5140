#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# A Linux guest's vsock: streams opened from either side, refusals, many at a time, large ones both ways with their
# checksum, half-close, a stuck reader on either side, an end killed in the middle, a pause.
set -euo pipefail
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

vcat=build/tests/lib/vcat
uds=$dir/v.sock
size_mib=${MAYFLY_VSOCK_MIB:-16} # tests/long/vsock: 1024
streams=1000

head -c $((size_mib << 20)) /dev/urandom >"$dir/big"
read -r big _ < <(sha256sum "$dir/big")
cp "$vcat" "$dir/vcat"
truncate -s %4096 "$dir/vcat"

# same FILE: holds what was sent
same() {
    [[ $(sha256sum <"$1") == "$big"* ]] || fail "$what: other bytes arrived: $(wc -c <"$1") of $((size_mib << 20))" "$out"
    rm "$1"
}

# dial PORT [WORD...]: a stream to the guest, as soon as somebody listens there
dial() {
    local port=$1
    shift
    for _ in $(seq 50); do
        status=0
        "$vcat" "connect:$uds:$port" "$@" || status=$?
        [[ $status == 3 ]] || return "$status"
        sleep 0.1
    done 2>"$dir/why"
    return 3
}

# await_socket PORT: a program of the host listens for the guest at that port
await_socket() {
    for _ in $(seq 100); do
        [[ ! -S ${uds}_$1 ]] || return 0
        sleep 0.05
    done
    fail "$what: nobody listens at ${uds}_$1" "$out"
}

# refused ADDRESS: nobody answers there
refused() {
    status=0
    "$vcat" "$1" </dev/null 2>"$dir/why" || status=$?
    [[ $status == 3 ]] || fail "$what: expected a refusal, got status $status" "$dir/why"
}

serve "$mayfly"
# shellcheck disable=SC2119 # it takes none
put_guest
api PUT /drives/vcat "{\"drive_id\":\"vcat\",\"path_on_host\":\"$dir/vcat\",\"is_root_device\":false,\"is_read_only\":true}"
api PUT /vsock "{\"guest_cid\":42,\"uds_path\":\"$uds\"}"
[[ -S $uds ]] || fail "no socket at $uds" "$out"
start_guest
guest 'cat /dev/vdb >/vcat && chmod +x /vcat'

what='host to guest'
guest '/vcat vsock-listen:1000 echo & true'
printf hello >"$dir/hello"
dial 1000 <"$dir/hello" >"$dir/got" || fail "$what" "$dir/why"
[[ $(cat "$dir/got") == hello ]] || fail "$what: got '$(cat "$dir/got")'" "$out"
refused "connect:$uds:1001"

what='guest to host'
"$vcat" "unix-listen:${uds}_52" echo &
server=$!
await_socket 52
guest 'echo hello | /vcat vsock:2:52 | grep -q hello'
guest '! /vcat vsock:2:53 </dev/null'
guest '! /vcat vsock:7:52 </dev/null' # another CID than the host's
kill "$server"

what="$size_mib MiB to the guest and back" # the guest's half ends after the host's
dial 1000 <"$dir/big" >"$dir/back" || fail "$what" "$out"
same "$dir/back"

what="$size_mib MiB down" # opened by the guest, which ends its half first
"$vcat" "unix-listen:${uds}_54" <"$dir/big" >"$dir/none" &
sender=$!
await_socket 54
guest '/vcat vsock:2:54 </dev/null | sha256sum'
wait "$sender"
said "$big"
what="$size_mib MiB up" # here the host ends its half first
text="yes mayfly | head -c $((size_mib << 20))"
read -r sum _ < <(bash -c "$text" 2>/dev/null | sha256sum)
"$vcat" "unix-listen:${uds}_56" </dev/null 2>"$dir/why" | sha256sum >"$dir/up" &
receiver=$!
await_socket 56
guest "$text | /vcat vsock:2:56"
wait "$receiver"
[[ $(cat "$dir/up") == "$sum"* ]] || fail "$what: other bytes arrived" "$dir/why"

what="$streams streams from the host"
dial 1000 many "$streams" 2000 >"$dir/got" || fail "$what" "$out"
what="$streams streams from the guest"
rm -f "${uds}_52"
"$vcat" "unix-listen:${uds}_52" echo &
server=$!
await_socket 52
guest "/vcat vsock:2:52 many $streams 2000"
said 'all came back'

what='stuck reader in the guest' # credit runs out; others are served, and all is as before when it is killed
guest '/vcat vsock-listen:1002 hold 1 & true'
dial 1002 send 4000000 2>/dev/null &
client=$!
sleep 1
dial 1000 <"$dir/hello" >"$dir/got" || fail "$what" "$out"
[[ $(cat "$dir/got") == hello ]] || fail "$what: others are not served" "$out"
guest 'killall vcat; true'
wait "$client" || :
refused "connect:$uds:1002"

what='stuck reader on the host'
"$vcat" "unix-listen:${uds}_57" hold 1 >"$dir/held" &
holder=$!
await_socket 57
guest '/vcat vsock:2:57 send 4000000 & sleep 0.5; echo hello | /vcat vsock:2:52 | grep -q hello'
kill "$holder"
guest 'echo alive'

what='host killed in the middle'
begin '/vcat vsock-listen:1003 send 4000000000; true'
dial 1003 send 4000000000 &
client=$!
sleep 1
pkill -9 -P "$client"
await_done

what='guest killed in the middle'
guest '/vcat vsock-listen:1004 send 4000000000 & true'
dial 1004 send 4000000000 &
client=$!
sleep 0.5
guest 'killall -9 vcat; true'
status=0
wait "$client" || status=$?
[[ $status == 1 ]] || fail "$what: expected the stream to be cut off, saw status $status" "$dir/why"
refused "connect:$uds:1004"

what=pause
guest '/vcat vsock-listen:1000 echo & true'
api PATCH /vm '{"state":"Paused"}'
dial 1000 <"$dir/hello" >"$dir/got" &
client=$!
sleep 0.5
[[ ! -s $dir/got ]] || fail "$what: something was answered" "$out"
api PATCH /vm '{"state":"Resumed"}'
wait "$client" || fail "$what: the stream did not survive" "$out"
[[ $(cat "$dir/got") == hello ]] || fail "$what: got '$(cat "$dir/got")'" "$out"

kill "$server"
stop_guest
expect_zero vsock rx_queue_event_fails tx_queue_event_fails muxer_event_fails conn_event_fails activate_fails
