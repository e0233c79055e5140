# SPDX-License-Identifier: Apache-2.0
"""A monitor that serves its API: what that costs before a VM is asked for, and how soon it answers."""

import contextlib
import http.client
import json
import os
import re
import socket
import subprocess
import tempfile
import time

import common
import native
import smaps
from common import PerfError

START_LIMIT_S = 20
ASKED_A_START = 20  # requests on running servers for each start that is timed

LISTEN = re.compile(r"^\d+ +listen\(")
# The API's thread waits for its first event: from now on it answers.
READY = re.compile(r"^(\d+) +epoll_wait\(")


class Connection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path):
        super().__init__("localhost")
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self.path)

    def ask(self, method, target, body=None):
        """Returns the status and the body."""
        self.request(method, target, body)
        reply = self.getresponse()
        return reply.status, reply.read()


def argv(args, path, *more):
    return [common.monitor(args), "--api-sock", path, "--level", "Off", *more]


def await_answer(path):
    """Until GET / is answered."""
    end = time.monotonic() + START_LIMIT_S
    while True:
        connection = Connection(path)
        try:
            if connection.ask("GET", "/")[0] == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        if time.monotonic() > end:
            raise PerfError("the monitor did not answer GET /")
        time.sleep(0.01)


@contextlib.contextmanager
def serving(args, directory, *prefix):
    """A mayfly that has answered one request and waits for more. prefix: a command that runs it."""
    path = os.path.join(directory, "api.socket")
    with subprocess.Popen([*prefix, *argv(args, path)], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL) as process:
        try:
            await_answer(path)
            yield process.pid
        finally:
            process.kill()
            process.wait()
            os.unlink(path)


def system_calls(args, directory):
    """Names of the system calls until the socket listens, and until the API's thread waits."""
    trace = os.path.join(directory, "strace")
    # -D: the monitor itself is our child, the tracer is not.
    with serving(args, directory, "strace", "-D", "-f", "-e", "trace=all", "-o", trace) as pid:
        pass
    names, listening = [], None
    for line in whole_trace(trace, pid).splitlines():
        call = native.CALL.match(line)
        if not call:
            continue
        names.append(call.group(2))
        if LISTEN.match(line):
            listening = len(names)
        ready = READY.match(line)
        if listening and ready and int(ready.group(1)) != pid:
            return {"listening": listening, "ready": len(names), "calls": names}
    raise PerfError("the trace shows no listening socket that is waited for")


def whole_trace(path, pid):
    """The tracer's file, once it tells of the monitor's end."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        with open(path, encoding="utf-8", errors="replace") as f:
            text = f.read()
        if re.search(rf"^{pid} +\+\+\+ ", text, re.MULTILINE):
            return text
        time.sleep(0.01)
    raise PerfError("strace did not tell of the monitor's end")


def idle_cost(args, directory):
    """Memory (KiB), threads and descriptors with the API's thread, before a VM is configured; then
    beside a second monitor, when clean pages of the binary are shared."""
    os.sync()  # the pages of a binary just written count as dirty
    other = os.path.join(directory, "other")
    os.makedirs(other, exist_ok=True)
    with serving(args, directory) as pid:
        alone = smaps.of_process(pid, common.MEM_MIB * 1024)["rest"]
        result = {"threads": len(native.threads(pid)), "fds": len(os.listdir(f"/proc/{pid}/fd")),
                  "private_dirty_kib": alone["Private_Dirty"],
                  "private_alone_kib": alone["Private_Dirty"] + alone["Private_Clean"]}
        with serving(args, other):
            both = smaps.of_process(pid, common.MEM_MIB * 1024)["rest"]
        result["private_beside_second_kib"] = both["Private_Dirty"] + both["Private_Clean"]
    return result


# ---- time --------------------------------------------------------------------------------------

def request(method, target, body=None):
    text = "" if body is None else json.dumps(body)
    length = f"Content-Length: {len(text)}\r\n" if text else ""
    return f"{method} {target} HTTP/1.1\r\nHost: localhost\r\n{length}\r\n{text}"


def conversation(args, directory):
    """What a client sends to boot a VM: seven requests."""
    disk = os.path.join(directory, "disk")
    with open(disk, "wb") as f:
        f.truncate(1 << 20)
    drive = {"path_on_host": disk, "is_read_only": False}
    return [
        request("PUT", "/machine-config", {"vcpu_count": common.VCPU_COUNT,
                                           "mem_size_mib": common.MEM_MIB}),
        request("PUT", "/cpu-config", {}),
        request("PUT", "/boot-source", {
            "kernel_image_path": common.built(args, "tests/native/guests/halt.elf")}),
        request("PUT", "/drives/root", {**drive, "drive_id": "root", "is_root_device": True}),
        request("PUT", "/drives/data", {**drive, "drive_id": "data", "is_root_device": False}),
        request("PUT", "/metrics", {"metrics_path": os.path.join(directory, "metrics")}),
        request("PUT", "/actions", {"action_type": "InstanceStart"}),
    ]


def timed(args, directory, mode, requests, runs, qemu=False):
    """Runs api_time; gives the rows of figures of each: {"mayfly": [[µs, ...], ...], ...}."""
    path = os.path.join(directory, "requests")
    with open(path, "w", encoding="ascii") as f:
        f.write("".join(text + "\0" for text in requests))
    ours, floor, peer = (os.path.join(directory, name) for name in ("a", "b", "c.qmp"))
    line = [common.built(args, "perf/api_time"), mode, str(runs), path, ours, *argv(args, ours),
            "--", floor, common.built(args, "perf/api_floor"), floor]
    if qemu:
        line += ["--", peer, common.need(common.QEMU, "install qemu-system-x86"), "-M", "none",
                 "-nographic", "-nodefaults", "-qmp", f"unix:{peer},server=on,wait=off"]
    text = subprocess.run(line, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                          check=True).stdout
    rows = {"mayfly": [], "floor": [], "qemu": []}
    for row in text.splitlines():
        label, *figures = row.split()
        rows[{"A": "mayfly", "B": "floor", "C": "qemu"}[label]].append([float(x) for x in figures])
    return {name: found for name, found in rows.items() if found}


def spreads(rows, figure):
    return {name: common.spread([figure(row) for row in found]) for name, found in rows.items()}


def times(args, directory, runs):
    info = [request("GET", "/")]
    rows = timed(args, directory, "talk", info, runs)
    result = {"connected": spreads(rows, lambda row: row[0]),
              "first": spreads(rows, lambda row: row[1])}
    for mode in ("kept", "fresh"):
        rows = timed(args, directory, mode, info, runs * ASKED_A_START, qemu=mode == "kept")
        result[mode] = spreads(rows, lambda row: row[0])
    rows = timed(args, directory, "talk", conversation(args, directory), runs)
    result["six"] = spreads(rows, lambda row: row[6] - row[0])
    result["seven"] = spreads(rows, lambda row: row[7] - row[0])
    return result


def measure(args, runs):
    with tempfile.TemporaryDirectory(prefix="mayfly-perf-") as directory:
        common.say(f"api: {runs} starts, {runs} conversations, {runs * ASKED_A_START} requests")
        result = {"times_us": times(args, directory, runs)}
        result["syscalls"] = system_calls(args, directory)
        result["idle"] = idle_cost(args, directory)
    return result
