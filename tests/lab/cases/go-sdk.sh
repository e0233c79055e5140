#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 150
# outside: tests/clients/go/build
# A Linux guest in the hands of firecracker-go-sdk (tests/clients/go/linux.go): started with two drives, paused (it stands
# still), resumed (it answers), a drive replaced (it sees the new one), ended by Ctrl-Alt-Del and by the SDK's signal; then
# (talk.go) with an interface and a vsock device, over which the SDK's own vsock package talks to it; then (snapshot.go) saved,
# and loaded by a second monitor.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

cp "$guest/vmlinux-tuned" "$dir"
fresh_disk "$dir/root.ext4"
cp build/tests/lib/vcat "$dir"
truncate -s %4096 "$dir/vcat"
ip tuntap add tap0 mode tap
ip addr add 10.0.0.1/24 dev tap0
ip link set tap0 up
# By itself the SDK waits 0.5 s for an answer and 3 s for the socket: too little where the host's files come slowly.
export FIRECRACKER_GO_SDK_REQUEST_TIMEOUT_MILLISECONDS=10000 FIRECRACKER_GO_SDK_INIT_TIMEOUT_SECONDS=20
build/clients/sdk linux "$mayfly" "$dir"
