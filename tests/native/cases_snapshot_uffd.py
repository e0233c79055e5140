# SPDX-License-Identifier: Apache-2.0
"""The Uffd backend (snapshot.md 6): the handshake byte for byte, and handlers of every kind."""

import contextlib
import json
import os
import re
import socket
import subprocess
import sys
import time

from cases_snapshot_life import both_count, pairs
from native import HERE, case, equal, skip, wait_until
from snapshot_tools import (MIB, UFFD_FAILED, boot, counts, create, goes_on, load, load_body, load_fails, numbers,
                            saved, serve, sha)

MESSAGE = (r'\[(?:\{"base_host_virt_addr":\d+,"size":\d+,"offset":\d+,"page_size":4096,"page_size_kib":4096\},?)+\]')


@contextlib.contextmanager
def handler(t, *how, memory="memory"):
    """A handler that listens at `v`."""
    if not os.path.exists("/dev/userfaultfd"):
        skip("this kernel has no /dev/userfaultfd")
    for name in ("v", "trace"):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(t.path(name))
    command = [sys.executable, "-B", os.path.join(HERE, "uffd_handler.py"), "v", memory, "trace", *how]
    with subprocess.Popen(command, cwd=t.dir, stderr=subprocess.PIPE) as process:
        wait_until("the handler's socket", lambda: os.path.exists(t.path("v")) or process.poll() is not None)
        if process.poll() is not None:
            equal("handler", "running", process.stderr.read().decode())
        try:
            yield process
        finally:
            process.kill()


def load_by_handler(t, **fields):
    return load(t, body=load_body(memory="v", backend="Uffd", resume_vm=True, **fields))


def message(t):
    wait_until("the handler's message", lambda: os.path.exists(t.path("trace")))
    return json.loads(t.read("trace"))


def check_message(t, seen, served, sizes):
    equal("descriptors", ["anon_inode:[userfaultfd]"], seen["fd_kinds"])
    equal("data behind the message", "None", seen["rest"])
    equal("the message", True, re.fullmatch(MESSAGE, seen["data"]) is not None)
    equal("at most 1,024 bytes", True, len(seen["data"]) <= 1024)
    equal("SO_PEERCRED", served.pid, seen["peer"])
    regions = json.loads(seen["data"])
    equal("regions", [(size, sum(sizes[:index])) for index, size in enumerate(sizes)],
          [(region["size"], region["offset"]) for region in regions])
    equal("bases are multiples of 2 MiB", [0] * len(sizes), [region["base_host_virt_addr"] % (2 * MIB)
                                                            for region in regions])


@case
def snapshot_uffd_handler_gets_one_message_and_one_descriptor(t):
    """Row 73: what every handler parses. The file of the memory is never opened by the monitor."""
    last = saved(t)
    before = sha(t, "memory")
    with handler(t):
        served, _ = load_by_handler(t)
        check_message(t, message(t), served, [32 * MIB])
        goes_on(served, last)
        served.stop()
    equal("the memory file", before, sha(t, "memory"))


@case
def snapshot_uffd_of_memory_on_both_sides_of_the_gap(t):
    last = saved(t, mem=3200)
    with handler(t):
        served, _ = load_by_handler(t)
        check_message(t, message(t), served, [3072 * MIB, 128 * MIB])
        goes_on(served, last)
        served.stop()


def variant(name, *how):
    def run(t):
        last = saved(t)
        with handler(t, *how):
            served, client = load_by_handler(t)
            equal("state", "Running", client.get("/")["state"])
            goes_on(served, last)
            equal("descriptors", 1, message(t)["fds"])
            served.stop()
    run.__name__ = f"snapshot_uffd_handler_that_{name}"
    return run


case(variant("reads_64_kib", "65536"))
case(variant("is_late", "1024", "late"))
case(variant("closes_early", "1024", "early"))


@case
def snapshot_uffd_of_two_vcpus(t):
    served, client = boot(t, kernel="numbers_smp", vcpus=2)
    both_count(served)
    client.state("Paused")
    create(client)
    last = pairs(served.vm.out)[-1]
    served.stop()
    with handler(t):
        served, _ = load_by_handler(t)
        seen = both_count(served)
        equal("the first line", True, seen[0][0] in (last[0] + 1, last[0] + 2))
        both_count(served)
        served.stop()


def freezes(t, served, client):
    """The VM stands still, and the process answers and can be ended."""
    time.sleep(0.3)
    still = len(served.vm.out)
    time.sleep(0.3)
    equal("bytes of output while nobody serves pages", still, len(served.vm.out))
    equal("state", "Running", client.get("/")["state"])
    served.stop()


@case
def snapshot_uffd_handler_that_dies_freezes_the_guest(t):
    """Never zeros: the spec's default. GET / still answers, SIGTERM ends the process."""
    last = saved(t)
    with handler(t, "1024", "dies") as process:
        served, client = serve(t)
        client.put("/snapshot/load", load_body(memory="v", backend="Uffd"))
        wait_until("the handler's message", lambda: os.path.exists(t.path("trace")))
        process.kill()
        process.wait()
        client.state("Resumed")
        freezes(t, served, client)
        equal("numbers", True, all(number <= last + 2 for number in numbers(served.vm.out)))


@case
def snapshot_uffd_snapshot_of_a_vm_that_a_handler_serves(t):
    """All pages are asked for, and none is taken for zero; a Diff of it merges."""
    last = saved(t)
    with handler(t):
        served, client = load_by_handler(t, track_dirty_pages=True)
        goes_on(served, last)
        client.state("Paused")
        create(client, "state2", "memory2")
        last = numbers(served.vm.out)[-1]
        served.stop()
    served, _ = load(t, state="state2", memory="memory2")
    goes_on(served, last)
    served.stop()


@case
def snapshot_uffd_socket_that_nobody_serves(t):
    saved(t)
    body = load_body(memory="v", backend="Uffd")
    failed = UFFD_FAILED + "Failed to connect to UDS Unix stream: "
    load_fails(t, body, failed + "No such file or directory (os error 2) (v: ENOENT: there is no socket: start the "
               "page-fault handler first, and name its socket in backend_path)")
    refused = failed + ("Connection refused (os error 111) (v: ECONNREFUSED: no handler listens there: it has ended, or "
                        "that is no socket. Start the page-fault handler, which makes the socket anew)")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(t.path("v"))
    load_fails(t, body, refused)
    os.chmod(t.path("v"), 0)
    load_fails(t, body, failed + "Permission denied (os error 13) (v: EACCES: this process may not write to the socket",
               part=True, options={"prefix": ("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override")})
    os.unlink(t.path("v"))
    t.write("v", "no socket")
    load_fails(t, body, refused)
    load_fails(t, load_body(memory="x" * 108, backend="Uffd"), failed, part=True)


@case
def snapshot_uffd_handler_that_hangs_up_at_once(t):
    """Whoever closes before it has read has no memory to give: the load fails, or the guest never runs; no zeros."""
    last = saved(t)
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(t.path("v"))
        listener.listen(1)
        served, client = serve(t)
        client.send_request("PUT", "/snapshot/load", load_body(memory="v", backend="Uffd", resume_vm=True))
        listener.accept()[0].close()
        time.sleep(0.3)
        equal("numbers", [], [number for number in numbers(served.vm.out) if number < last])
        if served.vm.process.poll() is None:
            served.stop()
