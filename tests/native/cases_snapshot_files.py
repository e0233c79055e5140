# SPDX-License-Identifier: Apache-2.0
"""The pair of files that a snapshot is (snapshot.md 1, 3): the sparse memory file, diffs, and every way in which the
files cannot be made."""

import contextlib
import os
import subprocess

from native import case, contains, equal, messages, skip, wait_until
from snapshot_tools import (CREATE_FAILED, MIB, PAGE, boot, counts, create, create_body, data_pages, goes_on, load,
                            merge, numbers, saved, sha)

NO_SPACE = "No space left on device (os error 28)"


def allocated(t, name):
    return os.stat(t.path(name)).st_blocks * 512


def paused(t, *args, **options):
    served, client = boot(t, *args, **options)
    counts(served)
    client.state("Paused")
    return served, client


@case
def snapshot_memory_file_is_sparse(t):
    """Row 75: as long as the guest's memory, and what was never touched is a hole."""
    saved(t, mem=128)
    equal("length", 128 * MIB, os.path.getsize(t.path("memory")))
    equal("at most a MiB allocated", True, allocated(t, "memory") <= MIB)


@case
def snapshot_memory_file_holds_what_the_guest_has(t):
    """The number that the guest counted stands on its page, and the guest's program at 1 MiB."""
    last = saved(t)
    with open(t.path("memory"), "rb") as file:
        memory = file.read()
    pages = [memory[at:at + 4] for at in range(MIB, MIB + 4 * PAGE, PAGE)]
    equal("pages with the number", 1, sum(int.from_bytes(page, "little") in (last, last + 1) for page in pages))
    equal("text of the program", True, b"memory and register differ" in memory[MIB:MIB + 2 * PAGE])
    equal("data behind 16 MiB", b"", memory[16 * MIB:].strip(b"\0"))


# ---------------------------------------------------------------------- a guest that changes pages when told

def told(served, byte):
    """Sends the pages guest a byte and returns the line that it answers."""
    before = len(served.vm.out.splitlines())
    served.vm.process.stdin.write(byte.encode())
    served.vm.process.stdin.flush()
    wait_until(f"answer to {byte}", lambda: len(served.vm.out.splitlines()) > before and served.vm.out.endswith("\n"))
    return served.vm.out.splitlines()[-1]


def sum_of(value):
    return f"{16 * 1024 * value & 0xffffffff:08x}"


FIRST_PAGE = 4 * MIB // PAGE
PAGES = set(range(FIRST_PAGE, FIRST_PAGE + 16))


def boot_pages(t, **options):
    served, client = boot(t, kernel="pages", stdin=subprocess.PIPE, **options)
    served.vm.await_output("ready")
    return served, client


def load_pages(t, **options):
    return load(t, options={"stdin": subprocess.PIPE}, **options)


def stop_pages(served):
    served.vm.process.stdin.close()
    served.stop()


@case
def snapshot_pages_never_touched_are_zero(t):
    served, client = boot_pages(t)
    told(served, "7")
    client.state("Paused")
    create(client)
    stop_pages(served)
    served, _ = load_pages(t)
    equal("the pages that were filled", sum_of(7), told(served, "s"))
    equal("the pages that were not", sum_of(0), told(served, "n"))
    stop_pages(served)


@case
def snapshot_pages_that_became_zero_are_zero(t):
    """Of a loaded VM, over the file that it is mapped from: what the file had there must go."""
    served, client = boot_pages(t)
    told(served, "7")
    client.state("Paused")
    create(client)
    stop_pages(served)
    equal("pages in the file", PAGES, data_pages(t, "memory") & PAGES)
    served, client = load_pages(t)
    told(served, "z")
    client.state("Paused")
    create(client)
    stop_pages(served)
    served, _ = load_pages(t)
    equal("sum", sum_of(0), told(served, "s"))
    stop_pages(served)


