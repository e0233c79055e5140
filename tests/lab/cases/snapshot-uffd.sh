#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 240
# Linux whose memory a page-fault handler serves, with 1, 2 and 8 vCPUs: its program goes on, its memory is what it was, vsock
# answers, and it is saved again as any other.
# shellcheck disable=SC2016 # what the guest is told is the guest's to expand
set -euo pipefail
# shellcheck source=tests/lab/snapshot.bash
source tests/lab/snapshot.bash

# load_by_handler
load_by_handler() {
    build/tests/lib/uffd-serve "$dir/pages.sock" "$dir/memory" >"$dir/pages" 2>&1 &
    handler=$!
    for _ in $(seq 100); do
        [[ ! -S $dir/pages.sock ]] || break
        sleep 0.05
    done
    load Uffd "$dir/pages.sock"
}

for vcpus in 1 2 8; do
    what="$vcpus vCPUs"
    boot "$vcpus"
    save Full
    end_monitor
    load_by_handler
    answers "$uds"
    sound
    guest 'echo there are $(nproc)'
    said "there are $vcpus"
    save Full
    end_monitor
    wait "$handler" || fail "$what: the handler ended with $?: $(cat "$dir/pages")"
    rm "$dir/pages.sock"
    pages=$(sed -n 's/^\([0-9]*\) pages$/\1/p' "$dir/pages")
    ((pages > 100)) || fail "$what: the handler filled '$pages' pages"
    load File "$dir/memory"
    answers "$uds"
    sound
    end_monitor
done
