# SPDX-License-Identifier: Apache-2.0
"""Bad input for a load (snapshot.md 1, 4): a sentence reaches the client, then the process ends with 1."""

import contextlib
import os
import shutil
import struct

from native import case, contains, equal
from snapshot_tools import (MEMORY_FAILED, MIB, PAGE, READ_FAILED, STATE_FAILED, boot, counts, create, data_pages,
                            goes_on, load, load_body, load_fails, samples, saved)

FOREIGN = READ_FAILED + "unrecognised state file format (not created by this VMM)."
GONE = "No such file or directory (os error 2)"
FIRECRACKER_MAGIC = 0x0710198486640000


@contextlib.contextmanager
def instead_of(t, name):
    """Inside, the file's name is free for something else."""
    os.rename(t.path(name), t.path("kept"))
    try:
        yield
    finally:
        path = t.path(name)
        (os.rmdir if os.path.isdir(path) else os.unlink)(path)
        os.rename(t.path("kept"), path)


@case
def snapshot_state_file_that_is_none(t):
    """Missing, a directory, a FIFO that nobody opens, empty, foreign, Firecracker's, and a whole machine of zeros."""
    last = saved(t)
    load_fails(t, load_body("none"), f"{STATE_FAILED}Failed to open snapshot file: {GONE} (none)")
    with instead_of(t, "state"):
        os.mkdir(t.path("state"))
        load_fails(t, load_body(), READ_FAILED + "it is no regular file (state)")
    with instead_of(t, "state"):
        os.mkfifo(t.path("state"))
        load_fails(t, load_body(), READ_FAILED + "it is no regular file (state)")
    firecracker = struct.pack("<Q", FIRECRACKER_MAGIC) + b"\x0b\0\0\0" * 1000
    for content in (b"", b"x", b"MAYFLY", b"not a snapshot\n" * 1000, b"\0" * 100000, firecracker):
        whose = " It is Firecracker's, which only Firecracker reads: take the snapshot with this VMM"
        with instead_of(t, "state"):
            t.write("state", content)
            load_fails(t, load_body(), FOREIGN + (whose if content == firecracker else "") + " (state)")
    with instead_of(t, "state"):
        t.write("state", "x")
        os.truncate(t.path("state"), 10_000_001)
        load_fails(t, load_body(), READ_FAILED + "it has 10000001 bytes, more than the 10000000 of any (state)")
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


