# SPDX-License-Identifier: Apache-2.0
"""Snapshots of tiny guests (snapshot.md): create, load, and what the files are."""

import json
import os
import re

from api import Served
from native import case, contains, equal, guest, wait_until

LEFT = ("state", "memory", "first.socket", "second.socket")
CREATE = {"snapshot_path": "state", "mem_file_path": "memory"}


def load_body(**fields):
    return {"snapshot_path": "state", "mem_backend": {"backend_path": "memory", "backend_type": "File"}, **fields}


def numbers(text):
    """What the guest has counted, whole lines only."""
    lines = text.replace("\r", "").split("\n")[:-1]
    return [int(line, 16) for line in lines if re.fullmatch("[0-9a-f]{8} ?", line)]


def snapshot(t, client, **fields):
    client.patch("/vm", {"state": "Paused"})
    client.put("/snapshot/create", {**CREATE, **fields})


def boot_numbers(t, name="first.socket", may_leave=LEFT, **machine):
    served = Served(t, name=name, may_leave=may_leave)
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128, **machine})
    client.boot(guest("numbers"))
    wait_until("numbers", lambda: len(numbers(served.vm.out)) > 3)
    return served, client


@case
def snapshot_guest_goes_on_where_it_was(t):
    first, client = boot_numbers(t)
    snapshot(t, client)
    last = numbers(first.vm.out)[-1]
    first.stop()
    second = Served(t, name="second.socket", may_leave=LEFT)
    client = second.connect()
    client.put("/snapshot/load", load_body(resume_vm=True))
    wait_until("more numbers", lambda: len(numbers(second.vm.out)) > 3)
    seen = numbers(second.vm.out)
    equal("the next numbers", list(range(seen[0], seen[0] + len(seen))), seen)
    equal("the first of them", True, seen[0] in (last + 1, last + 2))
    second.stop()


DESCRIBE_FAILED = "Error: When printing Snapshot Data format: "


@case
def snapshot_loaded_by_the_command_line_goes_on(t):
    """No HTTP is needed: the file holds the request's body."""
    first, client = boot_numbers(t)
    snapshot(t, client)
    first.stop()
    t.write("load", json.dumps(load_body()))
    second = t.start("--no-api", "--load-snapshot", "load", "--resume", may_leave=LEFT)
    wait_until("more numbers", lambda: len(numbers(second.out)) > 3)
    second.kill()


@case
def snapshot_that_the_command_line_cannot_load_ends_the_process(t):
    t.write("load", json.dumps(load_body()))
    end = t.run("--no-api", "--load-snapshot", "load", "--resume", "--log-path", "log", may_leave=("load", "log"))
    t.expect_error(end, "Load snapshot error: Failed to restore from snapshot: Failed to get snapshot state from file: "
                        "Failed to open snapshot file: No such file or directory (os error 2) (state)")
    t.write("load", '{"snapshot_path":"state"}')
    end = t.run("--no-api", "--load-snapshot", "load", "--log-path", "log", may_leave=("load", "log"))
    t.expect_error(end, "--load-snapshot load: missing field: either `mem_backend` or `mem_file_path` is required")


@case
def snapshot_described_in_words(t):
    first, client = boot_numbers(t)
    snapshot(t, client)
    first.stop()
    end = t.run("--describe-snapshot", "state", may_leave=LEFT)
    t.expect_end(end)
    lines = end.out.splitlines()
    equal("version", "v1.2.0", lines[0])
    for line in ("vCPUs: 1", "memory: 128 MiB", "irqchip: split"):
        equal(line, True, line in lines)
    end = t.run("--snapshot-version", may_leave=LEFT)
    equal("--snapshot-version", "v1.2.0\n", end.out)


@case
def snapshot_that_is_none_is_not_described(t):
    t.write("state", "no snapshot")
    end = t.run("--describe-snapshot", "state", may_leave=LEFT)
    equal("status", 1, end.status)
    equal("stderr", DESCRIBE_FAILED + "Invalid data format version of snapshot file: unrecognised state file format (not "
                    "created by this VMM).\n", end.err)
    end = t.run("--describe-snapshot", "none", may_leave=LEFT)
    equal("status", 1, end.status)
    equal("stderr", DESCRIBE_FAILED + "Unable to open snapshot state file: Failed to open snapshot file: No such file or "
                    "directory (os error 2) (none)\n", end.err)


@case
def snapshot_memory_file_cut_under_a_guest_ends_it_with_149(t):
    """The sentence names the file; what else is loaded from other files goes on."""
    first, client = boot_numbers(t)
    snapshot(t, client)
    first.stop()
    second = Served(t, name="second.socket", may_leave=LEFT)
    second.connect().put("/snapshot/load", load_body())
    os.truncate(t.path("memory"), 4096)
    second.connect().state("Resumed")
    second.vm.wait()
    equal("status", 149, second.vm.status)
    contains("stderr", "the memory file memory was cut while the VM lived", second.vm.err)
