# SPDX-License-Identifier: Apache-2.0
"""A monitor that is killed, or whose disk fails, at each of the calls by which it makes a pair of files over an older
pair (snapshot.md 2): what is there afterwards is the old pair, no state file, or the new pair, never a mixed one.
strace does both."""

import contextlib
import os
import re
import shutil
import signal
import subprocess

from native import Mismatch, case, equal, skip
from snapshot_tools import (MEMORY_FAILED, PAGE, counts, create, create_body, goes_on, load, load_body, load_fails, numbers,
                            samples, saved, sha)

CALLS = ("openat", "open", "ftruncate", "pwrite64", "write", "fallocate", "fsync", "fdatasync", "unlink", "rename",
         "renameat2")


@contextlib.contextmanager
def traced(t, served, *rules):
    """Inside, strace sees the thread that makes snapshots, and its counts begin here."""
    if not shutil.which("strace"):
        skip("strace is not installed")
    injected = [word for rule in rules for word in ("-e", "inject=" + rule)]
    command = ["strace", "-y", "-e", "trace=" + ",".join(CALLS), *injected, "-o", t.path("trace"), "-p",
               str(served.pid)]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as tracer:
        equal("strace", True, b"attached" in tracer.stderr.readline())
        try:
            yield
        finally:
            tracer.terminate()


def calls_of_create(t, kind):
    """(call, which of its kind) of each call that touches the pair or its directory."""
    served, client = begin(t)
    with traced(t, served):
        create(client, kind=kind)
    served.stop()
    count = {}
    found = []
    for name, arguments in re.findall(r"^(\w+)\((.*)", t.read("trace"), re.MULTILINE):
        count[name] = count.get(name, 0) + 1
        if re.search(r"state|memory|\"\.\"|" + re.escape(t.dir) + ">", arguments):
            found.append((name, count[name]))
    return found


def begin(t, *args):
    """A VM loaded from the pair `state2` and `memory2`, that counted and is paused."""
    served, client = load(t, *args, state="state2", memory="memory2", track_dirty_pages=True)
    counts(served)
    client.state("Paused")
    return served, client


def prepare(t):
    """The VM's own pair, and the older pair that is to be replaced. Returns the last number of the older."""
    last = saved(t)
    for name in ("state", "memory"):
        shutil.copyfile(t.path(name), t.path(name + "2"))
    return last


def restore_pair(t):
    for name in ("state", "memory"):
        shutil.copyfile(t.path(name + "2"), t.path(name))


def loads(t, last, state="state", memory="memory"):
    """The pair loads, and its guest finds memory and registers to agree."""
    served, _ = load(t, state=state, memory=memory)
    seen = goes_on(served, last)
    served.stop()
    return seen


def remove_temporary(t):
    left = [name for name in os.listdir(t.dir) if name.endswith((".tmp", ".old"))]
    for name in left:
        os.unlink(t.path(name))
    return left


def killed(kind):
    def run(t):
        last = prepare(t)
        old = sha(t, "state"), sha(t, "memory")
        outcomes = {"old": 0, "none": 0, "new": 0}
        calls = calls_of_create(t, kind)
        restore_pair(t)
        for name, number in calls:
            served, client = begin(t)
            new_last = numbers(served.vm.out)[-1]
            with traced(t, served, f"{name}:signal=KILL:when={number}"):
                client.send_request("PUT", "/snapshot/create", create_body(kind=kind))
                served.vm.process.wait(10)
            equal(f"end at {name} {number}", -signal.SIGKILL, served.vm.process.returncode)
            remove_temporary(t)
            what = f"killed at {name} {number}"
            if not os.path.exists(t.path("state")) or os.path.getsize(t.path("state")) == 0:
                outcomes["none"] += 1
            elif sha(t, "state") == old[0]:
                equal(f"memory beside the old state, {what}", old[1], sha(t, "memory"))
                outcomes["old"] += 1
            else:
                loads(t, new_last)
                outcomes["new"] += 1
            restore_pair(t)
        loads(t, last)
        print(f"  {len(calls)} calls: {outcomes}")
        if kind == "Full" and 0 in outcomes.values():
            raise Mismatch("outcomes", "each at least once", outcomes)
    run.__name__ = f"snapshot_killed_while_it_is_made_{kind.lower()}"
    return run


def failing(kind, error):
    def run(t):
        last = prepare(t)
        old = sha(t, "state"), sha(t, "memory")
        tried = 0
        calls = calls_of_create(t, kind)
        first = {name: number for name, number in reversed(calls)}
        for name, number in calls:
            if name == "pwrite64" and number not in (first[name], dict(calls)[name]):
                continue  # the first and the last say it
            restore_pair(t)
            served, client = begin(t, "--no-seccomp")  # which would see what strace puts in a failing call's place
            what = f"{error} at {name} {number}"
            with traced(t, served, f"{name}:error={error}:when={number}"):
                reply = client.ask("PUT", "/snapshot/create", create_body(kind=kind))
            state = client.get("/")["state"]
            equal(f"state, {what}", "Paused", state)
            left = remove_temporary(t)
            equal(f"temporary files, {what}", [], left if name != "unlink" else [])
            if reply.status == 204:  # it has another way: a hole that cannot be punched is written
                equal(f"who may fail, {what}", True, name in ("openat", "open", "fallocate", "unlink"))
            elif kind == "Full":
                equal(f"the old pair, {what}, {reply.body}", old,
                      (os.path.exists(t.path("state")) and sha(t, "state"), sha(t, "memory")))
            client.state("Resumed")
            counts(served)
            client.state("Paused")
            create(client, kind=kind)
            new_last = numbers(served.vm.out)[-1]
            served.stop()
            loads(t, new_last)
            tried += 1
        print(f"  {tried} calls")
        restore_pair(t)
        loads(t, last)
    run.__name__ = f"snapshot_{kind.lower()}_whose_files_fail_with_{error.lower()}"
    return run


for _kind in ("Full", "Diff"):
    case(killed(_kind))
case(failing("Full", "ENOSPC"))
case(failing("Diff", "EIO"))


@case
def snapshot_without_flush_makes_nothing_durable_and_keeps_the_order(t):
    """no_flush: not one fsync of the pair or its directory; the old state goes first, the new one has its name last."""
    prepare(t)
    for kind in ("Full", "Diff"):
        names = []
        for flush in (True, False):
            restore_pair(t)
            served, client = begin(t)
            with traced(t, served):
                client.put("/snapshot/create", {**create_body(kind=kind), "no_flush": not flush})
            last = numbers(served.vm.out)[-1]
            served.stop()
            calls = re.findall(r"^(\w+)\(", t.read("trace"), re.MULTILINE)
            equal(f"flushes of a {kind}, {flush}", flush, bool({"fsync", "fdatasync"} & set(calls)))
            names.append([name for name in calls if name.startswith(("rename", "unlink"))])
            served, client = load(t)
            goes_on(served, last)
            served.stop()
        equal(f"calls by which a {kind} takes its names", *names)


@case
def snapshot_without_flush_has_its_memory_compared(t):
    """What a crash of the host may leave: the memory file's time, but not its pages."""
    prepare(t)
    served, client = begin(t)
    client.put("/snapshot/create", {**create_body(), "no_flush": True})
    served.stop()
    before = os.stat(t.path("memory"))
    with open(t.path("memory"), "r+b") as memory:
        for page in samples(t, "state")[0]:
            memory.seek(page * PAGE)
            memory.write(b"x" * PAGE)
    os.utime(t.path("memory"), ns=(before.st_atime_ns, before.st_mtime_ns))
    load_fails(t, load_body(), MEMORY_FAILED, part=True)
