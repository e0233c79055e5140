# SPDX-License-Identifier: Apache-2.0
"""What the walls take from a guest's IO: natively with tiny guests, and a job for the lab."""

import json
import math
import os
import statistics
import subprocess
import time

import common
import disk
import variants

OPEN = ["--no-seccomp", "--no-landlock"]
GUEST = "disk_io"  # reads a sector and prints 9 bytes, each an exit of its own, again and again
ENGINES = ("Sync", "Async")
SKIPPED = 900  # bytes of its output before the clock is read
COUNTED = 9000  # and those from there on
PAIRS = 40
CONFIDENCE = 1.96  # standard errors: 95 %

LAB_CELLS = {"Sync, read 1": ("Sync", 1, 200, 4200), "Sync, read 32": ("Sync", 32, 200, 8200),
             "Async, read 1": ("Async", 1, 200, 4200), "Async, read 32": ("Async", 32, 200, 8200)}
WALLS = ("on", "off")
LEAST = "least"  # in the lab: filters that only say that execve is forbidden, and no Landlock: what the kernel takes for having any
LEAST_POLICY = {key: {"default_action": "allow", "filter_action": "trap", "filter": [{"syscall": "execve"}]}
                for key in ("vmm", "api", "vcpu")}


# ---- native ------------------------------------------------------------------------------------

def config_of(args, directory, engine):
    path, backing = (os.path.join(directory, name) for name in (engine + ".json", "disk"))
    with open(backing, "wb") as file:
        file.truncate(1 << 20)
    with open(path, "w", encoding="ascii") as file:
        json.dump({"boot-source": {"kernel_image_path": common.built(args, f"tests/native/guests/{GUEST}.elf")},
                   "drives": [{**disk.drive(engine), "path_on_host": backing}],
                   "machine-config": {"vcpu_count": 1, "mem_size_mib": 32}}, file)
    return path


def run_ns(pid):
    """Of all threads."""
    total = 0
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as file:
            total += int(file.read().split()[0])
    return total


def read_bytes(stream, count):
    while count > 0:
        data = os.read(stream.fileno(), min(count, 4096))
        if not data:
            raise common.PerfError("a tiny guest has ended: run its configuration to see why")
        count -= len(data)


def one_run(argv):
    """CPU time and time, ns, from byte to byte of the guest's output."""
    with subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE) as process:
        try:
            read_bytes(process.stdout, SKIPPED)
            before = run_ns(process.pid), time.perf_counter_ns()
            read_bytes(process.stdout, COUNTED)
            after = run_ns(process.pid), time.perf_counter_ns()
        finally:
            process.kill()
    return after[0] - before[0], after[1] - before[1]


def ratio(on, off):
    """Of pairs: the median, and the two between which it is with 95 %: by the binomial distribution's spread."""
    ratios = sorted(a / b for a, b in zip(on, off))
    around = math.ceil(CONFIDENCE / 2 * math.sqrt(len(ratios)))
    middle = len(ratios) // 2
    return {"ratio": statistics.median(ratios), "low": ratios[max(middle - around, 0)],
            "high": ratios[min(middle + around, len(ratios) - 1)]}


def native(args, directory):
    result = {}
    for engine in ENGINES:
        common.say(f"walls on and off: a tiny guest's disk, {engine}")
        argv = [common.monitor(args), "--no-api", "--level", "Off", "--config-file",
                config_of(args, directory, engine)]
        found = {"on": [], "off": []}
        for pair in range(PAIRS):
            for walls in WALLS if pair % 2 else WALLS[::-1]:
                found[walls].append(one_run(argv + (OPEN if walls == "off" else [])))
        result[engine] = {what: ratio(*([run[at] for run in found[walls]] for walls in WALLS))
                        for at, what in enumerate(("cpu", "time"))}
        result[engine]["pairs"] = PAIRS
    return result


# ---- lab ---------------------------------------------------------------------------------------

def lab_variant(cell, walls, count):
    engine, depth, _, _ = LAB_CELLS[cell]
    init_args = f' mayfly.run="/bin/blkload /dev/vda read {depth} {count}"'
    variant = variants.mayfly(f"{cell} {walls} {count}", None, init_args, [disk.drive(engine)])
    if walls == "off":
        variant["argv"] += OPEN
    if walls == LEAST:
        variant["argv"] += ["--no-landlock", "--seccomp-filter", "/least"]
    return variant


def least_filters(args, directory):
    """The file of them."""
    policy, path = (os.path.join(directory, name) for name in ("least.json", "least"))
    with open(policy, "w", encoding="ascii") as file:
        json.dump(LEAST_POLICY, file)
    subprocess.run([common.built(args, "mayfly-seccomp"), "--input-file", policy, "--output-file", path], check=True)
    return path


def lab(args, directory, runs):
    """By the instruction clock: µs an operation with the walls and without."""
    files = common.guest_files(args)
    files["/initrd"] = disk.initrd(args, directory)
    files["/least"] = least_filters(args, directory)
    files["/mayfly"] = common.stripped(common.monitor(args), directory)
    pairs = [{"name": f"{cell}: {walls}", "few": lab_variant(cell, walls, few), "many": lab_variant(cell, walls, many)}
             for cell, (_, _, few, many) in LAB_CELLS.items() for walls in (*WALLS, LEAST)]
    done = common.lab_run({"kind": "blk", "files": files, "pairs": pairs, "runs": runs, "disk": disk.PATH,
                           "disk_mib": disk.MIB, "vm_time": common.built(args, "perf/vm_time")})
    cells = {cell: {walls: [run["took_ns"] / run["count"] / 1000 for run in done["result"][f"{cell}: {walls}"]["many"]]
                    for walls in (*WALLS, LEAST)} for cell in LAB_CELLS}
    return {"lab_kernel": done["lab_kernel"], "lab": cells}
