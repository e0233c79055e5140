# SPDX-License-Identifier: Apache-2.0
"""mem_backend.prefetch: the memory file is read ahead while the VM runs, or waits."""

import ctypes
import mmap
import os
import time

from cases_snapshot_refusals import NOT_JSON
from cases_snapshot_uffd import handler
from native import case, equal, skip, wait_until
from snapshot_tools import MIB, PAGE, goes_on, load, load_body, saved, serve

GUEST_MIB = 512
PLACES = (128 * MIB, 256 * MIB, 384 * MIB)  # memory that the guest has never touched, far from each other and from the rest
DATA_SIZE = MIB
LIBC = ctypes.CDLL(None, use_errno=True)


def cached(t, places=PLACES):
    """Pages of the data that the host's page cache has."""
    pages = (ctypes.c_ubyte * (DATA_SIZE // PAGE))()
    count = 0
    with open(t.path("memory"), "r+b") as file:
        for place in places:
            with mmap.mmap(file.fileno(), DATA_SIZE, offset=place) as mapped:
                at = (ctypes.c_char * DATA_SIZE).from_buffer(mapped)
                if LIBC.mincore(ctypes.byref(at), ctypes.c_size_t(DATA_SIZE), pages) != 0:
                    raise OSError(ctypes.get_errno(), "mincore")
                del at
            count += sum(page & 1 for page in pages)
    return count


ALL = len(PLACES) * DATA_SIZE // PAGE


def forget(t):
    """Has the cache drop it."""
    fd = os.open(t.path("memory"), os.O_RDONLY)
    os.fsync(fd)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)
    if cached(t) > 0:
        skip("this file system keeps what it is told to drop")


def with_data(t):
    last = saved(t, mem=GUEST_MIB)
    with open(t.path("memory"), "r+b") as file:
        for place in PLACES:
            file.seek(place)
            file.write(os.urandom(DATA_SIZE))
    forget(t)
    return last


def body(prefetch, **fields):
    whole = load_body(**fields)
    whole["mem_backend"]["prefetch"] = prefetch
    return whole


def thread_names(served):
    tasks = f"/proc/{served.pid}/task"
    return [open(f"{tasks}/{task}/comm", encoding="ascii").read().strip() for task in os.listdir(tasks)]


@case
def snapshot_prefetch_reads_what_the_guest_has_not_touched(t):
    """All of its data, also of a VM that waits; without it none of that."""
    with_data(t)
    served, client = serve(t)
    client.put("/snapshot/load", body(True))
    wait_until("all of the data in the cache", lambda: cached(t) == ALL)
    served.stop()
    forget(t)
    served, client = serve(t)
    client.put("/snapshot/load", body(False))
    equal("threads that read ahead without it", [], [name for name in thread_names(served) if name == "fc_prefetch"])
    equal("pages in the cache without it", 0, cached(t))
    served.stop()


@case
def snapshot_prefetch_ends_with_the_guests_memory(t):
    """What somebody has put behind it is not read."""
    with_data(t)
    with open(t.path("memory"), "r+b") as file:
        file.seek(GUEST_MIB * MIB)
        file.write(os.urandom(64 * MIB))
    forget(t)
    served, client = serve(t)
    client.put("/snapshot/load", body(True))
    wait_until("all of the data in the cache", lambda: cached(t) == ALL)
    wait_until("the end of its thread", lambda: "fc_prefetch" not in thread_names(served))
    time.sleep(0.5)  # what was asked for may still be on its way
    equal("pages behind the memory in the cache", 0, cached(t, [(GUEST_MIB + 32) * MIB]))
    served.stop()


@case
def snapshot_prefetch_beside_a_running_guest(t):
    last = with_data(t)
    served, _ = load(t, body=body(True, resume_vm=True))
    goes_on(served, last)
    wait_until("all of the data in the cache", lambda: cached(t) == ALL)
    wait_until("the end of its thread", lambda: "fc_prefetch" not in thread_names(served))
    served.stop()


@case
def snapshot_prefetch_of_a_handler_is_refused(t):
    """Before the handler hears of it: the same process loads by it afterwards."""
    last = saved(t)
    with handler(t):
        served, client = serve(t)
        client.refused("PUT", "/snapshot/load", body(True, backend="Uffd", memory="v"), f"{NOT_JSON}mem_backend: prefetch is "
                       "for backend_type File: a page-fault handler reads its file itself.")
        equal("the handler has a message", False, os.path.exists(t.path("trace")))
        client.put("/snapshot/load", body(False, backend="Uffd", memory="v", resume_vm=True))
        goes_on(served, last)
        served.stop()
