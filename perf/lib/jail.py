# SPDX-License-Identifier: Apache-2.0
"""What the jail and the walls cost, natively: starts, crowds of them, filters, memory."""

import os
import resource
import shutil
import signal
import socket
import subprocess
import time

import common

UID = "10001"
MOUNTS = 500
START_LIMIT_S = 20


class Jails:
    """A base directory, the monitor as root's file in it, the jailer's command line."""

    def __init__(self, args, directory):
        self.base = os.path.join(directory, "jails")
        self.program = os.path.join(directory, "firecracker")
        self.jailer = common.built(args, "mayfly-jailer")
        os.makedirs(self.base)
        shutil.copy(common.monitor(args), self.program)
        os.chmod(self.program, 0o755)
        os.chmod(directory, 0o755)

    def command(self, name, *words):
        return [self.jailer, "--id", name, "--exec-file", self.program, "--uid", UID, "--gid", UID,
                "--chroot-base-dir", self.base, "--", "--level", "Off", *words]

    def root(self, name):
        return os.path.join(self.base, "firecracker", name, "root")

    def remove(self, name):
        shutil.rmtree(os.path.dirname(self.root(name)))


def ask(path):
    """Connects as soon as it is possible and has one request answered."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
            except OSError:
                continue
            client.sendall(b"GET / HTTP/1.1\r\n\r\n")
            if client.recv(4096).startswith(b"HTTP/1.1 200"):
                return
    raise common.PerfError(f"nobody answers at {path}")


def start(command, path):
    """µs from before the spawn to the first reply, and the process."""
    before = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    ask(path)
    return (time.perf_counter() - before) * 1e6, process


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_"))


def stop(process):
    process.send_signal(signal.SIGKILL)
    process.wait()


def starts(jails, directory, runs):
    """Jailed and not, in turn."""
    times = {"jailed": [], "plain": []}
    memory = {"jailed": [], "plain": []}
    plain = os.path.join(directory, "plain.socket")
    for run in range(runs):
        name = f"start-{run}"
        took, process = start(jails.command(name, "--api-sock", "/run/s"), jails.root(name) + "/run/s")
        times["jailed"].append(took)
        memory["jailed"].append(private_kib(process.pid))
        stop(process)
        jails.remove(name)
        took, process = start([jails.program, "--level", "Off", "--api-sock", plain], plain)
        times["plain"].append(took)
        memory["plain"].append(private_kib(process.pid))
        stop(process)
        os.unlink(plain)
    return {kind: common.spread(values) for kind, values in times.items()}, \
        {kind: common.spread(values) for kind, values in memory.items()}


def crowd(jails, count):
    """`count` at once, each until its monitor ends by itself: ms from a start to its end, and CPU for each."""
    began, ended, processes = {}, {}, []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(count):
        began_at = time.perf_counter()
        process = subprocess.Popen(jails.command(f"crowd-{number}", "--version"), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.DEVNULL)
        began[process.pid] = began_at
        processes.append(process)  # or the next Popen would wait for it
    for _ in range(count):
        pid, status = os.wait()
        ended[pid] = time.perf_counter()
        if status != 0:
            raise common.PerfError(f"a jail ended with status {status}")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    walls = sorted((ended[pid] - began[pid]) * 1e3 for pid in began)
    for number in range(count):
        jails.remove(f"crowd-{number}")
    return {"count": count, "cpu_ms": cpu * 1e3 / count, "p50_ms": walls[count // 2],
            "p99_ms": walls[min(count - 1, count * 99 // 100)]}


def crowds(jails, counts, runs):
    """The median of runs by their CPU time, for each count."""
    found = {}
    for count in counts:
        tried = sorted((crowd(jails, count) for _ in range(runs)), key=lambda one: one["cpu_ms"])
        found[str(count)] = tried[len(tried) // 2]
    return found


def filters(args, runs):
    text = subprocess.run([common.built(args, "perf/seccomp_time"), str(runs)], capture_output=True,
                          text=True, check=True).stdout
    insns, times = {}, {}
    for line in text.splitlines():
        kind, name, number = line.split()
        if kind == "insns":
            insns[name] = int(number)
        else:
            times.setdefault(name, {}).setdefault(kind, []).append(int(number) / 1e3)
    return {"insns": insns, "install_us": {name: {kind: common.spread(values) for kind, values in found.items()}
                                           for name, found in times.items()}}


def mount_many(directory):
    """In a mount namespace of this process's own."""
    os.makedirs(directory)
    libc_unshare()
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "none", directory], check=True)
    for number in range(MOUNTS):
        path = os.path.join(directory, str(number))
        os.makedirs(path)
        subprocess.run(["mount", "--bind", path, path], check=True)


def libc_unshare():
    import ctypes  # pylint: disable=import-outside-toplevel
    clone_newns = 0x20000
    if ctypes.CDLL(None, use_errno=True).unshare(clone_newns) != 0:
        raise common.PerfError("unshare: a mount namespace is refused: run as root")


def measure(args, directory, runs, counts):
    jails = Jails(args, directory)
    times, memory = starts(jails, directory, runs)
    result = {"start_us": times, "private_kib": memory, "single": crowds(jails, [1], runs)["1"],
              "crowds": crowds(jails, counts, 5), "filters": filters(args, runs), "cores": os.cpu_count(),
              "mounts": MOUNTS}
    mount_many(os.path.join(directory, "many"))
    result["single_with_mounts"] = crowds(jails, [1], runs)["1"]
    result["crowds_with_mounts"] = crowds(jails, counts, 5)
    return result