@case
def snapshot_full_over_the_file_that_the_vm_is_mapped_from(t):
    """snapshot.md 3: by its own name, by a hard link and by a symbolic link to it, which cannot be replaced."""
    last = saved(t)
    os.link(t.path("memory"), t.path("memory2"))
    os.symlink("memory", t.path("v"))
    for name in ("memory2", "v", "memory"):
        served, client = load(t, memory=name)
        goes_on(served, last)
        client.state("Paused")
        create(client, "state", name)
        last = numbers(served.vm.out)[-1]
        client.state("Resumed")
        counts(served)
        served.stop()
    equal("the link is one", True, os.path.islink(t.path("v")))


# ---------------------------------------------------------------------- Diff

@case
def snapshot_diff_after_a_full_is_nearly_empty(t):
    """Row 76: tracked, and nothing ran between them."""
    served, client = paused(t, track_dirty_pages=True)
    create(client)
    create(client, "state2", "memory2", kind="Diff")
    equal("length of the diff", 32 * MIB, os.path.getsize(t.path("memory2")))
    pages = len(data_pages(t, "memory2"))
    equal(f"at most 4 pages in the diff, and it has {pages}", True, pages <= 4)
    client.state("Resumed")
    counts(served)
    client.state("Paused")
    create(client, "state2", "memory2", kind="Diff")
    pages = len(data_pages(t, "memory2"))
    equal(f"1 to 16 pages in the next, and it has {pages}", True, 1 <= pages <= 16)
    served.stop()


@case
def snapshot_diffs_merged_are_the_full_memory(t):
    """snapshot.md 3: base and two diffs, oldest first, are byte for byte what a Full shows."""
    served, client = boot_pages(t, track_dirty_pages=True)
    told(served, "7")
    client.state("Paused")
    create(client)
    for order in ("3", "z"):
        client.state("Resumed")
        told(served, order)
        client.state("Paused")
        create(client, "state2", "memory2", kind="Diff")
        equal("changed pages in the diff", PAGES, data_pages(t, "memory2") & PAGES)
        merge(t, "memory2", "memory")
        os.unlink(t.path("memory2"))
    create(client, "state2", "memory2")
    equal("memory", sha(t, "memory2"), sha(t, "memory"))
    stop_pages(served)
    served, _ = load_pages(t, state="state2")
    equal("sum", sum_of(0), told(served, "s"))
    stop_pages(served)


@case
def snapshot_page_that_became_zero_is_in_the_diff(t):
    """As zeros: a hole of a diff says that nothing changed."""
    served, client = boot_pages(t, track_dirty_pages=True)
    told(served, "7")
    client.state("Paused")
    create(client)
    client.state("Resumed")
    told(served, "z")
    client.state("Paused")
    create(client, "state2", "memory2", kind="Diff")
    equal("pages of the diff", PAGES, data_pages(t, "memory2") & PAGES)
    with open(t.path("memory2"), "rb") as file:
        equal("their bytes", b"", os.pread(file.fileno(), 16 * PAGE, FIRST_PAGE * PAGE).strip(b"\0"))
    stop_pages(served)


@case
def snapshot_diff_merges_in_place(t):
    """snapshot.md 3: onto a base of the same length. Its file stays the same file."""
    served, client = boot_pages(t, track_dirty_pages=True)
    told(served, "7")
    client.state("Paused")
    create(client)
    inode = os.stat(t.path("memory")).st_ino
    for order in ("3", "z", "5"):
        client.state("Resumed")
        told(served, order)
        client.state("Paused")
        create(client, kind="Diff")
    equal("inode", inode, os.stat(t.path("memory")).st_ino)
    create(client, "state2", "memory2")
    equal("memory", sha(t, "memory2"), sha(t, "memory"))
    stop_pages(served)
    served, _ = load_pages(t)
    equal("sum", sum_of(5), told(served, "s"))
    stop_pages(served)


@case
def snapshot_diff_onto_another_length_starts_anew(t):
    """snapshot.md 3: nothing of the old file may look like a change. Also where the file cannot be replaced."""
    served, client = paused(t, track_dirty_pages=True)
    create(client)
    t.write("v", b"\xff" * (3 * MIB))
    os.link(t.path("v"), t.path("memory2"))
    t.write("v2", b"\xff" * (3 * MIB))
    for name in ("v2", "memory2"):
        create(client, "state2", name, kind="Diff")
        equal(f"length of {name}", 32 * MIB, os.path.getsize(t.path(name)))
        pages = data_pages(t, name)
        with open(t.path(name), "rb") as file:
            old = sum(os.pread(file.fileno(), PAGE, page * PAGE) == b"\xff" * PAGE for page in pages)
        equal(f"pages of the old {name}", 0, old)
        equal(f"few pages in {name}", True, len(pages) <= 4)
    served.stop()


