#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The part of perf that runs in the lab, as root: inside.py JOB RESULT.

Everything measured is copied to a tmpfs and runs there in a chroot, so that no step of it waits for
the host. A job is written by perf/boot, perf/blk, perf/jail, perf/load, perf/net, perf/vsock,
perf/snapshot or perf/budget.
"""

import contextlib
import json
import os
import re
import shutil
import subprocess
import sys
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.realpath(__file__)))

# pylint: disable=wrong-import-position
import api
import kvmtrace
import smaps
import snapshots
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


def fill(path, mib):
    with open(path, "wb") as f:
        for _ in range(mib):
            f.write(os.urandom(1 << 20))


def blk(job):
    """Each variant comes as a pair that differs in the number of operations alone."""
    results = {}
    fill(ROOT + "/disk.fresh", job["disk_mib"])
    for pair in job["pairs"]:
        say(pair["name"])
        few, many = (prepare(pair[which]) for which in ("few", "many"))
        results[pair["name"]] = {"few": [blk_run(few, job["disk"])],
                                 "many": [blk_run(many, job["disk"]) for _ in range(job["runs"])]}
    return results


# ---- load --------------------------------------------------------------------------------------

def start(argv, **streams):
    return subprocess.Popen(argv, preexec_fn=lambda: os.chroot(ROOT), cwd="/", **streams)


def thread_times(pid):
    """By thread name: nanoseconds on a CPU, and how often it was put on one."""
    found = {}
    for task in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{task}/comm", encoding="utf-8") as f:
            name = f.read().strip()
        name = re.sub(r"^(iou-wrk|iou-sqp)-\d+$", r"\1", name)
        with open(f"/proc/{pid}/task/{task}/schedstat", encoding="ascii") as f:
            ran, _, turns = (int(word) for word in f.read().split())
        sums = found.setdefault(name, {"ns": 0, "turns": 0})
        sums["ns"] += ran
        sums["turns"] += turns
    return found


def await_socket(path):
    end = time.monotonic() + 10
    while not os.path.exists(path):
        if time.monotonic() > end:
            raise SystemExit(f"perf: nobody listens on {path}")
        time.sleep(0.001)


@contextlib.contextmanager
def client_of(job, kind):
    """A client that waits for the word to start, and the mayfly without a VM if it will ask that
    one; None for what there is not."""
    server = client = None
    try:
        if kind == "other":
            server = start(job["other"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
            await_socket(ROOT + job["other_socket"])
        if kind != "none":
            line = job["other_client" if kind == "other" else "client"]
            client = start(line, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        yield client, server
    finally:
        for process in (client, server):
            if process:
                process.kill()
                process.wait()
        if server:
            os.unlink(ROOT + job["other_socket"])


def tell_to_start(client):
    client.stdin.write(b"g")
    client.stdin.flush()


def end_client(client):
    client.terminate()
    text = client.communicate()[0]
    if client.returncode != 0:
        raise SystemExit(f"perf: the client ended with status {client.returncode}")
    return json.loads(text)


def spent(before, after):
    none = {"ns": 0, "turns": 0}
    return {name: {key: times[key] - before.get(name, none)[key] for key in none}
            for name, times in after.items()}


def load_run(job, argv, kind):
    """One run: the guest's figures, the client's, and what the threads spent from the ready line
    to the end of the guest's load."""
    with client_of(job, kind) as (client, _):
        monitor = start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
        try:
            first = monitor.stdout.readline()
            if not first.startswith(READY):
                raise SystemExit(f"perf: instead of the ready line: {first[:2000]!r}")
            if client:
                tell_to_start(client)
            before = thread_times(monitor.pid)
            line = monitor.stdout.readline()
            after = thread_times(monitor.pid)
            asked = end_client(client) if client else None
        finally:
            monitor.kill()
            monitor.wait()
            monitor.stdout.close()
            os.unlink(ROOT + job["socket"])
    if not line.startswith(b"{"):
        raise SystemExit(f"perf: no figures from the guest's load: {line[:2000]!r}")
    return dict(json.loads(line), threads=spent(before, after), client=asked)


