# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
# What every case of tests/lab/cases shares: guest configurations, running the monitor, checking what it said.
# Sourced; the case starts in the checkout, $MAYFLY_CASE_DIR is its own empty directory.

mayfly=${MAYFLY_BINARY:-build/mayfly}
guest=build/guest
dir=$MAYFLY_CASE_DIR
irqchips="split full"

fail() {
    printf 'FAILED: %s\n' "$1" >&2
    if [[ -n ${2:-} && -f $2 ]]; then
        sed 's/^/    | /' "$2" | tail -n 60 >&2
    fi
    exit 1
}

# config FILE NAME=VALUE...: writes a config file. Names: kernel initrd args vcpus mem disk engine cache ro limiter partuuid
config() {
    local file=$1 kernel=$guest/vmlinux-tuned initrd='' args='' vcpus=1 mem=128
    local disk='' partuuid='' engine=Sync cache=Unsafe ro=false limiter=null drives='' word
    shift
    for word in "$@"; do
        local "${word%%=*}"="${word#*=}"
    done
    if [[ -n $disk ]]; then
        drives=$(printf '{"drive_id":"rootfs","path_on_host":"%s","is_root_device":true,%s"is_read_only":%s,"io_engine":"%s","cache_type":"%s","rate_limiter":%s}' \
            "$disk" "${partuuid:+\"partuuid\":\"$partuuid\",}" "$ro" "$engine" "$cache" "$limiter")
    fi
    printf '{"boot-source":{"kernel_image_path":"%s",%s"boot_args":"%s"},"drives":[%s],"machine-config":{"vcpu_count":%s,"mem_size_mib":%s}}\n' \
        "$kernel" "${initrd:+\"initrd_path\":\"$initrd\",}" "${args//\"/\\\"}" "$drives" "$vcpus" "$mem" >"$file"
}

# A fresh copy of the root disk.
fresh_disk() {
    cp --sparse=always "$guest/root.ext4" "$1"
}

# run FILE OUT [FLAG...]: runs the monitor on a config; its exit status is left in $status, its output in OUT.
status=0
run() {
    local file=$1 out=$2
    shift 2
    status=0
    "$mayfly" --no-api --config-file "$file" "$@" </dev/null >"$out" 2>&1 || status=$?
}

expect_status() {
    [[ $status == "$1" ]] || fail "$3: expected exit status $1, saw $status" "$2"
}

# expect_line REGEX OUT WHAT
expect_line() {
    grep -aqE -- "$1" "$2" || fail "$3: no line matches '$1'" "$2"
}

# await_line REGEX OUT PID WHAT: waits until the monitor or its guest has written such a line; fails when the monitor
# has ended, or after 30 s.
await_line() {
    local tries
    for ((tries = 0; tries < 100; tries++)); do
        if grep -aqE -- "$1" "$2"; then
            return
        fi
        kill -0 "$3" 2>/dev/null || fail "$4: the monitor ended without a line that matches '$1'" "$2"
        sleep 0.3
    done
    fail "$4: no line matches '$1' after 30 s" "$2"
}

# One metric's sum over all lines of a metrics file, "none" if it is not there: metric_sum FILE GROUP FIELD
# (Without Python, whose start is seconds of the emulator's.)
metric_sum() {
    { sed 's/{"min_us":[^}]*}/0/g' "$1" | grep -o "\"$2\":{[^}]*}" || :; } | { grep -oE "\"$3\": *[0-9]+" || :; } |
        awk -F: '{ sum += $2 } END { print NR ? sum : "none" }'
}
