# SPDX-License-Identifier: Apache-2.0
"""Files that somebody else uses: a memory file that other VMs live from is not changed under them, and what the VM
itself has open is not written over."""

import fcntl
import os
import struct
import subprocess

from cases_snap_tool import TOOL
from native import case, contains, equal
from snapshot_tools import (CREATE_FAILED, MEMORY_FAILED, MIB, boot, counts, create, create_body, goes_on, load,
                            load_body, load_fails, numbers, saved, sha)

LIFE, WRITER = 0, 1  # bytes of a memory file
IN_PLACE = CREATE_FAILED + "Cannot write the memory backing file in place: another VM lives from it"


def linked(t):
    """A pair whose memory has a second name, so that it is written where it is. Returns the last number."""
    last = saved(t, track_dirty_pages=True)
    os.link(t.path("memory"), t.path("memory2"))
    return last


def lock(file, kind, byte):
    """One of the two locks of a memory file (docs/snapshots.md). Raises when somebody else has it otherwise."""
    fcntl.fcntl(file, fcntl.F_OFD_SETLK, struct.pack("hhqqi", kind, os.SEEK_SET, byte, 1, 0))


def is_free(t, kind):
    """Would somebody else get the lock of those who live from the memory?"""
    with open(t.path("memory"), "r+b") as other:
        try:
            lock(other, kind, LIFE)
        except BlockingIOError:
            return False
    return True


def lives_on(served, client):
    client.state("Resumed")
    counts(served)


@case
def snapshot_in_place_onto_the_memory_of_another_vm_is_refused(t):
    """By the VM that lives from it too, and by one that does not; a Full and a Diff. Nothing changes."""
    last = linked(t)
    clone, _ = load(t)
    served, client = load(t, track_dirty_pages=True)
    stranger, other = boot(t)
    counts(stranger)
    before = sha(t, "memory"), sha(t, "state")
    for vm, its in ((served, client), (stranger, other)):
        its.state("Paused")
        for kind in ("Full", "Diff"):
            its.refused_like("PUT", "/snapshot/create", create_body("state", "memory2", kind), IN_PLACE)
            its.refused_like("PUT", "/snapshot/create", create_body("state", "memory2", kind),
                             "(memory2). Name another path")
        equal("the pair", before, (sha(t, "memory"), sha(t, "state")))
        lives_on(vm, its)
    goes_on(clone, last)
    for vm in (stranger, clone):
        vm.stop()
    # The only one now. What was refused had to unlock the file, and has locked it again.
    equal("free to write, to share", (False, True), (is_free(t, fcntl.F_WRLCK), is_free(t, fcntl.F_RDLCK)))
    client.state("Paused")
    create(client, "state", "memory2", kind="Diff")
    equal("free to write, to share", (False, True), (is_free(t, fcntl.F_WRLCK), is_free(t, fcntl.F_RDLCK)))
    last = numbers(served.vm.out)[-1]
    lives_on(served, client)
    again, _ = load(t)  # and what it had locked is free for others
    goes_on(again, last)
    again.stop()
    served.stop()


@case
def snapshot_by_its_name_over_the_memory_of_another_vm_is_fine(t):
    """A name that can be replaced is: the other keeps what it has."""
    last = saved(t)
    clone, its = load(t, body=load_body())
    served, client = boot(t)
    counts(served)
    client.state("Paused")
    create(client)
    served.stop()
    its.state("Resumed")
    goes_on(clone, last)
    clone.stop()


@case
def snapshot_whose_memory_is_being_written_is_not_loaded(t):
    last = saved(t)
    with open(t.path("memory"), "r+b") as writer:
        lock(writer, fcntl.F_WRLCK, WRITER)
        load_fails(t, load_body(), MEMORY_FAILED + "Failed to load guest memory: another process is writing memory "
                   "where it is. Load it when that has ended")
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


