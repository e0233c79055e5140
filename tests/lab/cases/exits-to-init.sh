#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 60
# The tuned kernel reaches init with no more KVM exits than perf/lib/budget.py allows.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

if [[ -z ${MAYFLY_LAB-} ]]; then
    echo "counted in the lab only: another host's processor has other exits" >&2
    exit 77
fi
perf/budget --mayfly "$mayfly" exits >"$dir/out" 2>"$dir/err" ||
    fail "$(cat "$dir/out"): more exits to init than the budget, or no figure" "$dir/err"
expect_line '^ok: [0-9]+ KVM exits to init of the tuned kernel \(at most [0-9]+\)' "$dir/out" "the figure"
cat "$dir/out"
