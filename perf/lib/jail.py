# SPDX-License-Identifier: Apache-2.0
"""What the jail and the walls cost, natively: starts, crowds of them, filters, memory."""

import contextlib
import os
import re
import resource
import shutil
import signal
import socket
import subprocess
import time

import common
import native

UID = "10001"
MOUNTS = 500
START_LIMIT_S = 20
POLL_S = 0.0001
CROWD_RUNS = 5


class Jails:
    """A base directory, a program as root's file in it, the jailer's command line."""

    def __init__(self, args, directory, program):
        self.base = os.path.join(directory, "jails")
        self.program = os.path.join(directory, "firecracker")
        self.jailer = common.built(args, "mayfly-jailer")
        os.makedirs(self.base)
        os.chmod(directory, 0o755)
        shutil.copy(program, self.program)
        os.chmod(self.program, 0o755)

    def command(self, name, *words):
        return [self.jailer, "--id", name, "--exec-file", self.program, "--uid", UID, "--gid", UID,
                "--chroot-base-dir", self.base, "--", *words]

    def root(self, name):
        return os.path.join(self.base, "firecracker", name, "root")

    def remove(self, name):
        shutil.rmtree(os.path.dirname(self.root(name)))


class Least:
    """The same of the least jail."""

    def __init__(self, args, jails):
        self.jails, self.program = jails, common.built(args, "perf/jail_floor")

    def command(self, name):
        return [self.program, os.path.join(self.jails.base, name), self.jails.program, UID]

    def remove(self, name):
        shutil.rmtree(os.path.join(self.jails.base, name))


class Bare:
    """The same without a jail."""

    def __init__(self, jails):
        self.jails = jails

    def command(self, _name):
        return [self.jails.program]

    def remove(self, _name):
        """There is none."""


@contextlib.contextmanager
def undisturbed():
    """Before all else that this machine does, where that is allowed; for seconds, since others then stand still."""
    before = os.sched_getscheduler(0), os.sched_getparam(0)
    try:
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
    except OSError as e:
        common.say(f"beside all else that runs: {e}")
    try:
        yield
    finally:
        os.sched_setscheduler(0, *before)


def ask(path):
    """Connects as soon as it is possible and has one request answered."""
    end = time.monotonic() + START_LIMIT_S
    while time.monotonic() < end:
        with socket.socket(socket.AF_UNIX) as client:
            try:
                client.connect(path)
            except OSError:
                time.sleep(POLL_S)  # it may need this CPU
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


def one_start(command, path, found):
    took, process = start(command, path)
    found["us"].append(took)
    found["private_kib"].append(private_kib(process.pid))
    stop(process)


def starts(args, jails, directory, runs):
    """Jailed, in the least jail, and not, in turn."""
    found = {kind: {"us": [], "private_kib": []} for kind in ("jailed", "floor", "plain")}
    floor, plain = os.path.join(directory, "floor"), os.path.join(directory, "plain.socket")
    floor_line = [common.built(args, "perf/jail_floor"), floor, jails.program, UID]
    options = ["--level", "Off", "--api-sock"]
    for run in range(runs):
        name = f"start-{run}"
        one_start(jails.command(name, *options, "/run/s"), jails.root(name) + "/run/s", found["jailed"])
        jails.remove(name)
        one_start([*floor_line, *options, "/run/s"], floor + "/run/s", found["floor"])
        shutil.rmtree(floor)
        one_start([jails.program, *options, plain], plain, found["plain"])
        os.unlink(plain)
    return {what: {kind: common.spread(values[what]) for kind, values in found.items()}
            for what in ("us", "private_kib")}


def crowd(jails, count):
    """`count` at once, each until its program ends: ms from each start to its end, and CPU for each."""
    began, ended, processes = {}, {}, []
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    for number in range(count):
        began_at = time.perf_counter()
        process = subprocess.Popen(jails.command(f"crowd-{number}"), stdin=subprocess.DEVNULL,
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
    for number in range(count):
        jails.remove(f"crowd-{number}")
    return cpu * 1e3 / count, sorted((ended[pid] - began[pid]) * 1e3 for pid in began)


def crowd_of(jails, count):
    tried = [crowd(jails, count) for _ in range(CROWD_RUNS)]
    return {"cpu_ms": common.spread([cpu for cpu, _ in tried]),
            "p99_ms": common.spread([walls[min(count - 1, count * 99 // 100)] for _, walls in tried])}


def crowds(args, jails, counts, runs):
    """One at a time, then each count, then the same of the least jail."""
    with undisturbed():
        alone = [crowd(jails, 1) for _ in range(runs)]
        result = {"single": {"cpu_ms": common.spread([cpu for cpu, _ in alone]),
                             "ms": common.spread([walls[0] for _, walls in alone])}}
        for name, kind in (("counts", jails), ("least", Least(args, jails)), ("bare", Bare(jails))):
            result[name] = {str(count): crowd_of(kind, count) for count in counts}
    return result


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
    os.mkdir(directory)
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


# ---- counts ------------------------------------------------------------------------------------

def jailer_calls(args, directory):
    """Names of the jailer's system calls, from exec until the monitor's exec."""
    jails = Jails(args, directory, common.built(args, "perf/ends"))
    trace = os.path.join(directory, "strace")
    subprocess.run(["strace", "-o", trace, *jails.command("counted")], stdin=subprocess.DEVNULL, check=True)
    with open(trace, encoding="utf-8", errors="replace") as file:
        names = [line.partition("(")[0] for line in file if "(" in line]
    return names[:next(at for at, name in enumerate(names) if at and name in ("execve", "execveat")) + 1]


def binary_bytes(args, directory):
    return os.path.getsize(common.stripped(common.built(args, "mayfly-jailer"), directory))


def installed(args, directory):
    """Instructions of each filter that is installed until a guest runs, the API's thread included."""
    trace = os.path.join(directory, "strace")
    subprocess.run(["strace", "-f", "-e", "trace=seccomp", "-o", trace, common.monitor(args), "--level", "Off", "--api-sock",
                    os.path.join(directory, "api.socket"), "--config-file", native.tiny_config(directory, args, "hello")],
                   stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, check=True)
    with open(trace, encoding="utf-8", errors="replace") as file:
        return [int(count) for count in re.findall(r"SECCOMP_SET_MODE_FILTER, \w+, \{len=(\d+)", file.read())]


# ---- all ---------------------------------------------------------------------------------------


def measure_crowds(args, directory, runs, counts):
    """With the host's mounts; with many more, of this process's namespace; with these shared, as systemd has them."""
    jails = Jails(args, directory, common.built(args, "perf/ends"))
    result = {"few": crowds(args, jails, counts, runs)}
    mount_many(os.path.join(directory, "many"))
    result["private"] = crowds(args, jails, counts, runs)
    subprocess.run(["mount", "--make-rshared", "/"], check=True)
    result["shared"] = crowds(args, jails, counts, runs)
    subprocess.run(["umount", "-l", os.path.join(directory, "many")], check=True)
    return result


def measure(args, directory, runs, counts):
    jails = Jails(args, directory, common.monitor(args))
    common.say(f"{runs} starts of each")
    with undisturbed():
        found, installs = starts(args, jails, directory, runs), filters(args, runs)
    result = {"start": found, "filters": installs,
              "installs": installed(args, directory), "calls": len(jailer_calls(args, os.path.join(directory, "counted"))),
              "cores": os.cpu_count(), "mounts": MOUNTS}
    common.say("crowds")
    result["crowds"] = measure_crowds(args, os.path.join(directory, "crowds"), runs, counts)
    return result