@case
def snapshot_memory_that_somebody_reads_is_loaded(t):
    """Whoever may only read the file keeps no load out, whatever he locks."""
    last = saved(t)
    with open(t.path("memory"), "rb") as reader:
        for byte in (LIFE, WRITER):
            lock(reader, fcntl.F_RDLCK, byte)
        fcntl.flock(reader, fcntl.LOCK_EX)
        served, _ = load(t)
        goes_on(served, last)
        served.stop()


@case
def snap_tool_merge_into_the_memory_of_a_vm_is_refused(t):
    last = linked(t)
    served, client = load(t, track_dirty_pages=True)
    goes_on(served, last)
    client.state("Paused")
    create(client, "state2", "v", kind="Diff")
    before = sha(t, "memory")
    done = subprocess.run([TOOL, "merge", "memory", "v"], cwd=t.dir, capture_output=True, text=True, check=False)
    equal("status", 1, done.returncode)
    equal("stderr", "Error: Cannot merge into memory: EBUSY: a VM was loaded from it and its memory would change, or "
          "another process writes it. End that VM, or make another file with --output\n", done.stderr)
    equal("the memory", before, sha(t, "memory"))
    subprocess.run([TOOL, "merge", "memory", "v", "--output", "v2"], cwd=t.dir, capture_output=True, check=True)
    last = numbers(served.vm.out)[-1]
    lives_on(served, client)
    served.stop()
    subprocess.run([TOOL, "merge", "memory", "v"], cwd=t.dir, capture_output=True, check=True)
    served, _ = load(t, state="state2")
    goes_on(served, last)
    served.stop()


@case
def snapshot_onto_a_file_that_the_vm_uses_is_refused(t):
    """Its disk, kernel, log, metrics and serial output, by their names and by others; and nothing is changed."""
    t.disk()
    t.write("v", "")
    os.link(t.path("disk"), t.path("v2"))

    def configure(client):
        client.put("/drives/data", {"drive_id": "data", "path_on_host": "disk", "is_root_device": False})
        client.put("/metrics", {"metrics_path": t.path("v")})
        client.put("/serial", {"serial_out_path": t.path("memory2")})

    t.write("memory2", "")
    served, client = boot(t, configure=configure)
    client.state("Paused")
    kernel = client.get("/vm/config")["boot-source"]["kernel_image_path"]
    before = sha(t, "disk")
    for path, named in (("disk", "the file of this VM's drive data"), ("v2", "the file of this VM's drive data"),
                        (kernel, "this VM's kernel"), ("v", "a file that this process has open, as its log, metrics"),
                        ("memory2", "a file that this process has open"),
                        ("log", "a file that this process has open"),
                        ("/dev/stdout", "what this process's standard input or output is")):
        for what, body in (("snapshot", create_body(path, "memory")), ("memory", create_body("state", path))):
            client.refused_like("PUT", "/snapshot/create", body,
                                f"{CREATE_FAILED}Cannot perform open on the {what} backing file: it is ")
            client.refused_like("PUT", "/snapshot/create", body, named)
            client.refused_like("PUT", "/snapshot/create", body, f"({path}). Name another path")
    for path, kind in (("/dev/null", "a terminal or another character device"), (served.path, "a socket")):
        client.refused_like("PUT", "/snapshot/create", create_body("state", path),
                            f"it is no regular file, but {kind} ({path}). Name a file, or a new one")
    equal("the disk", before, sha(t, "disk"))
    equal("files made", [False, False], [os.path.exists(t.path(name)) for name in ("state", "memory")])
    client.state("Resumed")
    served.stop()


@case
def snapshot_state_onto_the_memory_that_the_vm_lives_from_is_refused(t):
    saved(t)
    served, client = load(t)
    client.state("Paused")
    before = sha(t, "memory")
    client.refused_like("PUT", "/snapshot/create", create_body("memory", "memory2"),
                        "it is the memory file that this VM lives from, which a snapshot would destroy (memory)")
    equal("the memory", before, sha(t, "memory"))
    equal("its length", 32 * MIB, os.path.getsize(t.path("memory")))
    served.stop()
