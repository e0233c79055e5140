# SPDX-License-Identifier: Apache-2.0
"""What a start may cost, where counting gives the same figure every time: system calls, threads, private memory, size
of the binary. Times are perf's affair."""

import os
import re
import shutil
import signal
import subprocess

from native import BINARY, at_most, case, equal, is_static_build, skip, wait_until

SYSCALLS_MAX = 90  # from exec to the first KVM_RUN
KVM_CALLS_MAX = 30  # of them KVM's
PRIVATE_DIRTY_MAX_KIB = 200  # beyond guest RAM
BINARY_MAX_BYTES = int(1.4 * 1024 * 1024)

# What perf's programs boot, too.
PLAIN = {"vcpu_count": 1, "mem_size_mib": 128}


def need_release_build():
    """The figures are promises about the static release build."""
    if not is_static_build():
        skip("not a static build")


@case
def budget_system_calls_before_the_guest(t):
    need_release_build()
    if not shutil.which("strace"):
        skip("strace is not installed")
    t.config("hello", machine_config=PLAIN)
    end = t.run_vm(log=False, prefix=("strace", "-f", "-o", "trace"), may_leave=("trace",))
    t.expect_end(end)
    calls = [line.split(" ", 1)[1].strip() for line in t.read("trace").splitlines()]
    first_run = next(i for i, call in enumerate(calls) if re.match(r"ioctl\(\d+, KVM_RUN", call))
    before = [call for call in calls[:first_run] if re.match(r"\w+\(", call)]
    kvm = [call for call in before if re.match(r"ioctl\(\d+, (KVM_|_IOC\(.*0xae)", call)]
    at_most("system calls before the first KVM_RUN\n  " + "\n  ".join(before), SYSCALLS_MAX, len(before))
    at_most("KVM calls before the first KVM_RUN\n  " + "\n  ".join(kvm), KVM_CALLS_MAX, len(kvm))
    print(f"  {len(before)} system calls before the first KVM_RUN (at most {SYSCALLS_MAX}), {len(kvm)} of them KVM's "
          f"(at most {KVM_CALLS_MAX})")


@case
def budget_threads(t):
    need_release_build()  # a sanitizer may have threads of its own
    t.disk()
    for vcpus, engine in ((1, "Sync"), (4, "Async")):
        drive = {"drive_id": "d", "path_on_host": "disk", "is_root_device": False, "io_engine": engine}
        t.config("halt", machine_config={**PLAIN, "vcpu_count": vcpus}, drives=[drive])
        vm = t.start_vm()
        vm.await_output("halted")
        expected = sorted([os.path.basename(BINARY)] + [f"fc_vcpu {i}" for i in range(vcpus)])
        equal("threads", len(expected), len(vm.threads()))
        wait_until(f"threads called {expected}", lambda: sorted(name for _, name in vm.threads()) == expected)
        vm.signal(signal.SIGTERM)
        vm.wait()


def mappings(pid):
    """(size, private dirty) in KiB of every mapping."""
    with open(f"/proc/{pid}/smaps", encoding="ascii") as file:
        text = file.read()
    sizes = [int(size) for size in re.findall(r"^Size: +(\d+) kB", text, re.MULTILINE)]
    dirty = [int(size) for size in re.findall(r"^Private_Dirty: +(\d+) kB", text, re.MULTILINE)]
    return list(zip(sizes, dirty))


@case
def budget_private_memory(t):
    need_release_build()
    os.sync()  # pages of a binary just built would count as dirty
    t.config("halt", machine_config=PLAIN)
    vm = t.start_vm()
    vm.await_output("halted")
    seen = mappings(vm.pid)
    vm.signal(signal.SIGTERM)
    vm.wait()
    ram_kib = PLAIN["mem_size_mib"] * 1024
    own = sum(dirty for size, dirty in seen if size < ram_kib)
    equal("mappings of the size of guest RAM", 1, sum(1 for size, _ in seen if size >= ram_kib))
    at_most("private dirty memory beyond guest RAM, KiB", PRIVATE_DIRTY_MAX_KIB, own)
    print(f"  {own} KiB private dirty beyond guest RAM (at most {PRIVATE_DIRTY_MAX_KIB})")


@case
def budget_binary(t):
    need_release_build()
    head = subprocess.run(["readelf", "-hW", BINARY], capture_output=True, text=True, check=True).stdout
    if not re.search(r"Type: +DYN", head):
        equal("type of the binary", "DYN: position-independent", head)
    stripped = t.path("stripped")
    subprocess.run(["strip", "-o", stripped, BINARY], check=True)
    size = os.path.getsize(stripped)
    at_most("bytes of the stripped binary", BINARY_MAX_BYTES, size)
    print(f"  {size} bytes stripped (at most {BINARY_MAX_BYTES})")