@case
def snapshot_diff_onto_the_longer_file_that_the_vm_is_mapped_from(t):
    """It can neither be merged nor shortened: refused, and the VM goes on."""
    last = saved(t)
    os.truncate(t.path("memory"), 33 * MIB)
    os.link(t.path("memory"), t.path("memory2"))
    before = sha(t, "memory")
    served, client = load(t, track_dirty_pages=True)
    goes_on(served, last)
    client.state("Paused")
    client.refused_like("PUT", "/snapshot/create", create_body("state2", "memory2", "Diff"),
                        "this VM is mapped from it")
    equal("the file", before, sha(t, "memory"))
    client.state("Resumed")
    counts(served)
    served.stop()


def first_diff(tracked):
    def run(t):
        served, client = paused(t, track_dirty_pages=tracked)
        create(client, kind="Diff")
        last = numbers(served.vm.out)[-1]
        create(client, "state2", "memory2")
        served.stop()
        equal("memory", sha(t, "memory2"), sha(t, "memory"))
        served, _ = load(t)
        goes_on(served, last)
        served.stop()
    run.__name__ = f"snapshot_first_diff_of_a_booted_vm_loads_{'tracked' if tracked else 'untracked'}"
    return run


for _tracked in (True, False):
    case(first_diff(_tracked))


@case
def snapshot_diff_without_tracking_is_right(t):
    """All that the host has in memory, which is more than what changed, of a booted VM and of a loaded one."""
    served, client = boot_pages(t)
    told(served, "7")
    client.state("Paused")
    create(client)
    client.state("Resumed")
    told(served, "z")
    client.state("Paused")
    create(client, "state2", "memory2", kind="Diff")
    equal("changed pages in the diff", PAGES, data_pages(t, "memory2") & PAGES)
    merge(t, "memory2", "memory")
    stop_pages(served)
    for order in ("3", "z"):
        served, client = load_pages(t, state="state2")
        told(served, order)
        client.state("Paused")
        os.unlink(t.path("memory2"))
        create(client, "state2", "memory2", kind="Diff")
        merge(t, "memory2", "memory")
        os.unlink(t.path("memory2"))
        create(client, "v", "memory2")
        equal("memory", sha(t, "memory2"), sha(t, "memory"))
        stop_pages(served)
    served, _ = load_pages(t, state="state2")
    equal("sum", sum_of(0), told(served, "s"))
    stop_pages(served)


@case
def snapshot_chain_of_diffs_of_loaded_vms(t):
    """Each generation is loaded from the merged base with the latest state, and tracked."""
    served, client = boot_pages(t)
    client.state("Paused")
    create(client)
    stop_pages(served)
    for value in "1234":
        served, client = load_pages(t, track_dirty_pages=True)
        told(served, value)
        client.state("Paused")
        create(client, "state", "memory2", kind="Diff")
        pages = len(data_pages(t, "memory2"))
        equal(f"16 to 40 pages in the diff, and it has {pages}", True, 16 <= pages <= 40)
        stop_pages(served)
        merge(t, "memory2", "memory")
        os.unlink(t.path("memory2"))
    served, _ = load_pages(t)
    equal("sum", sum_of(4), told(served, "s"))
    stop_pages(served)


# ---------------------------------------------------------------------- what cannot be made

@contextlib.contextmanager
def small_tmpfs(t, size):
    """A file system at `v` with room for so many bytes."""
    os.mkdir(t.path("v"))
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", t.path("v")], capture_output=True,
                          check=False)
    if done.returncode != 0:
        skip("no file system can be mounted here")
    try:
        yield
    finally:
        subprocess.run(["umount", "-l", t.path("v")], check=True)


