# SPDX-License-Identifier: Apache-2.0
"""mayfly-snap on real snapshots of a tiny guest: what it prints, merges and refuses, what a failing system call
leaves behind, and the same under the name snapshot-editor."""

import hashlib
import os
import shutil
import subprocess

from api import Served
from cases_snapshot import boot_numbers, load_body, numbers
from native import BINARY, ROOT, case, contains, equal, is_static_build, skip, wait_until

BUILD = os.path.dirname(BINARY)
TOOL = os.path.join(BUILD, "mayfly-snap")
EDITOR = os.path.join(BUILD, "compat/snapshot-editor")
OLD_STATE = os.path.join(ROOT, "tests/unit/snapshots/golden/v1_1.state")
SIZE = 128 << 20
PAGE = 4096
CHAIN = ("full", "one", "two")  # memory files; the state files are state_full and so on
LEFT = ("first.socket", "second.socket", *CHAIN, *("state_" + name for name in CHAIN))


class Ended:
    """What a run of the tool came to."""

    def __init__(self, done):
        self.status, self.out, self.err = done.returncode, done.stdout, done.stderr


def tool(t, *args, program=TOOL, prefix=(), timeout_s=30, **options):
    done = subprocess.run([*prefix, program, *args], cwd=t.dir, text=True, check=False, timeout=timeout_s,
                          stdin=subprocess.DEVNULL, **{"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options})
    return Ended(done)


def expect(what, end, status=0, out=None, err=""):
    """err: all of stderr, or with a status other than 0 a part of its one line."""
    if status == 0:
        equal(f"stderr of {what}", err, end.err)
    else:
        contains(f"stderr of {what}", err, end.err)
        equal(f"begin of stderr of {what}", "Error: ", end.err[:7])
    equal(f"exit status of {what}", status, end.status)
    if out is not None:
        equal(f"stdout of {what}", out, end.out)


def extents(path):
    """(offset, length) of the file's data."""
    found = []
    with open(path, "rb") as file:
        size, end = os.fstat(file.fileno()).st_size, 0
        while end < size:
            try:
                start = os.lseek(file.fileno(), end, os.SEEK_DATA)
            except OSError:
                break
            end = os.lseek(file.fileno(), start, os.SEEK_HOLE)
            found.append((start, end - start))
    return found


def data_size(path):
    return sum(length for _, length in extents(path))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def merged_digest(base, *diffs):
    """What the merge should be, by Python."""
    with open(base, "rb") as file:
        content = bytearray(file.read())
    for diff in diffs:
        with open(diff, "rb") as file:
            for off, length in extents(diff):
                file.seek(off)
                content[off:off + length] = file.read(length)
    return hashlib.sha256(content).hexdigest()


def take_chain(t):
    """A Full and two Diffs of a guest that counts. Returns a number that it wrote behind the last of them."""
    first, client = boot_numbers(t, may_leave=LEFT, track_dirty_pages=True)
    for name in CHAIN:
        before = len(numbers(first.vm.out))
        wait_until("more numbers", lambda old=before: len(numbers(first.vm.out)) > old + 2)
        client.state("Paused")
        client.put("/snapshot/create", {"snapshot_path": "state_" + name, "mem_file_path": name,
                                        "snapshot_type": "Full" if name == "full" else "Diff"})
        client.state("Resumed")
    last = numbers(first.vm.out)[-1]
    first.stop()
    return last


def copy(t, name, to):
    subprocess.run(["cp", "--sparse=always", t.path(name), t.path(to)], check=True)
    return to


def load_goes_on(t, memory, state, most):
    """The merged memory is one that a guest runs from; it counts on from where the state is."""
    second = Served(t, name="second.socket", may_leave=(*LEFT, *os.listdir(t.dir)))
    client = second.connect()
    client.put("/snapshot/load", load_body(snapshot_path=state, resume_vm=True,
                                           mem_backend={"backend_path": memory, "backend_type": "File"}))
    wait_until("more numbers", lambda: len(numbers(second.vm.out)) > 3)
    seen = numbers(second.vm.out)
    second.stop()
    os.unlink(t.path("second.socket"))
    equal("the next numbers", list(range(seen[0], seen[0] + len(seen))), seen)
    equal(f"the first of them ({seen[0]}) is at most {most + 2}", True, seen[0] <= most + 2)


@case
def snap_tool_merges_a_chain_that_loads(t):
    last = take_chain(t)
    want = merged_digest(t.path("full"), t.path("one"), t.path("two"))
    before = digest(t.path("full"))
    expect("first merge", tool(t, "merge", "full", "one", "--state", "state_one", "--output", "a"),
           out=f"{data_size(t.path('one'))} bytes merged\n")
    expect("second merge", tool(t, "merge", "--state=state_two", "a", "two"),
           out=f"{data_size(t.path('two'))} bytes merged\n")
    equal("the merged memory", want, digest(t.path("a")))
    equal("the base", before, digest(t.path("full")))
    equal("its size", SIZE, os.stat(t.path("a")).st_size)
    equal("it is sparse", True, os.stat(t.path("a")).st_blocks * 512 < SIZE // 8)
    equal("its mode is the base's", os.stat(t.path("full")).st_mode, os.stat(t.path("a")).st_mode)
    load_goes_on(t, "a", "state_two", last)


@case
def snap_tool_editor_does_the_same(t):
    last = take_chain(t)
    want = merged_digest(t.path("full"), t.path("one"), t.path("two"))
    expect("rebase", tool(t, "edit-memory", "rebase", "--memory-path", "full", "--diff-path", "one", program=EDITOR),
           out="")
    expect("rebase", tool(t, "edit-memory", "rebase", "-d", "two", "--memory-path=full", program=EDITOR), out="")
    equal("the merged memory", want, digest(t.path("full")))
    load_goes_on(t, "full", "state_two", last)
    expect("version", tool(t, "info-vmstate", "version", "--vmstate-path", "state_two", program=EDITOR),
           out="v1.2.0\n")
    vcpus = tool(t, "info-vmstate", "vcpu-states", "--vmstate-path", "state_two", program=EDITOR)
    expect("vcpu-states", vcpus, out=vcpus.out)
    for part in ("vcpu 0:\n  mp_state: ", "\n  rip: 0x1", "\n  cs: selector 0x", "\n  cpuid 0x1.0x0: eax 0x", "\n  msr 0x10: 0x"):
        equal(f"{part!r} in vcpu-states", 1, vcpus.out.count(part))
    vm_state = tool(t, "info-vmstate", "vm-state", "-v", "state_two", program=EDITOR)
    expect("vm-state", vm_state, out=vm_state.out)
    for part in ("vcpus: 1\nirqchip: split\n", f"\nmemory: base 0x0, size {SIZE:#x}\n", "\nvmgenid: base 0x"):
        equal(f"{part!r} in vm-state", True, part in vm_state.out)
    other = tool(t, "--version", program=os.path.join(BUILD, "compat/firecracker"))
    expect("--version", tool(t, "--version", program=EDITOR),
           out=other.out.split("\n")[0].replace("Firecracker", "snapshot-editor") + "\n")
    equal("it is a real file", False, os.path.islink(EDITOR))
    expect("a wrong command line", tool(t, "edit-memory", "rebase", "--memory-path", "full", program=EDITOR),
           status=2, err="--diff-path is missing\nusage: ")
    expect("a file that is not there", tool(t, "info-vmstate", "version", "-v", "none", program=EDITOR), status=1,
           err="No such file or directory (os error 2) (none)\n")
    t.write("none", "no state file")
    for verb in ("vcpu-states", "vm-state"):
        expect(f"{verb} of none", tool(t, "info-vmstate", verb, "-v", "none", program=EDITOR), status=1, err="Error: Failed "
               "to load snapshot state from file: unrecognised state file format (not created by this VMM)")


@case
def snap_tool_verifies_before_it_changes(t):
    take_chain(t)  # a diff of this guest has so few pages that all are samples; of a Full, only some are
    before = digest(t.path("full"))
    wrong = "is not the memory of the state file state_one: EINVAL: the page at byte "
    expect("merge with an older state", tool(t, "merge", "full", "two", "--state", "state_one"), status=1, err=wrong)
    equal("the base", before, digest(t.path("full")))
    expect("merge out with an older state",
           tool(t, "merge", "full", "two", "--state", "state_one", "--output", "out"), status=1, err=wrong)
    equal("an output", False, os.path.exists(t.path("out")))


@case
def snap_tool_refuses_a_diff_that_does_not_follow(t):
    take_chain(t)
    before = digest(t.path("full"))
    expect("the last onto the first", tool(t, "merge", "full", "two", "--state=state_two", "--base-state=state_full"),
           status=1, err="state_two does not follow state_full: EINVAL: it was made after another snapshot. Merge ")
    expect("the first onto the second", tool(t, "merge", "one", "full", "--state=state_full", "--base-state=state_one"),
           status=1, err="state_full does not follow state_one: EINVAL: it was made after none, as a VM's first")
    shutil.copyfile(OLD_STATE, t.path("old"))
    expect("an older format", tool(t, "merge", "full", "one", "--state", "state_one", "--base-state", "old"), status=1,
           err="old has no id: EINVAL. A build with format 1.1 or older wrote it")
    expect("no --state", tool(t, "merge", "full", "one", "--base-state", "state_full"), status=1,
           err="--base-state is of no use without --state: EINVAL")
    expect("output onto a state", tool(t, "merge", "full", "one", "--state", "state_one", "--base-state", "state_full",
                                       "--output", "state_full"), status=1, err="it is the diff or a state file")
    equal("the base", before, digest(t.path("full")))
    expect("in their order", tool(t, "merge", "full", "one", "--state", "state_one", "--base-state", "state_full"))
    expect("in their order", tool(t, "merge", "full", "two", "--state", "state_two", "--base-state", "state_one"))


@case
def snap_tool_info_and_unique(t):
    take_chain(t)
    end = tool(t, "info", "state_full")
    expect("info", end)
    contains("stdout", "format: v1.2.0\ntaken by: mayfly ", end.out)
    end = tool(t, "info", "state_full", "full")
    expect("info with memory", end)
    found = extents(t.path("full"))
    contains("stdout", f"memory file: full\nsize: {SIZE} bytes\nallocated: {os.stat(t.path('full')).st_blocks * 512} "
             f"bytes\ndata: {data_size(t.path('full'))} bytes in {len(found)} extents\nsampled pages match: yes\n",
             end.out)
    end = tool(t, "info", "state_two", "full")
    expect("info of no pair", end, status=1, err="full is not the memory of the state file state_two: EINVAL: the page")
    contains("stdout", "sampled pages match: no\n", end.out)

    copy(t, "full", "clone")
    with open(t.path("clone"), "r+b") as file:
        os.pwrite(file.fileno(), b"x", SIZE - 1)
    os.truncate(t.path("one"), SIZE // 2)  # shorter is fine
    pages, pages_one = data_size(t.path("full")) // PAGE, data_size(t.path("one")) // PAGE
    end = tool(t, "unique", "full", "clone", "full", "one")
    expect("unique", end)
    lines = end.out.splitlines()
    equal("lines", [
        f"full: {pages} data pages ({pages * PAGE} bytes)",
        f"clone: {pages + 1} data pages ({(pages + 1) * PAGE} bytes), 1 different ({PAGE} bytes)",
        f"full: {pages} data pages ({pages * PAGE} bytes), 0 different (0 bytes)",
    ], lines[:3])
    contains("of the diff", f"one: {pages_one} data pages ({pages_one * PAGE} bytes), ", lines[3])


@case
def snap_tool_help_and_version(t):
    end = tool(t, "--help")
    expect("--help", end)
    contains("stdout", "usage: mayfly-snap info STATE [MEMORY]\n", end.out)
    expect("--version", tool(t, "merge", "--version"), out="mayfly-snap v0.1.0 (snapshot format v1.2.0)\n")
    with open("/dev/full", "w", encoding="ascii") as full:
        expect("--help on a full disk", tool(t, "--help", stdout=full), status=1,
               err="Cannot write to standard output: No space left on device (os error 28) (ENOSPC)")


COMMAND_LINES = [
    ([], "A command is missing"),
    (["frob"], "Unknown command 'frob'"),
    (["info"], "STATE is missing"),
    (["info", "a", "b", "c"], "Unexpected argument 'c'"),
    (["info", ""], "A path is empty"),
    (["info", "-x", "a"], "Unknown option '-x'"),
    (["merge", "a"], "DIFF_MEMORY is missing"),
    (["merge", "a", "b", "--output"], "--output needs a path"),
    (["merge", "a", "b", "--output="], "--output needs a path"),
    (["merge", "a", "b", "--outputs=c"], "Unknown option '--outputs=c'"),
    (["merge", "a", "b", "--state", "c", "--state", "d"], "--state is there more than once"),
    (["merge", "--", "a", "--state"], "Cannot write a: ENOENT"),
    (["unique", "a"], "OTHER is missing"),
    (["unique", "a", *["b"] * 65], "More than 64 files to compare: name fewer"),
]


@case
def snap_tool_refuses_command_lines(t):
    for args, sentence in COMMAND_LINES:
        end = tool(t, *args)
        expect(f"{args}", end, status=1, out="", err=sentence)
        equal(f"usage behind {args}", sentence != "Cannot write a: ENOENT", "\nusage: mayfly-snap" in end.err)


def content(t, name):
    with open(t.path(name), "rb") as file:
        return file.read()


def make_bad_files(t):
    os.mkdir(t.path("dir"))
    os.mkfifo(t.path("fifo"))
    t.write("empty", "")
    t.write("odd", "x" * 5000)
    t.write("page", b"\1" * PAGE)
    t.write("pages", b"\2" * PAGE * 2)
    t.write("other", b"\3" * PAGE)
    os.symlink("page", t.path("link"))
    os.link(t.path("page"), t.path("hard"))
    with open(t.path("huge"), "wb") as file:
        file.truncate((1 << 40) + PAGE)


BAD_FILES = [
    (["merge", "none", "page"], "Cannot write none: ENOENT: No such file or directory (os error 2). Check the path"),
    (["merge", "page", "none"], "Cannot open none: ENOENT: "),
    (["merge", "dir", "page"], "dir is a directory: EISDIR. Name the memory file in it"),
    (["merge", "page", "dir"], "dir is a directory: EISDIR"),
    (["merge", "fifo", "page"], "fifo is no regular file: EINVAL"),
    (["merge", "page", "fifo"], "fifo is no regular file: EINVAL"),
    (["merge", "page", "/dev/zero"], "/dev/zero is no regular file: EINVAL"),
    (["merge", "empty", "page"], "empty has 0 bytes, no whole number of 4096-byte pages: EINVAL"),
    (["merge", "page", "odd"], "odd has 5000 bytes, no whole number of 4096-byte pages: EINVAL"),
    (["merge", "page", "pages"], "page has 4096 bytes and pages has 8192: EINVAL. A diff and its base"),
    (["merge", "page", "huge"], "huge has 1099511631872 bytes, more than the 1099511627776 of any guest: EFBIG"),
    (["merge", "page", "page"], "page and page are the same file: EINVAL"),
    (["merge", "page", "link"], "page and link are the same file: EINVAL"),
    (["merge", "page", "hard"], "page and hard are the same file: EINVAL"),
    (["merge", "page/x", "page"], "Cannot write page/x: ENOTDIR"),
    (["merge", "page", "other", "--output", "dir"], "Cannot make dir: EISDIR"),
    (["merge", "page", "other", "--output", "fifo"], "Cannot make fifo: EINVAL: there is something that is no "),
    (["merge", "page", "other", "--output", "link"], "Cannot make link: EINVAL: there is something that is no "),
    (["merge", "page", "other", "--output", "other"], "Cannot make other: EINVAL: it is the diff or a state file"),
    (["merge", "page", "other", "--output", "none/x"], "Cannot make none/x: ENOENT"),
    (["merge", "page", "other", "--output", "x" * 5000], ": ENAMETOOLONG"),
    (["merge", "page", "other", "--state", "page"], "unrecognised state file format"),
    (["merge", "page", "other", "--state", "dir"], "it is no regular file (dir)"),
    (["merge", "page", "other", "--state", "huge"], "more than the 10000000 of any (huge)"),
    (["unique", "page", "none"], "Cannot open none: ENOENT"),
    (["unique", "odd", "page"], "odd has 5000 bytes"),
    (["info", "page"], "unrecognised state file format"),
    (["info", "fifo"], "it is no regular file (fifo)"),
    (["info", "none"], "Failed to open snapshot file: No such file or directory (os error 2) (none)"),
]


@case
def snap_tool_refuses_files(t):
    make_bad_files(t)
    left = sorted(os.listdir(t.dir))
    for args, sentence in BAD_FILES:
        expect(f"{args}", tool(t, *args), status=1, err=sentence)
        equal(f"files after {args}", left, sorted(os.listdir(t.dir)))
    equal("the base after all", b"\1" * PAGE, content(t, "page"))


@case
def snap_tool_warns_of_a_diff_without_holes(t):
    make_bad_files(t)
    end = tool(t, "merge", "page", "other", "--output", "page")  # the base's own name is free to take
    equal("exit status", 0, end.status)
    equal("stdout", f"{PAGE} bytes merged\n", end.out)
    contains("stderr", "Warning: other has no hole, so the result has nothing of the base.", end.err)
    equal("the result", b"\3" * PAGE, content(t, "page"))
    equal("the base's other name", b"\1" * PAGE, content(t, "hard"))


# Calls that fail, and the sentence; what comes behind the name of a call is strace's.
FAULTS = [
    (["copy_file_range:error=EIO"], "Cannot copy into out: EIO: I/O error (os error 5). The disk has failed"),
    (["copy_file_range:error=ENOSPC:when=3"], "Cannot copy into out: ENOSPC"),
    (["copy_file_range:error=EXDEV", "pwrite64:error=EIO:when=2"], "Cannot write out: EIO"),
    (["copy_file_range:error=EXDEV", "pread64:error=EIO:when=2"], "Cannot read "),
    (["fsync:error=EIO:when=1"], "Cannot make durable out: EIO"),
    (["ftruncate:error=EFBIG"], "Cannot set the length of out: EFBIG"),
    (["lseek:error=EIO:when=4"], "Cannot find the "),
    (["lseek:error=EINVAL"], "Cannot find the data of base: EINVAL: Invalid argument (os error 22). Its file system "),
    (["rename:error=EIO"], "Cannot make out: EIO"),
    (["linkat:error=EACCES"], "Cannot make out: EACCES"),
    (["linkat:error=EEXIST:when=1..3", "rename:error=ENOSPC"], "Cannot make out: ENOSPC"),
]


def inject(*faults):
    """The command that makes calls fail; none shares blocks, so that all is copied."""
    faults = ("ioctl:error=EOPNOTSUPP", *faults)
    return ("strace", "-qq", "-o", "/dev/null", *(word for fault in faults for word in ("-e", "inject=" + fault)))


def sparse_pair(t):
    """A base and a diff with some extents each, some of them at the same places. Returns the merge's digest."""
    for name, start in (("base", 0), ("diff", 2)):
        with open(t.path(name), "wb") as file:
            file.truncate(64 * PAGE)
            for page in range(start, 60, 7 - start):
                os.pwrite(file.fileno(), bytes([page + 1]) * PAGE, page * PAGE)
    with open(t.path("diff"), "r+b") as file:
        os.pwrite(file.fileno(), bytes(PAGE), 14 * PAGE)  # a page that has become zero is no hole
    return merged_digest(t.path("base"), t.path("diff"))


def has_nameless_files(t):
    try:
        os.close(os.open(t.dir, os.O_TMPFILE | os.O_RDWR))
    except OSError:
        return False
    return True


def need_strace():
    if not shutil.which("strace"):
        skip("there is no strace")
    if not is_static_build():
        skip("a dynamic loader's own calls would be counted")


@case
def snap_tool_output_is_whole_or_as_it_was(t):
    need_strace()
    want = sparse_pair(t)
    t.write("out", "old")
    before, left = digest(t.path("base")), sorted(os.listdir(t.dir))
    for faults, sentence in FAULTS if has_nameless_files(t) else FAULTS[:-2]:
        end = tool(t, "merge", "base", "diff", "--output", "out", prefix=inject(*faults))
        expect(f"{faults}", end, status=1, out="", err=sentence)
        equal(f"files after {faults}", left, sorted(os.listdir(t.dir)))
        equal(f"output after {faults}", "old", t.read("out"))
        equal(f"base after {faults}", before, digest(t.path("base")))
    for fault in ("fsync:signal=KILL:when=1", "copy_file_range:signal=KILL:when=5"):
        tool(t, "merge", "base", "diff", "--output", "out", prefix=inject(fault))
        equal(f"output after {fault}", "old", t.read("out"))
    expect("the same without faults", tool(t, "merge", "base", "diff", "--output", "out"))
    equal("the output", want, digest(t.path("out")))


@case
def snap_tool_output_by_a_name(t):
    """Where a file system has no files without a name (O_TMPFILE), and the kernel copies nothing."""
    need_strace()
    want = sparse_pair(t)
    left = sorted([*os.listdir(t.dir), "out"])
    faults = ("openat:error=EOPNOTSUPP:when=3", "copy_file_range:error=ENOSYS")
    end = tool(t, "merge", "base", "diff", "--output", "out", prefix=inject(*faults, "fsync:error=EIO"))
    expect("merge with a fault", end, status=1, err="Cannot make durable out: EIO")
    equal("files left", left, sorted([*os.listdir(t.dir), "out"]))
    expect("merge", tool(t, "merge", "base", "diff", "--output", "out", prefix=inject(*faults)))
    equal("the output", want, digest(t.path("out")))
    equal("files left", left, sorted(os.listdir(t.dir)))


@case
def snap_tool_output_of_the_longest_name(t):
    want = sparse_pair(t)
    name = "o" * 255
    expect("merge", tool(t, "merge", "base", "diff", "--output", name))
    equal("the output", want, digest(t.path(name)))
    expect("a longer one", tool(t, "merge", "base", "diff", "--output", name + "o"), status=1, err=": ENAMETOOLONG: ")


@case
def snap_tool_in_place_goes_on_after_a_fault(t):
    need_strace()
    want = sparse_pair(t)
    for fault in ("copy_file_range:error=EIO:when=3", "copy_file_range:signal=KILL:when=4", "fsync:error=EIO"):
        end = tool(t, "merge", "base", "diff", prefix=inject(fault))
        equal(f"success with {fault}", False, end.status == 0)
        if "error" in fault:
            contains(f"stderr of {fault}", "Error: A part may be merged; merge again, or take the base anew: Cannot ",
                     end.err)
    expect("merge again", tool(t, "merge", "base", "diff"))
    equal("the result", want, digest(t.path("base")))
