# SPDX-License-Identifier: Apache-2.0
"""What can be measured on any host with /dev/kvm, without Linux in the guest: tiny guests."""

import contextlib
import json
import os
import re
import select
import subprocess
import tempfile
import time

import common
import smaps
from common import PerfError

TIMED_RUNS = 201  # of each, in turn
START_LIMIT_S = 20

# Tasks that the kernel itself puts into a process, by the start of their name.
KERNEL_TASKS = ("kvm-nx-lpage", "kvm-pit", "iou-")

CALL = re.compile(r"^(\d+) +(\w+)\(")
KVM_CALL = re.compile(r"^\d+ +ioctl\(\d+(<[^>]*>)?, (KVM_|_IOC\([^)]*0xae)")
KVM_RUN = re.compile(r"^\d+ +ioctl\(\d+(<[^>]*>)?, KVM_RUN")


def tiny_config(directory, args, guest):
    path = os.path.join(directory, guest + ".json")
    kernel = common.built(args, f"tests/native/guests/{guest}.elf")
    with open(path, "w", encoding="ascii") as f:
        json.dump({"boot-source": {"kernel_image_path": kernel, "boot_args": ""}, "drives": [],
                   "machine-config": {"vcpu_count": common.VCPU_COUNT,
                                      "mem_size_mib": common.MEM_MIB}}, f)
    return path


def mayfly_argv(args, directory, guest):
    return [common.monitor(args), "--no-api", "--level", "Off", "--config-file",
            tiny_config(directory, args, guest)]


# ---- time --------------------------------------------------------------------------------------

def first_output(args, directory):
    """exec to first guest byte of mayfly and of the floor, in turn, µs."""
    line = [common.built(args, "perf/spawn_time"), str(TIMED_RUNS),
            *mayfly_argv(args, directory, "hello"), "--", common.built(args, "perf/floor")]
    text = subprocess.run(line, stdout=subprocess.PIPE, text=True, check=True).stdout
    rows = [row.split() for row in text.splitlines()]
    bad = [row for row in rows if row[3] != "0"]
    if bad or len(rows) != 2 * TIMED_RUNS:
        raise PerfError(f"a tiny guest ended with status {bad[0][3] if bad else 'none'}: run "
                        f"'{' '.join(line[2:-2])}' to see why")
    return {name: {"first": common.spread([float(row[1]) for row in rows if row[0] == label]),
                   "end": common.spread([float(row[2]) for row in rows if row[0] == label])}
            for name, label in (("mayfly", "A"), ("floor", "B"))}


# ---- counts ------------------------------------------------------------------------------------

def waited_for(calls, runner):
    """Those calls that the runner's KVM_RUN waits for: its own, and others' up to the last thread that they made, or, when
    it was there already, up to what woke it. What they do beside it from then on comes before it or not as the scheduler
    likes."""
    own = [i for i, (task, _, _) in enumerate(calls) if task == runner]
    starts = [i for i, (task, name, _) in enumerate(calls) if name.startswith("clone") and task != runner]
    if not starts:
        starts = [i for i, (task, name, _) in enumerate(calls[:own[0] if own else len(calls)])
                  if name == "futex" and task != runner]
    return [call for i, call in enumerate(calls) if call[0] == runner or not starts or i <= starts[-1]]


def system_calls(argv, directory):
    """Names of the system calls that the first KVM_RUN waits for, and how many of them are KVM's."""
    trace = os.path.join(directory, "strace")
    subprocess.run(["strace", "-f", "-e", "trace=all", "-o", trace, *argv],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    calls = []
    with open(trace, encoding="utf-8", errors="replace") as f:
        for line in f:
            if KVM_RUN.match(line):
                needed = waited_for(calls, CALL.match(line).group(1))
                return {"total": len(needed), "kvm": sum(is_kvm for _, _, is_kvm in needed),
                        "calls": [name for _, name, _ in needed]}
            call = CALL.match(line)
            if call:
                calls.append((*call.groups(), bool(KVM_CALL.match(line))))
    raise PerfError(f"no KVM_RUN in the trace of '{' '.join(argv)}'")


@contextlib.contextmanager
def halted(args, directory):
    """A mayfly whose tiny guest halts for ever."""
    with subprocess.Popen(mayfly_argv(args, directory, "halt"), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        try:
            if not select.select([process.stdout], [], [], START_LIMIT_S)[0] \
                    or not process.stdout.read1(16).startswith(b"h"):
                raise PerfError("the tiny guest 'halt' did not say 'halted'")
            time.sleep(0.1)
            yield process.pid
        finally:
            process.kill()


def threads(pid):
    """Names of the monitor's threads, the kernel's own tasks apart."""
    names = []
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
            names.append(f.read().strip())
    return [name for name in names if not name.startswith(KERNEL_TASKS)]


def idle_cost(args, directory):
    """Memory (KiB), threads and descriptors of a monitor whose guest halts; then beside a second
    one, when clean pages of the binary are shared."""
    ram_kib = common.MEM_MIB * 1024
    os.sync()  # the pages of a binary just written count as dirty
    with halted(args, directory) as pid:
        alone = smaps.of_process(pid, ram_kib)
        result = {"threads": len(threads(pid)),
                  "fds": len(os.listdir(f"/proc/{pid}/fd")),
                  "private_dirty_kib": alone["rest"]["Private_Dirty"],
                  "private_alone_kib": alone["rest"]["Private_Dirty"]
                                       + alone["rest"]["Private_Clean"],
                  "guest_ram_kib": alone["ram"]["Rss"]}
        with halted(args, directory):
            both = smaps.of_process(pid, ram_kib)["rest"]
        result["private_beside_second_kib"] = both["Private_Dirty"] + both["Private_Clean"]
    return result


def binary_bytes(args, directory):
    return os.path.getsize(common.stripped(common.monitor(args), directory))


def measure(args):
    with tempfile.TemporaryDirectory(prefix="mayfly-perf-") as directory:
        common.say(f"native: {TIMED_RUNS} starts of mayfly and of the floor")
        result = {"times_us": first_output(args, directory)}
        result["syscalls"] = {
            "mayfly": system_calls(mayfly_argv(args, directory, "hello"), directory),
            "floor": system_calls([common.built(args, "perf/floor")], directory)}
        result["idle"] = idle_cost(args, directory)
        result["binary_bytes"] = binary_bytes(args, directory)
    return result
