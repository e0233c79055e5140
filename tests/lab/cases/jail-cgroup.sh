#!/bin/bash
# SPDX-License-Identifier: Apache-2.0
# timeout: 180
# A jail's limits bind, by cgroup v2: memory.max kills the monitor and no other, pids.max refuses threads, cpu.max holds a busy guest
# to its share. Who enters a cgroup writes once or is born there; a parent alone is moved to, one with children's controllers refuses.
set -euo pipefail
# shellcheck source=tests/lab/jail.bash
source tests/lab/jail.bash

# ended STATUS: the monitor, a child of the case's, has ended by itself
ended() {
    await_end
    status=0
    wait "$pid" 2>/dev/null || status=$?
    expect_status "$1" "$out" "$what"
}

# refused OPTION...: a jailer that must end with 1 and leave no jail; what it says is in $out
refused() {
    out=$dir/refused
    status=0
    (jailer refused "$@" -- --version) </dev/null >"$out" 2>&1 || status=$?
    expect_status 1 "$out" "$what"
    [[ ! -e $cgroups/refused ]] || fail "$what: its cgroup is still there" "$out"
    [[ ! -e $base/$program/refused ]] || fail "$what: its directory is still there" "$out"
}

jailed lives --cgroup memory.max=300M --cgroup 'cpu.max=50000 100000'
put_jailed_guest 128
start_guest

jailed dies --cgroup memory.max=100M
put_jailed_guest 256
start_guest
what=memory.max
begin 'head -c 125829120 /dev/zero >/full'
ended 137
expect 1 "$(field oom_kill $cgroups/dies/memory.events)" oom_kill
expect 0 "$(field oom_kill $cgroups/lives/memory.events)" 'oom_kill of the other'
turn_to lives
guest 'echo lives on'
said 'lives on'

what=cpu.max
before_us=$(field usage_usec $cgroups/lives/cpu.stat)
before_periods=$(field nr_periods $cgroups/lives/cpu.stat)
before_throttled=$(field nr_throttled $cgroups/lives/cpu.stat)
# shellcheck disable=SC2016 # the guest's shell counts
guest 'i=0; while [ $i -lt 30000 ]; do i=$((i + 1)); done'
used_us=$(($(field usage_usec $cgroups/lives/cpu.stat) - before_us))
periods=$(($(field nr_periods $cgroups/lives/cpu.stat) - before_periods))
throttled=$(($(field nr_throttled $cgroups/lives/cpu.stat) - before_throttled))
echo "$used_us us in $periods periods, held in $throttled of them"
((throttled > 0)) || fail "$what: a busy guest was never held" "$out"
# One period's share more, since they begin in the middle of one, and one for what a tick is late.
((used_us <= (periods + 2) * 50000)) || fail "$what: $used_us us in $periods periods of 50000" "$out"
stop_guest

what='pids.max, at the start'
out=$dir/few
status=0
(jailer few --cgroup pids.max=1) </dev/null >"$out" 2>&1 || status=$?
expect_status 1 "$out" "$what"
expect_line 'Cannot start the API thread: Resource temporarily unavailable' "$out" "$what"
jailed some --cgroup pids.max=2
put_jailed_guest 128
what='pids.max, for a vCPU'
curl -s --unix-socket "$sock" -X PUT -d '{"action_type":"InstanceStart"}' http://localhost/actions >"$dir/reply"
expect_line 'starting a vCPU thread: Resource temporarily unavailable' "$dir/reply" "$what"
expect 1 "$(field max $cgroups/some/pids.events)" 'pids.events: max'
echo 8 >$cgroups/some/pids.max # nothing was lost by that
start_guest
stop_guest

what='without values, into a parent'
mkdir "$cgroups/crowd"
jailed joins --parent-cgroup "$program/crowd"
expect "0::/$program/crowd" "$(<"/proc/$pid/cgroup")" cgroup
[[ ! -e $cgroups/crowd/joins ]] || fail "$what: it got a cgroup of its own" "$out"
kill -9 "$pid"
ended 137
what='without values, a parent that is not there'
jailed stays --parent-cgroup absent
expect "$(</proc/self/cgroup)" "$(<"/proc/$pid/cgroup")" cgroup
[[ ! -e /sys/fs/cgroup/absent ]] || fail "$what: it was made" "$out"
kill -9 "$pid"
ended 137
what='without values, a parent that has others below'
refused
expect_line "Failed to move process to cgroup \\($program\\): Resource busy \\(os error 16\\)" "$out" "$what"
expect_line "Hint: If you intended to create a child cgroup under $program, pass any --cgroup parameters" "$out" "$what"
what='a value that the kernel refuses'
refused --cgroup memory.max=plenty
expect_line "Failed to write to cgroup: $cgroups/refused/memory.max = plenty: Invalid argument" "$out" "$what"

# moves COUNT: so many writes to files cgroup.procs; strace -y writes what a descriptor is
moves() {
    expect "$1" "$(grep -cE 'write\([0-9]+<[^>]*/cgroup\.procs>' "$out.trace" || :)" 'writes to cgroup.procs'
}
what='one write'
out=$dir/traced
(prefix=(strace -f -y -e 'trace=write,clone3' -o "$out.trace") && jailer traced --cgroup pids.max=9 -- --version) </dev/null >"$out" 2>&1
moves 1
what='born there'
out=$dir/born
(prefix=(strace -f -y -e 'trace=write,clone3' -o "$out.trace") && jailer born --new-pid-ns --cgroup pids.max=9 -- --version) </dev/null >"$out" 2>&1
moves 0
expect 1 "$(grep -c 'clone3(' "$out.trace")" 'calls of clone3'
expect_line 'clone3\(.*CLONE_INTO_CGROUP' "$out.trace" "$what"
