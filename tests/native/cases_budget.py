# SPDX-License-Identifier: Apache-2.0
"""What a start may cost, where counting gives the same figure every time: perf/budget's checks, and the names of the
threads. Times are perf's affair."""

import os
import shutil
import signal
import subprocess

from native import BINARY, ROOT, Mismatch, case, is_static_build, skip, wait_until

BUDGETS = ("syscalls", "kvm-calls", "dirty", "binary")


def need_release_build():
    """The figures are promises about the static release build."""
    if not is_static_build():
        skip("not a static build")


def budget(name):
    def run(_t):
        need_release_build()
        if name in ("syscalls", "kvm-calls") and not shutil.which("strace"):
            skip("strace is not installed")
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
        expected = sorted([os.path.basename(BINARY)[:15]] + [f"fc_vcpu {i}" for i in range(vcpus)])
        # The first vCPU may have spoken before the last one's thread was made.
        wait_until(f"threads called {expected}", lambda: sorted(name for _, name in vm.threads()) == expected)
        vm.signal(signal.SIGTERM)
        vm.wait()