def load_traced(job, argv, kind):
    with kvmtrace.Tracing((), histogram=True) as tracing:
        run = load_run(job, argv, kind)
        return {"count": run["count"], "exits": tracing.histogram_by_reason(),
                "client": run["client"]}


def quiet_run(job, seconds):
    """What a request takes while nothing else runs: the other mayfly is asked, no guest is there."""
    with client_of(job, "other") as (client, server):
        tell_to_start(client)
        before = thread_times(server.pid)
        time.sleep(seconds)
        after = thread_times(server.pid)
        return {"threads": spent(before, after), "client": end_client(client)}


def load(job):
    """Each variant comes as a pair, as for blk; each once for each client, in turn."""
    fill(ROOT + job["disk"], job["disk_mib"])
    for _ in range(3):  # the kernel moves a page between its lists at the first two reads
        with open(ROOT + job["disk"], "rb") as f:
            while f.read(1 << 20):
                pass
    quiet = {which: quiet_run(job, seconds) for which, seconds in (("few", 0.2), ("many", 1.2))}
    cells = {}
    for pair in job["pairs"]:
        lines = {which: prepare(pair[which]) for which in ("few", "many")}
        kinds = {kind: {"few": [], "many": []} for kind in job["clients"]}
        load_run(job, lines["few"], "none")  # warm-up
        for index in range(job["runs"]):
            say(f"{pair['name']}: run {index + 1} of {job['runs']}")
            for kind, found in kinds.items():
                for which, argv in lines.items():
                    found[which].append(load_run(job, argv, kind))
        say(f"{pair['name']}: traced runs")
        for kind, found in kinds.items():
            found["traced"] = {which: load_traced(job, argv, kind)
                               for which, argv in lines.items()}
        cells[pair["name"]] = kinds
    return {"quiet": quiet, "cells": cells}


# ---- net ---------------------------------------------------------------------------------------

NETWORK = "perf"


def in_network(argv):
    return ["ip", "netns", "exec", NETWORK, *argv]


def start_in_network(argv):
    """A program of our root, started there."""
    return subprocess.Popen(in_network(["chroot", ROOT, *argv]), stdin=subprocess.DEVNULL,
                            stdout=subprocess.PIPE)


def make_network(job):
    """A network of its own for all runs: no IPv6, nothing learnt from earlier connections."""
    subprocess.run(["ip", "netns", "add", NETWORK], check=True)
    commands = ["echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6",
                "echo 1 >/proc/sys/net/ipv6/conf/default/disable_ipv6",
                "echo 1 >/proc/sys/net/ipv4/tcp_no_metrics_save"]
    commands += [f"ip tuntap add {tap} mode tap && ip link set {tap} up" for tap in job["taps"]]
    commands += [f"ip addr add {job['host']}/24 dev {tap}" for tap in job["taps"][:1]]
    subprocess.run(in_network(["bash", "-ec", "\n".join(commands)]), check=True)


@contextlib.contextmanager
def guest_of(job, argv):
    """A monitor whose guest has said that it is ready."""
    for path in job["sockets"]:  # an earlier monitor's
        with contextlib.suppress(FileNotFoundError):
            os.unlink(ROOT + path)
    monitor = start_in_network(argv)
    try:
        first = monitor.stdout.readline()
        if not first.startswith(READY):
            raise SystemExit(f"perf: instead of the ready line: {first[:2000]!r}")
        yield monitor
    finally:
        monitor.kill()
        monitor.wait()
        monitor.stdout.close()


def kernel_tasks_of(monitor):
    """Threads of the kernel that work for it: {thread: name}."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            with open(f"/proc/{pid}/comm", encoding="utf-8", errors="replace") as f:
                if f.read().strip() == f"vhost-{monitor.pid}":
                    found[int(pid)] = "vhost"
    return found


def monitor_times(monitor):
    found = thread_times(monitor.pid)
    for task, name in kernel_tasks_of(monitor).items():
        found[name] = next(iter(thread_times(task).values()))
    return found


def net_run(job, argv, server):
    """One run: the guest's figures, and what the threads spent from the ready line to the end."""
    with guest_of(job, argv) as monitor:
        before, served = monitor_times(monitor), thread_times(server.pid)
        line = monitor.stdout.readline()
        after, served_after = monitor_times(monitor), thread_times(server.pid)
        if not line.startswith(b"{"):
            raise SystemExit(f"perf: no figures from the guest's load: {line[:2000]!r}")
        return dict(json.loads(line), threads=spent(before, after),
                    server=spent(served, served_after))