@case
def snapshot_diff_that_fails_loses_nothing(t):
    """snapshot.md 3: what it had taken from the log is in the next."""
    with small_tmpfs(t, 8 * PAGE):
        served, client = boot_pages(t, track_dirty_pages=True)
        told(served, "7")
        client.state("Paused")
        create(client)
        client.state("Resumed")
        told(served, "z")
        told(served, "5")
        client.state("Paused")
        for _ in range(2):
            client.refused_like("PUT", "/snapshot/create", create_body("state2", "v/memory", "Diff"), NO_SPACE)
            equal("files left", [], os.listdir(t.path("v")))
        create(client, "state2", "memory2", kind="Diff")
        equal("changed pages in the diff", PAGES, data_pages(t, "memory2") & PAGES)
        merge(t, "memory2", "memory")
        create(client, "state2", "memory2")
        equal("memory", sha(t, "memory2"), sha(t, "memory"))
        stop_pages(served)


@case
def snapshot_without_space_leaves_the_old_pair(t):
    """Row 82. The VM goes on, and with space the next is made."""
    with small_tmpfs(t, 96 * PAGE):
        served, client = paused(t)
        create(client, "v/state", "v/memory")
        last = numbers(served.vm.out)[-1]
        before = sha(t, "v/state"), sha(t, "v/memory")
        t.write("v/fill", b"x" * (96 * PAGE - allocated(t, "v/state") - allocated(t, "v/memory") - 2 * PAGE))
        client.state("Resumed")
        counts(served)
        client.state("Paused")
        client.refused_like("PUT", "/snapshot/create", create_body("v/state", "v/memory"), NO_SPACE)
        equal("files", ["fill", "memory", "state"], sorted(os.listdir(t.path("v"))))
        equal("the old pair", before, (sha(t, "v/state"), sha(t, "v/memory")))
        client.state("Resumed")
        counts(served)
        clone, _ = load(t, state="v/state", memory="v/memory")
        goes_on(clone, last)
        clone.stop()
        os.unlink(t.path("v/fill"))
        client.state("Paused")
        create(client, "v/state", "v/memory")
        last = numbers(served.vm.out)[-1]
        served.stop()
        served, _ = load(t, state="v/state", memory="v/memory")
        goes_on(served, last)
        served.stop()


@case
def snapshot_onto_one_file_is_refused(t):
    """By the same path, another spelling, a hard link and a symbolic link; and nothing is changed."""
    served, client = paused(t)
    t.write("state", "precious")
    os.link(t.path("state"), t.path("state2"))
    os.symlink("state", t.path("memory2"))
    for one, other in (("state", "state"), ("state", "./state"), ("state", "state2"), ("state", "memory2"),
                       ("memory2", t.path("state2")), ("new", "new"), ("new", "./new")):
        client.refused_like("PUT", "/snapshot/create", create_body(one, other), "are the same file")
    equal("the file", "precious", t.read("state"))
    create(client)
    served.stop()


@case
def snapshot_onto_what_is_no_file_is_refused(t):
    """A missing directory, a directory, a FIFO, a name too long, a file as directory: snapshot.md 2's sentences."""
    served, client = paused(t)
    os.mkdir(t.path("v"))
    os.mkfifo(t.path("v2"))
    t.write("memory2", "x")
    for path, reason in (("none/x", "No such file or directory (os error 2)"), ("v", "Is a directory (os error 21)"),
                         ("memory2/x", "Not a directory (os error 20)"), ("x" * 300, "Filename too long (os error 36)"),
                         ("x/" * 2100, "Filename too long (os error 36)"),
                         ("", "No such file or directory (os error 2)"),
                         ("v2", "it is no regular file")):
        for what, body in (("snapshot", create_body(path, "memory")), ("memory", create_body("state", path))):
            client.refused_like("PUT", "/snapshot/create", body,
                                f"{CREATE_FAILED}Cannot perform open on the {what} backing file: {reason}")
    equal("files made", [False, False], [os.path.exists(t.path(name)) for name in ("state", "memory")])
    client.state("Resumed")
    counts(served)
    served.stop()


