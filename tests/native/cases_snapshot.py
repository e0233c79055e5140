# SPDX-License-Identifier: Apache-2.0
"""Snapshots of tiny guests (snapshot.md): create, load, and what the files are."""

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