def tasks_of(monitor):
    return {int(task) for task in os.listdir(f"/proc/{monitor.pid}/task")}


def net_traced(job, argv):
    """Counts in one run, and in another, from the ready line on, where the monitor's time goes."""
    with kvmtrace.Tracing((), histogram=True, calls=True) as tracing:
        with guest_of(job, argv) as monitor:
            line = monitor.stdout.readline()
            counts = {"exits": tracing.histogram_by_reason(),
                      "calls": tracing.calls_by_name(tasks_of(monitor))}
    with guest_of(job, argv) as monitor:
        with kvmtrace.Tracing(kvmtrace.CPU_EVENTS) as tracing:
            monitor.stdout.readline()
        times = kvmtrace.cpu_time(tracing.records(), tasks_of(monitor), kernel_tasks_of(monitor))
    return dict(json.loads(line), **counts, cpu_us=times)


def net_memory(job, argv):
    """KiB beyond guest RAM once the guest has brought its devices up."""
    with guest_of(job, argv) as monitor:
        line = monitor.stdout.readline()
        if line.strip() != b"up":
            raise SystemExit(f"perf: the guest's devices did not come up: {line[:2000]!r}")
        return smaps.of_process(monitor.pid, job["ram_kib"])["rest"]["Private_Dirty"]


def net(job):
    """Pairs, as for blk, each with its server; and the monitors' memory by the number of devices."""
    make_network(job)
    servers = {name: start_in_network(argv) for name, argv in job["servers"].items()}
    for name, server in servers.items():
        if not server.stdout.readline():
            raise SystemExit(f"perf: the server of {name} does not listen")
    cells, memory = {}, {}
    for pair in job["pairs"]:
        server = servers[pair["server"]]
        lines = {which: prepare(pair[which]) for which in ("few", "many")}
        found = cells[pair["name"]] = {"few": [], "many": []}
        net_run(job, lines["few"], server)  # warm-up
        for index in range(job["runs"]):
            say(f"{pair['name']}: run {index + 1} of {job['runs']}")
            for which, argv in lines.items():
                found[which].append(net_run(job, argv, server))
        say(f"{pair['name']}: traced runs")
        found["traced"] = {which: net_traced(job, argv) for which, argv in lines.items()}
    for variant in job["idle"]:
        say(f"{variant['name']}: memory")
        argv = prepare(variant)
        memory[variant["name"]] = [net_memory(job, argv) for _ in range(job["runs"])]
    for server in servers.values():
        server.kill()
        server.wait()
    return {"cells": cells, "memory_kib": memory}


# ---- restore -----------------------------------------------------------------------------------

RESTORE_KINDS = ["put", "warm", "api", "command line"]
RESTORED = "/restored.sock"
HUGE_MIB_MAX = 512  # the lab has no room for two files of more


def restore_files(mib, place=""):
    """What asks to load the snapshot, whose memory is in that directory: paths in the root."""
    body = {"snapshot_path": f"/state-{mib}", "resume_vm": True,
            "mem_backend": {"backend_type": "File", "backend_path": f"{place}/memory-{mib}"}}
    for name, text in (("load", json.dumps(body)),
                       ("request", api.request("PUT", "/snapshot/load", body)),
                       ("shape", snapshots.shape(int(mib)))):
        with open(f"{ROOT}/{name}-{mib}", "w", encoding="ascii") as f:
            f.write(text)


@contextlib.contextmanager
def restore_from_huge_pages(mib):
    """Inside, the memory file is in a tmpfs of huge pages, without holes: they would be small ones."""
    place = "/huge"
    os.makedirs(ROOT + place, exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "huge=always", "huge", ROOT + place], check=True)
    try:
        subprocess.run(["cp", "-p", "--sparse=never", f"{ROOT}/memory-{mib}", ROOT + place], check=True)
        restore_files(mib, place)
        yield
    finally:
        subprocess.run(["umount", ROOT + place], check=True)
        restore_files(mib)