@case
def snapshot_files_of_the_longest_names(t):
    """What a file system takes as a name, 255 bytes, is taken here."""
    state, memory = "s" * 255, "m" * 255
    served, client = paused(t)
    served.vm.may_leave.update((state, memory))
    for _ in range(2):
        create(client, state, memory)
    last = numbers(served.vm.out)[-1]
    served.stop()
    equal("files of these names", 2, sum(name in (state, memory) for name in os.listdir(t.dir)))
    equal("temporary files", [], [name for name in os.listdir(t.dir) if "tmp" in name])
    served, _ = load(t, state=state, memory=memory)
    served.vm.may_leave.update((state, memory))
    goes_on(served, last)
    served.stop()


@case
def snapshot_into_a_directory_without_rights(t):
    """snapshot.md 2's sentence where nothing can be made; what is there and writable is written in place, and said."""
    os.mkdir(t.path("v"))
    served, client = paused(t, prefix=("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"))
    for name in ("state", "memory"):
        t.write("v/" + name, "")
    os.chmod(t.path("v"), 0o555)
    denied = "Permission denied (os error 13)"
    client.refused_like("PUT", "/snapshot/create", create_body("v/new", "memory"),
                        "Cannot perform open on the snapshot backing file: " + denied)
    client.refused_like("PUT", "/snapshot/create", create_body("state", "v/new"),
                        "Cannot perform open on the memory backing file: " + denied)
    equal("temporary files", [], [name for name in os.listdir(t.dir) if "tmp" in name])
    for _ in range(2):
        create(client, "v/state", "v/memory")
    equal("warnings", 4, sum("is written in place" in line for line in messages(t.log)))
    last = numbers(served.vm.out)[-1]
    served.stop()
    served, _ = load(t, state="v/state", memory="v/memory")
    goes_on(served, last)
    served.stop()


@case
def snapshot_onto_a_file_that_may_not_be_written(t):
    """A file is replaced, as rename does it: its own mode is no hindrance."""
    saved(t)
    os.chmod(t.path("memory"), 0o444)
    served, client = paused(t, prefix=("setpriv", "--bounding-set=-dac_override", "--inh-caps=-dac_override"))
    create(client)
    served.stop()


@case
def snapshot_onto_a_file_bound_into_place(t):
    """As jailers bind files: such a name cannot be replaced, and is written in place."""
    for name in ("state", "memory", "state2", "memory2"):
        t.write(name, "")
    command = "mount --bind state2 state && mount --bind memory2 memory && exec \"$@\""
    served, client = paused(t, prefix=("unshare", "--mount", "sh", "-c", command, "sh"))
    for _ in range(2):
        create(client)
    last = numbers(served.vm.out)[-1]
    served.stop()
    equal("what is below the mounts", ("", ""), (t.read("state"), t.read("memory")))
    served, _ = load(t, state="state2", memory="memory2")
    goes_on(served, last)
    served.stop()


@case
def snapshot_longer_file_is_replaced(t):
    """An old file of another length leaves nothing behind."""
    served, client = paused(t)
    t.write("state", b"\xff" * 9 * MIB)
    t.write("memory", b"\xff" * 40 * MIB)
    create(client)
    equal("length", 32 * MIB, os.path.getsize(t.path("memory")))
    last = numbers(served.vm.out)[-1]
    served.stop()
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


@case
def snapshot_files_follow_the_umask(t):
    served, client = paused(t, prefix=("sh", "-c", 'umask 027 && exec "$@"', "sh"))
    create(client)
    for name in ("state", "memory"):
        equal(f"mode of {name}", "0o640", oct(os.stat(t.path(name)).st_mode & 0o777))
    served.stop()


@case
def snapshot_beyond_the_file_size_limit_ends_by_the_signal(t):
    """snapshot.md 2: SIGXFSZ, exit 151."""
    served, client = paused(t, prefix=("prlimit", f"--fsize={MIB}"))
    client.send_request("PUT", "/snapshot/create", create_body())
    served.vm.process.wait()
    served.vm.may_leave.update(name for name in os.listdir(t.dir) if name.endswith(".tmp"))
    t.expect_end(served.vm.wait(), 151)
    contains("log", "SIGXFSZ", t.log)
