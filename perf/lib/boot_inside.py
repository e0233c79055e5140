#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The part of perf/boot that runs in the lab: boot_inside.py JOB RESULT. See perf/boot."""

import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

# pylint: disable=wrong-import-position
import trace as kvm_trace

WORK = "/dev/shm/perf/"
ROOT = WORK + "root"
READY = b"mayfly-init: ready"
EXIT_EVENTS = ("kvm_exit", "kvm_userspace_exit", "kvm_pio", "kvm_cpuid", "kvm_msr")


def say(text):
    print(f"perf: {text}", file=sys.stderr, flush=True)


def copy_in(files):
    """Everything measured, from tmpfs: the host's disk takes no part."""
    for name, path in files.items():
        os.makedirs(os.path.dirname(ROOT + name), exist_ok=True)
        shutil.copy(path, ROOT + name)
    for name in ("dev", "proc", "sys"):
        os.makedirs(f"{ROOT}/{name}", exist_ok=True)
        subprocess.run(["mount", "--rbind", "/" + name, f"{ROOT}/{name}"], check=True)
    shutil.copy(ROOT + "/vm_time", WORK)


def prepare(variant):
    """Writes the variant's config file and gives its command line."""
    for command in variant.get("setup", []):
        subprocess.run(["bash", "-ec", command], cwd=ROOT, check=True)
    path = f"/{variant['name'].replace('/', '_')}.json"
    if "config" in variant:
        with open(ROOT + path, "w", encoding="ascii") as f:
            json.dump(variant["config"], f)
    return [path if word == "CONFIG" else word for word in variant["argv"]]


def run_once(argv, smaps=None):
    """One run; times in microseconds, absolute start."""
    line = [WORK + "vm_time", "--root", ROOT, "--output", WORK + "output"]
    if smaps:
        line += ["--smaps", smaps]
    done = subprocess.run(line + ["--"] + argv, stdout=subprocess.PIPE, check=True)
    marks = json.loads(done.stdout)
    with open(WORK + "output", "rb") as f:
        output = f.read()
    if not output.startswith(READY):
        raise SystemExit(f"boot_inside: the first output of '{' '.join(argv)}' is not the ready "
                         f"line of mayfly-init: {output[:2000]!r}, status {marks['status']}")
    return marks, output


def timed(argv):
    marks, output = run_once(argv)
    return {"init_us": (marks["first_ns"] - marks["start_ns"]) / 1000,
            "gone_us": (marks["end_ns"] - marks["start_ns"]) / 1000,
            "guest_clock_us": int(output.split()[2]) / 1000,
            "max_rss_kib": marks["max_rss_kib"], "status": marks["status"]}


def traced_entry(argv):
    with kvm_trace.Tracing(["kvm_entry"], only_first=True) as tracing:
        marks, _ = run_once(argv)
    first = tracing.records()[0][0]
    return first - marks["start_ns"] / 1000


def traced_exits(argv):
    with kvm_trace.Tracing(EXIT_EVENTS, histogram=True) as tracing:
        marks, _ = run_once(argv)
        histogram = tracing.histogram_total()
    counts = kvm_trace.tally(tracing.records(), marks["first_ns"] // 1000)
    counts["histogram_total"] = histogram
    return counts


def memory(argv, ram_kib):
    """Resident and private memory at the ready line, guest RAM apart from the rest."""
    run_once(argv, smaps=WORK + "smaps")
    kinds = ("Rss", "Private_Dirty", "Private_Clean", "Pss", "AnonHugePages")
    parts = {"ram": dict.fromkeys(kinds, 0), "rest": dict.fromkeys(kinds, 0)}
    with open(WORK + "smaps", encoding="ascii", errors="replace") as f:
        for line in f:
            word = line.split()
            if word[0] == "Size:":
                part = parts["ram" if int(word[1]) >= ram_kib else "rest"]
            elif word[0].rstrip(":") in kinds:
                part[word[0].rstrip(":")] += int(word[1])
    return parts


def main():
    with open(sys.argv[1], encoding="ascii") as f:
        job = json.load(f)
    copy_in(job["files"])
    lines = {variant["name"]: prepare(variant) for variant in job["variants"]}
    results = {name: {"runs": [], "entry_us": []} for name in lines}
    for name, argv in lines.items():
        say(f"{name}: warm-up")
        for _ in range(job["warm_up"]):
            run_once(argv)
    for index in range(job["runs"]):
        say(f"timed run {index + 1} of {job['runs']}")
        for name, argv in lines.items():
            results[name]["runs"].append(timed(argv))
    for name, argv in lines.items():
        say(f"{name}: traced runs")
        for _ in range(job["entry_runs"]):
            results[name]["entry_us"].append(traced_entry(argv))
        if job["counts"]:
            results[name]["counts"] = traced_exits(argv)
            results[name]["memory"] = memory(argv, job["ram_kib"])
    with open("/proc/version", encoding="ascii") as f:
        release = f.read().split()[2]
    with open(sys.argv[2], "w", encoding="ascii") as f:
        json.dump({"lab_kernel": release, "variants": results}, f)


if __name__ == "__main__":
    main()
