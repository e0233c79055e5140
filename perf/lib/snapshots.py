# SPDX-License-Identifier: Apache-2.0
"""Snapshots of tiny guests, natively: taken, loaded, counted."""

import collections
import contextlib
import json
import os
import re
import select
import shutil
import statistics
import subprocess
import time

import api
import common
import native
from common import PerfError

SAYS_LIMIT_S = 30
KVM_NAME = re.compile(r"^\d+ +ioctl\(\d+(?:<[^>]*>)?, (KVM_\w+)")
LOAD = re.compile(r'^\d+ +recvfrom\(\d+(<[^>]*>)?, "PUT /snapshot/load')
FSYNC = re.compile(r"fsync\(\d+\) += 0 <([0-9.]+)>")
TIMED_AS = {"put": "put", "api": "api", "warm": "put"}  # restore_time's kinds; others are `run`
WRITE_MIB = 100  # what guests/touch.S writes to


class Vm:
    """A monitor with an API and what its guest says."""

    def __init__(self, process, path):
        self.process, self.pid = process, process.pid
        self.path, self.api = path, api.Connection(path)

    def must(self, method, target, body):
        status, text = self.api.ask(method, target, json.dumps(body))
        if status >= 300:
            raise PerfError(f"{method} {target}: {text.decode()}")

    def timed(self, method, target, body):
        """ms until the reply."""
        start = time.monotonic_ns()
        self.must(method, target, body)
        return (time.monotonic_ns() - start) / 1e6

    def await_line(self, text):
        if not select.select([self.process.stdout], [], [], SAYS_LIMIT_S)[0] \
                or self.process.stdout.readline().strip() != text.encode():
            raise PerfError(f"a tiny guest did not say '{text}'")

    def say(self, text):
        self.process.stdin.write(text)
        self.process.stdin.flush()

    def boot(self, args, guest, mem_mib, **machine):
        kernel = common.built(args, f"tests/native/guests/{guest}.elf")
        self.must("PUT", "/machine-config",
                  {"vcpu_count": common.VCPU_COUNT, "mem_size_mib": mem_mib, **machine})
        self.must("PUT", "/boot-source", {"kernel_image_path": kernel, "boot_args": ""})
        self.must("PUT", "/actions", {"action_type": "InstanceStart"})

    def pause(self):
        return self.timed("PATCH", "/vm", {"state": "Paused"})

    def resume(self):
        return self.timed("PATCH", "/vm", {"state": "Resumed"})

    def create(self, files, kind="Full"):
        return self.timed("PUT", "/snapshot/create", {
            "snapshot_path": files["state"], "mem_file_path": files["memory"],
            "snapshot_type": kind})


@contextlib.contextmanager
def serving(args, directory, *prefix, more=()):
    path = os.path.join(directory, "vm.socket")
    with subprocess.Popen([*prefix, *api.argv(args, path, *more)], stdin=subprocess.PIPE,
                          stdout=subprocess.PIPE) as process:
        try:
            api.await_answer(path)
            yield Vm(process, path)
        finally:
            process.kill()
            process.wait()
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)


# ---- one to load -------------------------------------------------------------------------------

def files_in(directory):
    os.makedirs(directory, exist_ok=True)
    names = {name: os.path.join(directory, name) for name in ("state", "memory", "request", "load", "shape")}
    body = {"snapshot_path": names["state"], "resume_vm": True,
            "mem_backend": {"backend_type": "File", "backend_path": names["memory"]}}
    with open(names["request"], "w", encoding="ascii") as f:
        f.write(api.request("PUT", "/snapshot/load", body))
    with open(names["load"], "w", encoding="ascii") as f:
        json.dump(body, f)
    with open(names["shape"], "w", encoding="ascii") as f:
        f.write(shape(common.MEM_MIB))
    return dict(names, body=body)


def shape(mem_mib):
    """The file of --warm."""
    return json.dumps({"vcpu_count": common.VCPU_COUNT, "mem_size_mib": mem_mib})


def take(args, directory, mem_mib=common.MEM_MIB):
    """A snapshot of the guest that speaks as soon as it is another VM; with ms and bytes."""
    files = files_in(directory)
    with serving(args, directory) as vm:
        vm.boot(args, "awake", mem_mib)
        vm.await_line("ready")
        files["pause_ms"], files["create_ms"] = vm.pause(), vm.create(files)
    files["disk_bytes"] = disk_bytes(files)
    return files


def disk_bytes(files):
    return sum(os.stat(files[name]).st_blocks * 512 for name in ("state", "memory"))


