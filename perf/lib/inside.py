#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The part of perf that runs in the lab, as root: inside.py JOB RESULT.

Everything measured is copied to a tmpfs and runs there in a chroot, so that no step of it waits for
the host. A job is written by perf/boot, perf/blk or perf/budget.
"""

import json
import os
import shutil
import subprocess
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

# pylint: disable=wrong-import-position
import kvmtrace
import smaps
from common import say

WORK = "/dev/shm/perf/"
ROOT = WORK + "root"
READY = b"mayfly-init: ready"
EXIT_EVENTS = ("kvm/kvm_exit", "kvm/kvm_userspace_exit", "kvm/kvm_pio", "kvm/kvm_cpuid",
               "kvm/kvm_msr")


def copy_file(inside, path):
    os.makedirs(os.path.dirname(ROOT + inside), exist_ok=True)
    shutil.copy(path, ROOT + inside)


def copy_in(job):
    for inside, path in job["files"].items():
        copy_file(inside, path)
    shutil.copy(job["vm_time"], WORK + "vm_time")
    for name in ("dev", "proc", "sys"):
        os.makedirs(f"{ROOT}/{name}", exist_ok=True)
        subprocess.run(["mount", "--rbind", "/" + name, f"{ROOT}/{name}"], check=True)


def prepare(variant):
    """Lays out the variant's own files and gives its command line."""
    for command in variant.get("setup", []):
        subprocess.run(["bash", "-ec", command], cwd=ROOT, check=True)
    for inside, path in variant.get("replace", {}).items():
        copy_file(inside, path)
    config = f"/{variant['name'].replace('/', '_').replace(' ', '_')}.json"
    if "config" in variant:
        with open(ROOT + config, "w", encoding="ascii") as f:
            json.dump(variant["config"], f)
    return [config if word == "CONFIG" else word for word in variant["argv"]]


def run_once(argv, smaps_to=None):
    """One run: marks in absolute nanoseconds, and the guest's output."""
    line = [WORK + "vm_time", "--root", ROOT, "--output", WORK + "output"]
    if smaps_to:
        line += ["--smaps", smaps_to]
    done = subprocess.run(line + ["--"] + argv, stdout=subprocess.PIPE, check=True)
    marks = json.loads(done.stdout)
    with open(WORK + "output", "rb") as f:
        output = f.read()
    if not output.startswith(READY) or marks["status"] != 0:
        raise SystemExit(f"perf: '{' '.join(argv)}' ended with status {marks['status']}; its output"
                         f" should begin with the ready line of mayfly-init: {output[:2000]!r}")
    return marks, output


# ---- boot --------------------------------------------------------------------------------------

def timed(argv):
    marks, output = run_once(argv)
    return {"init_us": (marks["first_ns"] - marks["start_ns"]) / 1000,
            "gone_us": (marks["end_ns"] - marks["start_ns"]) / 1000,
            "guest_clock_us": int(output.split()[2]) / 1000, "max_rss_kib": marks["max_rss_kib"]}


def traced_entry(argv):
    with kvmtrace.Tracing(["kvm/kvm_entry"], stop_after="kvm/kvm_entry") as tracing:
        marks, _ = run_once(argv)
    return tracing.records()[0].stamp_us - marks["start_ns"] / 1000


def traced_exits(argv):
    with kvmtrace.Tracing(EXIT_EVENTS, histogram=True) as tracing:
        marks, _ = run_once(argv)
        counted = tracing.histogram_total()
    counts = kvmtrace.tally(tracing.records(), marks["first_ns"] // 1000)
    kept = sum(counts["total"]["exits"].values())
    if kept != counted:
        raise SystemExit(f"perf: the trace holds {kept} exits of {counted}")
    return counts


def memory(argv, ram_kib):
    """Memory at the ready line, KiB: guest RAM apart from the rest."""
    run_once(argv, smaps_to=WORK + "smaps")
    with open(WORK + "smaps", encoding="ascii", errors="replace") as f:
        return smaps.split(f, ram_kib)


def boot(job):
    lines = {variant["name"]: prepare(variant) for variant in job["variants"]}
    results = {name: {"runs": [], "entry_us": []} for name in lines}
    for name, argv in lines.items():
        say(f"{name}: warm-up")
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
    return results


def exits(job):
    """Only the exits of the first variant."""
    argv = prepare(job["variants"][0])
    run_once(argv)
    return traced_exits(argv)


# ---- where the time goes -----------------------------------------------------------------------

def where(job):
    results = {}
    for variant in job["variants"]:
        say(f"{variant['name']}: where")
        argv = prepare(variant)
        run_once(argv)
        with kvmtrace.Tracing(kvmtrace.START_EVENTS, stop_after="kvm/kvm_entry") as tracing:
            marks, _ = run_once(argv)
        steps = kvmtrace.steps(tracing.records(), marks["start_ns"] // 1000)
        with kvmtrace.Tracing(("kvm/kvm_entry", "kvm/kvm_exit")) as tracing:
            marks, _ = run_once(argv)
        records = tracing.records()
        results[variant["name"]] = {
            "steps": steps,
            "to_init": kvmtrace.host_time(records, 0, marks["first_ns"] // 1000),
            "to_end": kvmtrace.host_time(records, marks["first_ns"] // 1000, 1 << 62)}
    return results


# ---- blk ---------------------------------------------------------------------------------------

def blk_run(argv, disk):
    shutil.copy(ROOT + "/disk.fresh", ROOT + disk)
    with kvmtrace.Tracing((), histogram=True) as tracing:
        _, output = run_once(argv)
        by_reason = tracing.histogram_by_reason()
    for line in output.decode(errors="replace").splitlines():
        if line.startswith("{"):
            return dict(json.loads(line), exits=by_reason)
    raise SystemExit(f"perf: no figures from the guest's load: {output[-2000:]!r}")


def blk(job):
    """Each variant comes as a pair that differs in the number of operations alone."""
    results = {}
    with open(ROOT + "/disk.fresh", "wb") as f:
        for _ in range(job["disk_mib"]):
            f.write(os.urandom(1 << 20))
    for pair in job["pairs"]:
        say(pair["name"])
        few, many = (prepare(pair[which]) for which in ("few", "many"))
        results[pair["name"]] = {"few": [blk_run(few, job["disk"])],
                                 "many": [blk_run(many, job["disk"]) for _ in range(job["runs"])]}
    return results


JOBS = {"boot": boot, "exits": exits, "where": where, "blk": blk}


def main():
    with open(sys.argv[1], encoding="ascii") as f:
        job = json.load(f)
    copy_in(job)
    with open("/proc/version", encoding="ascii") as f:
        release = f.read().split()[2]
    result = {"lab_kernel": release, "result": JOBS[job["kind"]](job)}
    with open(sys.argv[2], "w", encoding="ascii") as f:
        json.dump(result, f)


if __name__ == "__main__":
    main()
