#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 300
# The network policy under the lab's kernel, Debian's own, which is older than others: it is proved, filled, attached and
# replaced there, and judges real frames.
set -euo pipefail
# shellcheck source=tests/lab/case.bash
source tests/lab/case.bash

tests/native/run policy_lets policy_drops policy_has policy_with_dhcp policy_with_a_limit policy_reads policy_that_turns policy_of_what \
    policy_forgets policy_is_removed policy_tells policy_that_is_updated policy_knows policy_opens policy_counts policy_limits >"$dir/out" 2>&1 || fail 'cases of the policy' "$dir/out"
expect_line '^[1-9][0-9] passed, 0 failed, 0 skipped$' "$dir/out" 'cases of the policy'
