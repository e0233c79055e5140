# SPDX-License-Identifier: Apache-2.0
"""The Uffd backend (snapshot.md 6): the handshake byte for byte, and handlers of every kind."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time

from cases_snapshot_life import both_count, pairs
from native import HERE, case, contains, equal, skip, wait_until
from snapshot_tools import (LEFT, MIB, UFFD_FAILED, boot, counts, create, goes_on, load, load_body, load_fails, numbers,
                            saved, serve, sha)

MESSAGE = (r'\[(?:\{"base_host_virt_addr":\d+,"size":\d+,"offset":\d+,"page_size":4096,"page_size_kib":4096\},?)+\]')
ENDED = "The page-fault handler (process {}) has ended"
LOAD_LOST = UFFD_FAILED + ("The page-fault handler (process {}) ended before it had served the pages that the load itself "
                           "needs (v). See why it ended, start it anew, and load the snapshot in a new process")
EXITS = {"backend_path": "v", "backend_type": "Uffd", "on_handler_exit": "exit"}
EXITS_BODY = {"snapshot_path": "state", "mem_backend": EXITS, "resume_vm": True}


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


class Bare:
    """A monitor without an API, as the helpers look at one."""

    def __init__(self, vm):
        self.vm = vm


def command_line(t, source):
    t.write("body", json.dumps({"snapshot_path": "state", "mem_backend": source}))
    return Bare(t.start("--no-api", "--load-snapshot", "body", "--resume", "--log-path", "log", may_leave=LEFT))


def kill(process):
    process.kill()
    process.wait()


def times_told(t, process):
    return t.log.count(ENDED.format(process.pid))


@case
def snapshot_uffd_handler_that_dies_freezes_the_guest(t):
    """Never zeros: the spec's default. Its death is logged once; GET / still answers, SIGTERM ends the process."""
    last = saved(t)
    with handler(t) as process:
        served, client = serve(t)
        client.put("/snapshot/load", load_body(memory="v", backend="Uffd"))
        kill(process)
        wait_until("the log's line", lambda: times_told(t, process) > 0)
        client.state("Resumed")
        freezes(t, served, client)
        equal("lines of the handler's end", 1, times_told(t, process))
        equal("numbers", True, all(number <= last + 2 for number in numbers(served.vm.out)))


def ends_with_its_handler(t, load_it, *how):
    """load_it: loads it and gives the monitor."""
    last = saved(t)
    with handler(t, *how) as process:
        served = load_it()
        goes_on(served, last)
        kill(process)
        t.expect_end(served.vm.wait(), 1)
        sentence = ENDED.format(process.pid) + ", and mem_backend.on_handler_exit is \"exit\""
        contains("stderr", "Error: " + sentence, served.vm.err)
        contains("log", "Firecracker exiting with error. exit_code=1", t.log)
        equal("lines of the handler's end", 1, times_told(t, process))


@case
def snapshot_uffd_on_handler_exit_exit_ends_the_process_with_1(t):
    ends_with_its_handler(t, lambda: load(t, body=EXITS_BODY)[0])


@case
def snapshot_uffd_on_handler_exit_of_one_that_closed_early(t):
    """The connection's end is not the handler's, and the handler's is seen without it."""
    ends_with_its_handler(t, lambda: load(t, body=EXITS_BODY)[0], "1024", "early")


@case
def snapshot_uffd_on_handler_exit_of_one_that_was_forked(t):
    """Who listened may end while the one that serves keeps the connection: that one's end is the handler's."""
    last = saved(t)
    with handler(t, "1024", "forks") as process:
        served, client = load(t, body=EXITS_BODY)
        process.wait()
        wait_until("the child's number", lambda: "child" in message(t))
        goes_on(served, last)
        equal("state", "Running", client.get("/")["state"])
        equal("lines of the handler's end", 0, times_told(t, process))
        os.kill(message(t)["child"], signal.SIGKILL)
        t.expect_end(served.vm.wait(), 1)
        equal("lines of the handler's end", 1, times_told(t, process))


@case
def snapshot_uffd_on_handler_exit_exit_without_an_api(t):
    ends_with_its_handler(t, lambda: command_line(t, EXITS))


@case
def snapshot_uffd_handler_that_dies_freezes_the_guest_without_an_api(t):
    last = saved(t)
    with handler(t) as process:
        served = command_line(t, {"backend_path": "v", "backend_type": "Uffd"})
        goes_on(served, last)
        kill(process)
        wait_until("the log's line", lambda: times_told(t, process) > 0)
        equal("has it ended", None, served.vm.process.poll())
        served.vm.process.terminate()
        served.vm.wait()
        equal("status", -15, served.vm.status)


@case
def snapshot_uffd_handler_that_dies_during_the_load_makes_it_fail(t):
    """Before the first page, and with one that it has taken on: the reply says so, and the process ends with 1."""
    saved(t)
    for how in ("leaves", "takes"):
        with handler(t, "1024", how) as process:
            load_fails(t, load_body(memory="v", backend="Uffd", resume_vm=True), LOAD_LOST.format(process.pid))


@case
def snapshot_uffd_handler_that_dies_during_a_warm_load_makes_it_fail(t):
    saved(t)
    t.write("shape", json.dumps({"mem_size_mib": 32, "vcpu_count": 1}))
    with handler(t, "1024", "leaves") as process:
        served, client = serve(t, "--warm", "shape")
        reply = client.ask("PUT", "/snapshot/load", load_body(memory="v", backend="Uffd", resume_vm=True))
        equal("fault", LOAD_LOST.format(process.pid), reply.fault)
        t.expect_end(served.vm.wait(), 1)
        equal("numbers", [], numbers(served.vm.out))


@case
def snapshot_uffd_handler_that_dies_during_the_load_without_an_api(t):
    saved(t)
    for source in (EXITS, {"backend_path": "v", "backend_type": "Uffd"}):
        with handler(t, "1024", "leaves") as process:
            served = command_line(t, source)
            t.expect_end(served.vm.wait(), 1)
            contains("stderr", LOAD_LOST.format(process.pid), served.vm.err)


@case
def snapshot_uffd_handler_that_copies_all_ahead_may_end(t):
    """What it has served is enough: neither the load nor the guest needs it any more."""
    last = saved(t)
    with handler(t, "1024", "ahead") as process:
        served, client = serve(t)
        client.put("/snapshot/load", load_body(memory="v", backend="Uffd"))
        process.wait()
        client.state("Resumed")
        goes_on(served, last)
        served.stop()


@case
def snapshot_uffd_handler_that_serves_nothing_is_waited_for(t):
    """The log says so once, and names it; when it is woken the load goes on."""
    last = saved(t)
    with handler(t, "1024", "stops") as process:
        served, client = serve(t)
        client.send_request("PUT", "/snapshot/load", load_body(memory="v", backend="Uffd", resume_vm=True))
        wait_until("the log's line", lambda: f"page-fault handler (process {process.pid})" in t.log)
        contains("log", "The snapshot's load has taken 5 s", t.log)
        equal("has it ended", None, served.vm.process.poll())
        process.send_signal(signal.SIGCONT)
        goes_on(served, last)
        served.stop()


@case
def snapshot_load_on_handler_exit_is_for_handlers(t):
    served, client = serve(t)
    source = {"backend_path": "memory", "backend_type": "File", "on_handler_exit": "exit"}
    reply = client.ask("PUT", "/snapshot/load", {"snapshot_path": "state", "mem_backend": source})
    equal("status line", "HTTP/1.1 400 ", reply.status_line)
    contains("fault", "on_handler_exit is for backend_type Uffd", reply.fault)
    served.stop()


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
