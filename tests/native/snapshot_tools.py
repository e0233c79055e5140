# SPDX-License-Identifier: Apache-2.0
"""What the cases about snapshots share: a VM that counts, its pair of files, and monitors that load it."""

import hashlib
import os
import re
import struct

from api import Served
from native import contains, equal, guest, wait_until

LOAD_FAILED = "Load snapshot error: Failed to restore from snapshot: "
STATE_FAILED = LOAD_FAILED + "Failed to get snapshot state from file: "
READ_FAILED = STATE_FAILED + "Failed to load snapshot state from file: "
MEMORY_FAILED = LOAD_FAILED + "Failed to load guest memory: Error creating guest memory from file: "
UFFD_FAILED = LOAD_FAILED + "Failed to load guest memory: Error creating guest memory from uffd: "
DEVICES_FAILED = LOAD_FAILED + ("Failed to build microVM from snapshot: Failed to restore devices: Error restoring "
                                "MMIO devices: ")
CREATE_FAILED = "Create snapshot error: "
LOST = "RunWithApiError error: Failed to build MicroVM: Loading snapshot failed.."
HEADER = 48  # bytes of a state file before its sections
PAGE = 4096
MIB = 1 << 20

# What a monitor of these cases may leave: sockets, the pairs, a vsock's socket, a trace. No temporary file is here.
LEFT = tuple(f"{index}.sock" for index in range(40)) + ("state", "memory", "state2", "memory2", "v", "v2", "trace")


def numbers(text):
    """What the guest has counted, whole lines only."""
    return [int(line, 16) for line in text.replace("\r", "").split("\n")[:-1] if re.fullmatch("[0-9a-f]{8}", line)]


def serve(t, *args, **options):
    """The test's next monitor, and a connection to it."""
    served = Served(t, *args, name=f"{len(t.monitors)}.sock", may_leave=LEFT, **options)
    return served, served.connect()


def counts(served, more=3):
    """Waits until the guest has printed a few more numbers, which follow each other, and returns all of them."""
    before = len(numbers(served.vm.out))
    wait_until("numbers", lambda: len(numbers(served.vm.out)) > before + more or served.vm.process.poll() is not None)
    seen = numbers(served.vm.out)
    if len(seen) <= before + more:
        equal("output", "more numbers", served.vm.out + served.vm.err)
    equal("numbers", list(range(seen[0], seen[0] + len(seen))), seen)
    return seen


def boot(t, *args, kernel="numbers", mem=32, vcpus=1, configure=None, **options):
    """A running VM. configure: a function that gets the connection before the start."""
    machine = {key: options.pop(key) for key in ("track_dirty_pages", "huge_pages") if key in options}
    served, client = serve(t, *args, **options)
    client.put("/machine-config", {"vcpu_count": vcpus, "mem_size_mib": mem, **machine})
    if configure:
        configure(client)
    client.boot(guest(kernel))
    return served, client


def create_body(state="state", memory="memory", kind="Full"):
    return {"snapshot_type": kind, "snapshot_path": state, "mem_file_path": memory}


def load_body(state="state", memory="memory", backend="File", **fields):
    return {"snapshot_path": state, "mem_backend": {"backend_path": memory, "backend_type": backend}, **fields}


def create(client, *names, **kind):
    client.put("/snapshot/create", create_body(*names, **kind))


def load(t, *args, body=None, options=None, **fields):
    """A monitor that has loaded the pair and runs it."""
    served, client = serve(t, *args, **(options or {}))
    client.put("/snapshot/load", body or load_body(resume_vm=True, **fields))
    return served, client


def saved(t, *args, kernel="numbers", **options):
    """The pair `state` and `memory` of a VM that counted and is gone. Returns its last number."""
    served, client = boot(t, *args, kernel=kernel, **options)
    counts(served)
    client.state("Paused")
    create(client)
    served.stop()
    return numbers(served.vm.out)[-1]


def goes_on(served, last):
    """The VM counts on from there; the last number may have been counted but not printed whole."""
    seen = counts(served)
    equal(f"the first number, after {last:#x}", True, seen[0] in (last + 1, last + 2))
    return seen


def load_fails(t, body, sentence, part=False, options=None):
    """The sentence reaches the client; then the process ends with 1 and says why (snapshot.md 4)."""
    served, client = serve(t, **(options or {}))
    reply = client.ask("PUT", "/snapshot/load", body)
    equal(f"status line of {body}", "HTTP/1.1 400 ", reply.status_line)
    if part:
        contains(f"fault of {body}", sentence, reply.fault)
        equal("beginning of the fault", "Load snapshot error: ", reply.fault[:21])
    else:
        equal(f"fault of {body}", sentence, reply.fault)
    equal("connection at its end", True, client.at_end())
    t.expect_end(served.vm.wait(), 1)
    contains("stderr", LOST, served.vm.err)
    contains("log", LOST, t.log)
    return reply


def sha(t, name):
    with open(t.path(name), "rb") as file:
        return hashlib.sha256(file.read()).hexdigest()


def data_pages(t, name):
    """Numbers of the pages that a file has data for."""
    pages = set()
    with open(t.path(name), "rb") as file:
        end = os.fstat(file.fileno()).st_size
        at = 0
        while at < end:
            try:
                at = os.lseek(file.fileno(), at, os.SEEK_DATA)
            except OSError:  # a hole up to the end
                break
            hole = os.lseek(file.fileno(), at, os.SEEK_HOLE)
            pages.update(range(at // PAGE, (hole + PAGE - 1) // PAGE))
            at = hole
    return pages


def samples(t, state):
    """Pages of the memory that a state file vouches for: numbers of those that always change, and of the others."""
    with open(t.path(state), "rb") as file:
        content = file.read()
    at = HEADER
    while content[at:at + 4] != b"SAMP":
        at += 16 + int.from_bytes(content[at + 8:at + 16], "little")
    count, fixed = struct.unpack_from("<II", content, at + 16)
    pages = [struct.unpack_from("<Q", content, at + 24 + 24 * i)[0] // PAGE for i in range(count)]
    return pages[:fixed], pages[fixed:]


def merge(t, diff, base):
    """What a user does with a Diff: its data over the base."""
    with open(t.path(diff), "rb") as source, open(t.path(base), "r+b") as target:
        equal("lengths of diff and base", os.fstat(source.fileno()).st_size, os.fstat(target.fileno()).st_size)
        for page in sorted(data_pages(t, diff)):
            target.seek(page * PAGE)
            target.write(os.pread(source.fileno(), PAGE, page * PAGE))