def by_command_line(args, files):
    return [common.monitor(args), "--no-api", "--level", "Off", "--load-snapshot", files["load"],
            "--resume"]


def loads(args, directory, files, runs, kinds):
    """restore_time's rows, µs: {kind: [{"exec": to first output, "put": .., "reply": ..}]}."""
    line = [common.built(args, "perf/restore_time"), str(runs), files["request"]]
    for index, kind in enumerate(kinds):
        path = os.path.join(directory, f"{index}.socket")
        command = {"floor": [common.built(args, "perf/floor")],
                   "warm": api.argv(args, path, "--warm", files["shape"]),
                   "command line": by_command_line(args, files)}.get(kind, api.argv(args, path))
        line += ["--"] if index else []
        line += [TIMED_AS.get(kind, "run"), path, *command]
    text = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    return rows_of(text, kinds)


def rows_of(text, kinds):
    found = {kind: [] for kind in kinds}
    for row in text.splitlines():
        label, *figures = row.split()
        start, sent, first, replied, _ = (int(figure) for figure in figures)
        found[kinds[ord(label) - ord("A")]].append({
            "sent_ns": sent, "exec": (first - start) / 1000,
            "put": (first - sent) / 1000 if sent else None,
            "reply": (replied - sent) / 1000 if sent else None})
    return found


def medians(rows):
    """{kind: {figure: spread}}."""
    return {kind: {figure: common.spread([row[figure] for row in found])
                   for figure in ("exec", "put", "reply") if found[0][figure] is not None}
            for kind, found in rows.items()}


# ---- counts ------------------------------------------------------------------------------------

def await_thread(pid, name):
    end = time.monotonic() + SAYS_LIMIT_S
    while time.monotonic() < end:
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(FileNotFoundError), open(f"/proc/{pid}/task/{task}/comm", encoding="ascii") as f:
                if f.read().strip() == name:
                    return
        time.sleep(0.001)
    raise PerfError(f"no thread is called {name}")


def sleeps(lines, place):
    """Does the API's thread wait there for the reply, which nobody waits for?"""
    return "FUTEX_WAIT_BITSET" in lines[place] and "<unfinished" in lines[place]


def system_calls(args, directory, files, warm=False):
    """What the first KVM_RUN of a load waits for, from the request's arrival on."""
    trace = os.path.join(directory, "strace")
    more = ("--warm", files["shape"]) if warm else ()
    with serving(args, directory, "strace", "-D", "-f", "-e", "trace=all", "-o", trace, more=more) as vm:
        if warm:
            await_thread(vm.pid, "fc_vcpu 0")
            time.sleep(0.1)  # until it sleeps
        vm.must("PUT", "/snapshot/load", files["body"])
        vm.await_line("awake")
        pid = vm.pid
    calls, kvm, begun = [], {}, False
    lines = api.whole_trace(trace, pid).splitlines()
    for place, line in enumerate(lines):
        begun = begun or bool(LOAD.match(line))
        call = native.CALL.match(line)
        if not begun or not call or sleeps(lines, place):
            continue
        if native.KVM_RUN.match(line):
            needed = native.waited_for(calls, call.group(1))
            return {"total": len(needed), "kvm": sum(bool(name) for _, _, name in needed),
                    "calls": collections.Counter(name for _, name, _ in needed),
                    "kvm_calls": collections.Counter(name for _, _, name in needed if name)}
        kvm = KVM_NAME.match(line)
        calls.append((*call.groups(), kvm.group(1) if kvm else None))
    raise PerfError("no KVM_RUN after the load in the trace")


