# SPDX-License-Identifier: Apache-2.0
"""Many clones of one snapshot at once, and as many floor programs."""

import contextlib
import os
import re
import statistics
import subprocess
import time

import common
import snapshots
from common import PerfError

MEMORY_COUNT = 100  # of whom memory and the end are looked at
MEMORY_MIB = (4, 128)
SETTLE_S = 0.5
KERNEL_ROWS = ("Slab", "VmallocUsed", "PageTables")
MORE_ROWS = ("SecPageTables", "KernelStack", "Percpu", "MemAvailable")


def meminfo():
    with open("/proc/meminfo", encoding="ascii") as f:
        found = {name: int(kib) for name, kib in re.findall(r"^(\w+): +(\d+)", f.read(), re.M)}
    return {name: found.get(name, 0) for name in KERNEL_ROWS + MORE_ROWS}


class Crowd:
    """COUNT of a command, all of whom have spoken."""

    def __init__(self, process):
        self.process = process
        self.pids, self.first_us, self.cpu_us = [], [], []
        for line in process.stdout:
            word, *figures = line.split()
            if word == "up":
                self.up_us = float(figures[0])
                return
            self.pids.append(int(figures[0]))
            self.first_us.append(float(figures[1]))
            self.cpu_us.append(float(figures[2]))
        raise PerfError(f"{len(self.pids)} clones were reported, then none")

    def end(self):
        """µs until the last was gone, and of CPU time of all, their end included."""
        out, _ = self.process.communicate("g")
        found = dict(line.split() for line in out.splitlines())
        return float(found["gone"]), float(found["usage"])


@contextlib.contextmanager
def crowd(args, count, command):
    with subprocess.Popen([common.built(args, "perf/clones"), str(count), *command],
                          stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Crowd(process)
        finally:
            process.kill()


def quantile(values, share):
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


def start_row(args, command, count):
    with crowd(args, count, command) as found:
        gone_us, usage_us = found.end()
    return {"p50_us": statistics.median(found.first_us), "p99_us": quantile(found.first_us, 0.99),
            "max_us": max(found.first_us), "up_us": found.up_us,
            "cpu_us": statistics.mean(found.cpu_us), "cpu_max_us": max(found.cpu_us),
            "gone_us": gone_us, "usage_us": usage_us / count}


def in_turn(commands, runs, figure_of):
    """Each command once a run, so that a busy machine is fair to all: {name: {figure: spread}}."""
    rows = {name: [] for name in commands}
    for _ in range(runs):
        for name, command in commands.items():
            rows[name].append(figure_of(command))
    return {name: {key: common.spread([row[key] for row in found]) for key in found[0]}
            for name, found in rows.items()}


def memory(args, command, count):
    """KiB of each: what meminfo's rows grew by, and private memory."""
    time.sleep(SETTLE_S)
    before = meminfo()
    with crowd(args, count, command) as found:
        time.sleep(SETTLE_S)
        after = meminfo()
        private = [snapshots.rollup(pid) for pid in found.pids]
        found.end()
    each = {name: (after[name] - before[name]) / count for name in before}
    each["kernel"] = sum(each[name] for name in KERNEL_ROWS)
    for name in ("Private_Dirty", "Private_Clean", "Pss"):
        each[name] = statistics.median(rows[name] for rows in private)
    return each


def measure(args, directory, counts, runs):
    result = {"starts": {}, "memory": {}, "memory_count": MEMORY_COUNT}
    taken = {mib: snapshots.take(args, os.path.join(directory, str(mib)), mib)
             for mib in MEMORY_MIB}
    commands = {mib: {"mayfly": snapshots.by_command_line(args, taken[mib]),
                      "floor": [common.built(args, "perf/floor_stays"), str(mib)]}
                for mib in MEMORY_MIB}
    os.sync()
    for count in counts:
        common.say(f"clones: {count} at once, {runs} times")
        result["starts"][count] = in_turn(commands[common.MEM_MIB], runs,
                                          lambda command, n=count: start_row(args, command, n))
    for mib, pair in commands.items():
        common.say(f"clones: memory of {MEMORY_COUNT} with {mib} MiB")
        for command in pair.values():  # the kernel's caches fill
            memory(args, command, MEMORY_COUNT)
        result["memory"][mib] = in_turn(pair, runs,
                                        lambda command: memory(args, command, MEMORY_COUNT))
    return result