@case
def snapshot_state_file_that_is_damaged(t):
    """Cut off, longer, one bit flipped; unit tests try every place."""
    saved(t)
    whole = open(t.path("state"), "rb").read()
    size = len(whole)
    damaged = [whole[:end] for end in (16, 47, 48, size // 2, size - 1)] + [whole + b"\0"]
    for place in (8, 12, 20, 40, 60, size // 3, size // 2, size - 1):
        damaged.append(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1:])
    for content in damaged:
        t.write("state2", content)
        load_fails(t, load_body("state2"), READ_FAILED, part=True)


@case
def snapshot_state_file_of_a_newer_format(t):
    """Another major, and a minor above this build's: each is named, before the checksum is looked at."""
    saved(t)
    whole = open(t.path("state"), "rb").read()
    version = struct.unpack_from("<III", whole, 8)
    for newer in ((version[0] + 1, *version[1:]), (version[0], version[1] + 1, version[2])):
        t.write("state2", whole[:8] + struct.pack("<III", *newer) + whole[20:])
        load_fails(t, load_body("state2"), READ_FAILED + "Invalid data version: the file has format "
                   f"v{newer[0]}.{newer[1]}.{newer[2]}; this build reads v{version[0]}.0 to v{version[0]}.{version[1]}",
                   part=True)


@case
def snapshot_memory_file_that_is_none(t):
    """Missing, a directory, a FIFO, too short; longer is fine (snapshot.md 4), and said."""
    last = saved(t)
    load_fails(t, load_body(memory="none"), f"{MEMORY_FAILED}Failed to load guest memory: {GONE} (none)")
    for make in (os.mkdir, os.mkfifo):
        with instead_of(t, "memory"):
            make(t.path("memory"))
            load_fails(t, load_body(), MEMORY_FAILED + "Failed to load guest memory: it is no regular file (memory)")
    for size in (0, 32 * MIB - 1):
        shutil.copyfile(t.path("memory"), t.path("memory2"))
        os.truncate(t.path("memory2"), size)
        load_fails(t, load_body(memory="memory2"), MEMORY_FAILED + "Failed to restore guest memory: Total sum of "
                   f"memory regions exceeds largest possible file offset: memory2 has {size} bytes, expected "
                   f"{32 * MIB}")
    os.truncate(t.path("memory"), 33 * MIB + 1)
    served, _ = load(t)
    contains("log", f"The memory file memory has {33 * MIB + 1} bytes, and the snapshot's memory {32 * MIB}: what is "
             "behind them is not looked at", t.log)
    goes_on(served, last)
    served.stop()


def changed_pages(t, diff, base):
    """Numbers of the diff's pages that the base has otherwise."""
    with open(t.path(diff), "rb") as new, open(t.path(base), "rb") as old:
        return {page for page in data_pages(t, diff)
                if os.pread(new.fileno(), PAGE, page * PAGE) != os.pread(old.fileno(), PAGE, page * PAGE)}


@case
def snapshot_mixed_pair_is_refused(t):
    """The state of one snapshot and the memory of another, both ways; a diff that was not merged."""
    served, client = boot(t, track_dirty_pages=True)
    counts(served)
    client.state("Paused")
    create(client)

    def differ(state):
        """Has the guest changed one of the pages that this state vouches for? They are a sample."""
        with open(t.path("memory"), "rb") as one, open(t.path("memory2"), "rb") as other:
            return any(os.pread(one.fileno(), PAGE, page * PAGE) != os.pread(other.fileno(), PAGE, page * PAGE)
                       for page in samples(t, state)[1])
    for _ in range(50):
        client.state("Resumed")
        counts(served)
        client.state("Paused")
        create(client, "state2", "memory2")
        if differ("state") and differ("state2"):
            break
    for pair in (("state", "memory2"), ("state2", "memory")):
        load_fails(t, load_body(*pair), MEMORY_FAILED + "The memory file is not the one of this state file: its "
                   "page at byte ", part=True)
        load_fails(t, load_body(*pair), f"(state file {pair[0]}, memory file {pair[1]})", part=True)
    for _ in range(20):
        client.state("Resumed")
        counts(served)
        client.state("Paused")
        create(client, "state2", "v", kind="Diff")  # the next onto it
        if set(samples(t, "state2")[1]) & changed_pages(t, "v", "memory"):
            break
    served.stop()
    load_fails(t, load_body("state2", "memory"), "a diff has to be merged onto its base first", part=True)


@case
def snapshot_diff_that_was_not_merged_is_refused(t):
    """By its pages: a diff beside its place has no stamp. Merged where its base is it loads, and by its stamp."""
    served, client = boot(t, track_dirty_pages=True)
    counts(served)
    client.state("Paused")
    create(client)
    shutil.copy2(t.path("memory"), t.path("v"))
    client.state("Resumed")
    counts(served)
    client.state("Paused")
    create(client, "state2", "memory2", kind="Diff")
    load_fails(t, load_body("state2", "memory2"), "a diff has to be merged onto its base first", part=True)
    client.state("Resumed")
    counts(served)
    client.state("Paused")
    create(client, "state", "memory2", kind="Diff")  # onto a diff, which stays one
    load_fails(t, load_body("state", "memory2"), "a diff has to be merged onto its base first", part=True)
    served.stop()


@case
def snapshot_memory_that_was_copied(t):
    """With its times, or without, which a load then reads pages of; also under its own name again."""
    last = saved(t)
    for copy in (shutil.copy2, shutil.copyfile):
        copy(t.path("memory"), t.path("memory2"))
        served, _ = load(t, memory="memory2")
        goes_on(served, last)
        served.stop()
    os.replace(t.path("memory2"), t.path("memory"))
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


def change(t, name, page):
    """By a few bytes; the file's time of change goes on."""
    with open(t.path(name), "r+b") as file:
        before = os.pread(file.fileno(), 16, page * PAGE + 100)
        os.pwrite(file.fileno(), bytes(byte ^ 1 for byte in before), page * PAGE + 100)


@case
def snapshot_memory_with_its_stamp_is_not_compared(t):
    """A sampled page is another (VMGenID's, which no guest of these reads): taken with the stamp, refused a nanosecond
    later. So a load goes by the stamp, and by the whole of it."""
    last = saved(t)
    stat = os.stat(t.path("memory"))
    page = samples(t, "state")[0][0]
    change(t, "memory", page)
    os.utime(t.path("memory"), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    served, _ = load(t)
    goes_on(served, last)
    served.stop()
    for ns in (1, -1, 1_000_000_000):
        os.utime(t.path("memory"), ns=(stat.st_atime_ns, stat.st_mtime_ns + ns))
        load_fails(t, load_body(), f"its page at byte {page * PAGE} ", part=True)


@case
def snapshot_memory_that_was_changed_where_it_is(t):
    """By one byte of a page that the guest uses: its time of change is not the snapshot's any more."""
    saved(t)
    with open(t.path("memory"), "r+b") as file:
        page = min(data_pages(t, "memory")) * PAGE
        file.seek(page + 100)
        byte = file.read(1)
        file.seek(page + 100)
        file.write(bytes([byte[0] ^ 1]))
    load_fails(t, load_body(), f"its page at byte {page} ", part=True)


@case
def snapshot_memory_of_another_vm_is_refused(t):
    saved(t)
    for name in ("state", "memory"):
        os.rename(t.path(name), t.path(name + "2"))
    saved(t, kernel="numbers", mem=64)
    load_fails(t, load_body("state2", "memory"), "its page at byte ", part=True)
    load_fails(t, load_body("state", "memory2"), "exceeds largest possible file offset", part=True)
    with open(t.path("memory2"), "r+b") as file:
        file.truncate(0)
        file.truncate(32 * MIB)
    load_fails(t, load_body("state2", "memory2"), "its page at byte ", part=True)


@case
def snapshot_huge_pages_need_a_handler(t):
    """snapshot.md 5; Transparent is fine."""
    last = saved(t)
    load_fails(t, load_body(huge_pages="2M"), MEMORY_FAILED + "Cannot restore hugetlbfs backed snapshot by mapping the "
               "memory file. Please use uffd.")
    for pages, shown in (("Transparent", "Transparent"), ("None", "None"), ("Snapshot", "None")):
        served, client = load(t, huge_pages=pages)
        goes_on(served, last)
        equal(f"huge_pages after {pages}", shown, client.get("/machine-config")["huge_pages"])
        served.stop()


@case
def snapshot_memory_with_another_page_of_vmgenid_is_refused(t):
    """One changed page, of those that a load without the stamp compares where they are mapped; a page that nobody vouches
    for is not missed."""
    last = saved(t)
    vmgenid = samples(t, "state")[0][0]
    shutil.copyfile(t.path("memory"), t.path("memory2"))
    unseen = next(page for page in range(16 * MIB // PAGE, 32 * MIB // PAGE) if page not in sum(samples(t, "state"), []))
    change(t, "memory2", unseen)
    served, _ = load(t, memory="memory2")
    goes_on(served, last)
    served.stop()
    change(t, "memory2", vmgenid)
    load_fails(t, load_body(memory="memory2"), f"its page at byte {vmgenid * PAGE} ", part=True)