def idle_clone(args, directory, files):
    """Private memory of a clone that has spoken and halts, KiB."""
    os.sync()  # the pages of a binary just written count as dirty
    with subprocess.Popen(by_command_line(args, files), stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        try:
            Vm.await_line(type("Speaker", (), {"process": process}), "awake")
            time.sleep(0.1)
            return rollup(process.pid)
        finally:
            process.kill()


def idle_warm(args, directory, files):
    """Private memory of a process with --warm that waits, KiB."""
    os.sync()  # as idle_clone
    with serving(args, directory, more=("--warm", files["shape"])) as vm:
        await_thread(vm.pid, "fc_vcpu 0")
        time.sleep(0.1)
        return rollup(vm.pid)


def rollup(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
        rows = re.findall(r"^(\w+): +(\d+) kB", f.read(), re.MULTILINE)
    return {name: int(kib) for name, kib in rows}


# ---- taking them -------------------------------------------------------------------------------

def creates(args, directory, runs):
    """Full snapshots of the 128 MiB tiny guest, of one VM again and again: ms."""
    files = files_in(directory)
    found = {"pause": [], "create": [], "resume": []}
    with serving(args, directory) as vm:
        vm.boot(args, "awake", common.MEM_MIB)
        vm.await_line("ready")
        for _ in range(runs):
            found["pause"].append(vm.pause())
            found["create"].append(vm.create(files))
            found["resume"].append(vm.resume())
    return dict({name: common.spread(ms) for name, ms in found.items()},
                disk_bytes=disk_bytes(files))


def dd_ms(directory, source):
    target = os.path.join(directory, "dd")
    start = time.monotonic_ns()
    subprocess.run(["dd", "if=" + source, "of=" + target, "bs=1M", "conv=fsync", "status=none"],
                   check=True)
    took = (time.monotonic_ns() - start) / 1e6
    os.unlink(target)
    return took


@contextlib.contextmanager
def touched(args, directory, *prefix):
    with serving(args, directory, *prefix) as vm:
        vm.boot(args, "touch", 1024, track_dirty_pages=True)
        vm.await_line("touched")
        yield vm


def whole(args, directory, runs):
    """Full snapshots of a 1 GiB guest that wrote to 100 MiB, in turn with dd of as much: ms."""
    files = files_in(directory)
    source = os.path.join("/dev/shm", f"mayfly-perf-{os.getpid()}")
    found = {"create": [], "dd": []}
    try:
        with open(source, "wb") as f:
            for _ in range(WRITE_MIB):
                f.write(os.urandom(1 << 20))
        with touched(args, directory) as vm:
            vm.pause()
            for _ in range(runs):
                for name in ("state", "memory"):
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(files[name])
                found["create"].append(vm.create(files))
                found["dd"].append(dd_ms(directory, source))
    finally:
        os.unlink(source)
    found["ratio"] = [ours / dd for ours, dd in zip(found["create"], found["dd"])]
    return dict({name: common.spread(values) for name, values in found.items()},
                disk_bytes=disk_bytes(files))


def diffs(args, directory, runs):
    """Diffs with 1,000 dirty pages, ms: all of it and its fsync's by strace, which looks at these only."""
    files = files_in(directory)
    trace = os.path.join(directory, "strace")
    found = {"create": [], "fsync": [], "beside": [], "pages": []}
    prefix = ("strace", "-D", "-f", "--seccomp-bpf", "-T", "-e", "trace=fsync", "-o", trace)
    with touched(args, directory, *prefix) as vm:
        vm.pause()
        vm.create(files)
        for index in range(runs):
            diff = files_in(os.path.join(directory, f"diff{index}"))
            vm.resume()
            vm.say(b"x")
            vm.await_line("again")
            vm.pause()
            before = sum(fsyncs_ms(trace))
            ms = vm.create(diff, "Diff")
            time.sleep(0.05)  # strace writes
            found["create"].append(ms)
            found["fsync"].append(sum(fsyncs_ms(trace)) - before)
            found["beside"].append(ms - found["fsync"][-1])
            found["pages"].append(os.stat(diff["memory"]).st_blocks // 8)
            shutil.rmtree(os.path.dirname(diff["memory"]))
    return {name: common.spread(values) for name, values in found.items()}


def fsyncs_ms(trace):
    with open(trace, encoding="ascii", errors="replace") as f:
        return [float(took) * 1000 for took in FSYNC.findall(f.read())]


# ---- guest RAM ---------------------------------------------------------------------------------

def by_size(args, directory, sizes_mib, rounds, runs):
    """µs from PUT to reply by guest RAM, and KVM's part of a slot as large."""
    taken = {mib: take(args, os.path.join(directory, str(mib)), mib) for mib in sizes_mib}
    found = {mib: {"reply": [], "slot": []} for mib in sizes_mib}
    for _ in range(rounds):
        for mib, files in taken.items():
            rows = loads(args, directory, files, runs, ["put"])["put"]
            found[mib]["reply"] += [row["reply"] for row in rows]
            text = subprocess.run([common.built(args, "perf/floor_slot")] + [str(mib)] * runs,
                                  stdout=subprocess.PIPE, text=True, check=True).stdout
            found[mib]["slot"] += [float(row.split()[1]) for row in text.splitlines()]
    return {mib: {"reply": common.spread(values["reply"]), "slot": common.spread(values["slot"]),
                  "beside": statistics.median(values["reply"]) - statistics.median(values["slot"])}
            for mib, values in found.items()}
