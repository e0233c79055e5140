# SPDX-License-Identifier: Apache-2.0
"""What a start may cost, where counting gives the same figure every time: perf/budget's checks, and the names of the
threads; and the order of KVM's calls, which costs time that counts. Times are perf's affair."""

import os
import re
import shutil
import signal
import subprocess

from native import BINARY, ROOT, Mismatch, case, equal, is_static_build, skip, wait_until

BUDGETS = ("syscalls", "kvm-calls", "dirty", "binary", "api-syscalls", "api-dirty",
           "load-syscalls", "warm-dirty", "warm-syscalls", "snapshot-disk", "clone-dirty", "jailer-syscalls", "jailer-binary",
           "seccomp-insns", "seccomp-installs")
COUNTED_BY_STRACE = ("syscalls", "kvm-calls", "api-syscalls", "load-syscalls", "warm-syscalls", "jailer-syscalls", "seccomp-insns",
                     "seccomp-installs")


def need_release_build():
    """The figures are promises about the static release build."""
    if not is_static_build():
        skip("not a static build")


def budget(name):
    def run(_t):
        need_release_build()
        if name in COUNTED_BY_STRACE and not shutil.which("strace"):
            skip("strace is not installed")
        if name == "jailer-syscalls" and os.geteuid() != 0:
            skip("jails are made by root")
        done = subprocess.run([os.path.join(ROOT, "perf/budget"), "--build", os.path.dirname(BINARY),
                               "--mayfly", BINARY, name], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Mismatch("perf/budget " + name, "ok", done.stdout + done.stderr)
        print("  " + done.stdout.strip())
    run.__name__ = "budget_" + name.replace("-", "_")
    return run


for _name in BUDGETS:
    case(budget(_name))


@case
def budget_threads(t):
    need_release_build()  # a sanitizer may have threads of its own
    t.disk()
    for vcpus, engine in ((1, "Sync"), (4, "Async")):
        drive = {"drive_id": "d", "path_on_host": "disk", "is_root_device": False, "io_engine": engine}
        t.config("halt", machine_config={"vcpu_count": vcpus, "mem_size_mib": 128}, drives=[drive])
        vm = t.start_vm()
        vm.await_output("halted")
        expect_threads(vm, [os.path.basename(BINARY)[:15]] + [f"fc_vcpu {i}" for i in range(vcpus)])
        vm.signal(signal.SIGTERM)
        vm.wait()


def expect_threads(vm, names):
    # The first vCPU may have spoken before the last one's thread was made.
    wait_until(f"threads called {sorted(names)}", lambda: sorted(name for _, name in vm.threads()) == sorted(names))


@case
def budget_threads_with_api(t):
    need_release_build()
    t.config("halt", machine_config={"vcpu_count": 2, "mem_size_mib": 128})
    vm = t.start("--api-sock", "api.socket", "--config-file", "vm.json", "--level", "Off", may_leave=("api.socket",))
    vm.await_output("halted")
    expect_threads(vm, [os.path.basename(BINARY)[:15], "fc_api", "fc_vcpu 0", "fc_vcpu 1"])
    vm.signal(signal.SIGTERM)
    vm.wait()


def kvm_calls(t, irqchip):
    """Names of KVM's calls up to the first KVM_RUN, in their order."""
    t.run_vm("--irqchip", irqchip, prefix=("strace", "-f", "-e", "trace=ioctl", "-o", "trace"), may_leave=("trace",))
    names = re.findall(r"^\d+ +ioctl\(\d+(?:<[^>]*>)?, (KVM_\w+)", t.read("trace"), re.MULTILINE)
    if "KVM_RUN" not in names:
        raise Mismatch(f"calls with the irqchip {irqchip}", "KVM_RUN among them", names)
    return names[:names.index("KVM_RUN")]


@case
def memory_slots_come_before_all_that_makes_them_dear(t):
    """A slot set after an irqchip, a PIT or an ioeventfd waits for every reader of the VM's structures: 6 to 8 ms."""
    if not shutil.which("strace"):
        skip("strace is not installed")
    t.disk()
    drives = [{"drive_id": f"d{i}", "path_on_host": "disk", "is_root_device": False, "io_engine": engine}
              for i, engine in enumerate(("Sync", "Async"))]
    # 4,608 MiB are two slots, one on each side of the 32-bit gap.
    t.config("hello", machine_config={"vcpu_count": 2, "mem_size_mib": 4608}, drives=drives)
    for irqchip, makes_irqchip in (("split", ["KVM_ENABLE_CAP"]), ("full", ["KVM_CREATE_IRQCHIP", "KVM_CREATE_PIT2"])):
        names = kvm_calls(t, irqchip)
        dear = ("KVM_ENABLE_CAP", "KVM_CREATE_IRQCHIP", "KVM_CREATE_PIT2", "KVM_CREATE_VCPU", "KVM_IRQFD",
                "KVM_IOEVENTFD")
        seen = [name for name in names if name.startswith("KVM_SET_USER_MEMORY_REGION") or name in dear]
        first_dear = next((i for i, name in enumerate(seen) if name in dear), len(seen))
        equal(f"slots before the rest, irqchip {irqchip}", ["KVM_SET_USER_MEMORY_REGION"] * 2, seen[:first_dear])
        equal(f"slots after that, irqchip {irqchip}", [],
              [name for name in seen[first_dear:] if name not in dear])
        equal(f"calls that make the irqchip {irqchip}", makes_irqchip,
              [name for name in seen if name in ("KVM_ENABLE_CAP", "KVM_CREATE_IRQCHIP", "KVM_CREATE_PIT2")])
        # A Sync disk wants to see its notifications itself (ARCHITECTURE.md, a disk write).
        equal(f"KVM_IOEVENTFD, one an Async disk, irqchip {irqchip}", 1, seen.count("KVM_IOEVENTFD"))
