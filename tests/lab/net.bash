# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What the cases with a network share: the namespace and who listens in it. Sourced, in place of session.bash.
# shellcheck source=tests/lab/session.bash
source tests/lab/session.bash

# shellcheck disable=SC2034 # for cases
host=10.0.0.1

# add_netns NAME: a fresh namespace; an earlier case may have left one.
add_netns() {
    [[ ! -e /run/netns/$1 ]] || ip netns del "$1"
    ip netns add "$1"
}

in_netns() {
    ip netns exec mayfly "$@"
}

# listen FILE: takes one connection on port 9 into FILE; its process is $receiver.
listen() {
    : >"$1" # nc opens it with the connection, and who waits for its size looks before that
    in_netns busybox nc -l -p 9 -e sh -c "cat >$1" &
    receiver=$!
    for _ in $(seq 100); do
        in_netns ss -ltnH 'sport = :9' | grep -q . && return
        sleep 0.1
    done
    fail "$what: nobody listens"
}