def restore_snapshot(job, argv, mib):
    """Boots the guest, which talks for ever, and takes its snapshot meanwhile."""
    monitor = start(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        first = monitor.stdout.readline()
        if not first.startswith(READY) or not monitor.stdout.readline().startswith(b"t"):
            raise SystemExit(f"perf: instead of the ready line: {first[:2000]!r}")
        connection = api.Connection(ROOT + job["socket"])
        for method, target, body in (
                ("PATCH", "/vm", {"state": "Paused"}),
                ("PUT", "/snapshot/create", {"snapshot_path": f"/state-{mib}",
                                             "mem_file_path": f"/memory-{mib}"})):
            status, text = connection.ask(method, target, json.dumps(body))
            if status != 204:
                raise SystemExit(f"perf: {method} {target}: {text.decode()}")
    finally:
        monitor.kill()
        monitor.wait()
        monitor.stdout.close()
        os.unlink(ROOT + job["socket"])
    restore_files(mib)


def restore_run(mib, runs, kinds):
    """restore_time's rows: see snapshots.rows_of."""
    serve = ["/mayfly", "--api-sock", RESTORED, "--level", "Off"]
    by_line = ["/mayfly", "--no-api", "--level", "Off", "--load-snapshot", f"/load-{mib}", "--resume"]
    warm = [*serve, "--warm", f"/shape-{mib}"]
    line = ["/restore_time", str(runs), f"/request-{mib}"]
    for kind in kinds:
        command = {"command line": by_line, "warm": warm}.get(kind, serve)
        line += [snapshots.TIMED_AS.get(kind, "run"), RESTORED, *command, "--"]
    process = start(line[:-1], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    text = process.communicate()[0].decode()
    if process.returncode != 0:
        raise SystemExit(f"perf: restore_time ended with status {process.returncode}")
    return snapshots.rows_of(text, kinds)


def restore_traced(mib, kind):
    """µs from the request to the first entry."""
    with kvmtrace.Tracing(["kvm/kvm_entry"]) as tracing:
        sent_us = restore_run(mib, 1, [kind])[kind][0]["sent_ns"] / 1000
    return next(record.stamp_us for record in tracing.records() if record.stamp_us >= sent_us) - sent_us


def restore_where(mib):
    """What all threads do from the request to the first entry: µs by system call, and where the longer stretches of own
    code are."""
    with kvmtrace.Tracing((*kvmtrace.CPU_EVENTS, "exceptions/page_fault_user")) as tracing:
        row = restore_run(mib, 1, ["put"])["put"][0]
    sent_us = row["sent_ns"] / 1000
    records = [record for record in tracing.records() if record.stamp_us >= sent_us]
    entry = next(i for i, record in enumerate(records) if record.event == "kvm_entry")
    tasks = {record.pid for record in records if record.task.startswith(("mayfly", "fc_", "restore_"))}
    return {"by_call": kvmtrace.cpu_time(records[:entry + 1], tasks),
            "own": kvmtrace.own_stretches(records[:entry + 1], tasks),
            "to_output": kvmtrace.host_time(records[entry:], 0, sent_us + row["put"])}


def restore(job):
    """Of each guest a snapshot, and what loads of it take."""
    results = {}
    for mib, variant in job["guests"].items():
        say(f"{variant['name']}: snapshot")
        restore_snapshot(job, prepare(variant), mib)
        restore_run(mib, 1, RESTORE_KINDS)  # warm-up
        say(f"{variant['name']}: {job['runs']} loads of each kind")
        found = results[mib] = {"rows": restore_run(mib, job["runs"], RESTORE_KINDS)}
        found["entry_us"] = [restore_traced(mib, "put") for _ in range(job["traced_runs"])]
        found["warm_entry_us"] = [restore_traced(mib, "warm") for _ in range(job["traced_runs"])]
        found["where"] = restore_where(mib)
        if int(mib) <= HUGE_MIB_MAX:
            with restore_from_huge_pages(mib):
                restore_run(mib, 1, ["put"])  # warm-up
                found["huge_rows"] = restore_run(mib, job["runs"], ["put", "warm"])
    return results


JOBS = {"boot": boot, "exits": exits, "where": where, "blk": blk, "load": load, "net": net,
        "restore": restore}


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
