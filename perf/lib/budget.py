# SPDX-License-Identifier: Apache-2.0
"""Limits on what counting gives exactly; perf/budget checks them, tests may import them."""

LIMITS = {
    "syscalls": 114,  # the walls included: 17; that the first KVM_RUN waits for, of a tiny guest's monitor
    "kvm-calls": 30,  # of them KVM's
    "dirty": 200,  # KiB private dirty beyond guest RAM, halted tiny guest
    "binary": 1572864,  # bytes stripped: 1.5 MiB; the seccomp filters and the names of system calls came after 1.45
    "threads": 2,  # 1 + vCPUs
    "api-syscalls": 60,  # from exec until the API's socket listens
    "api-dirty": 156,  # KiB private dirty with the API's thread, one request answered, no VM yet
    "api-threads": 2,  # and one for each vCPU
    "load-syscalls": 52,  # that the first KVM_RUN waits for, from PUT /snapshot/load on: 45 to 50, by who sleeps when
    "warm-dirty": 250,  # KiB private dirty of a process with --warm that waits, the heap of its load included
    "warm-syscalls": 30,  # the same from a process with --warm: 26 to 28
    "snapshot-disk": 1 << 20,  # bytes on disk of a 128 MiB tiny guest's snapshot
    "clone-dirty": 250,  # KiB private dirty of an idle clone of it, its RAM included, loaded by the command line
    "jailer-syscalls": 146,  # from exec to the monitor's exec, no cgroup, all four devices
    "jailer-binary": 1572864,  # bytes stripped: 1.5 MiB; libbpf, libelf and the policy's program are 0.7 of it
    "seccomp-insns": 690,  # of the filters installed with the API and one vCPU
    "seccomp-installs": 4,  # as many: all threads', then one each for the API, the vCPU and the vmm thread
    "exits": 900,  # KVM exits until the tuned kernel's init is ready, 1 vCPU, 128 MiB
}
