# SPDX-License-Identifier: Apache-2.0
"""One jail of a test: a base directory, a program to put in it, the jailer's run, what is left of it."""

import fcntl
import os
import shutil
import signal
import stat
import struct
import subprocess

from api import Client
from native import BINARY, Mismatch, equal, skip, wait_until

BUILD = os.path.dirname(BINARY)
JAILER = os.path.join(BUILD, "mayfly-jailer")
PROBE = os.path.join(BUILD, "tests/lib/jailed-probe")
FAIL_CALL = os.path.join(BUILD, "tests/lib/fail-call")
FAIL_NTH = os.path.join(BUILD, "tests/lib/fail-nth")
UID, GID = 54321, 54322

# What a run does without, by number: userfaultfd's minor (newfstatat, openat, read), /dev/urandom (mknodat, fcntl,
# fchownat), the executable's mount (fstatfs, open_tree, mount_setattr), which is a copy then, which Landlock the
# kernel has (landlock_create_ruleset) and the warning that tells (write).
SPARED = {262, 257, 0, 259, 72, 260, 138, 428, 442, 444, 1}
UMOUNT2 = 166
TUNSETIFF = 0x400454CA
TAP_FLAGS = 0x0002 | 0x1000 | 0x4000  # IFF_TAP, IFF_NO_PI, IFF_VNET_HDR


def open_tap():
    """A TAP as monitors take them, which goes with its descriptor."""
    tap = os.open("/dev/net/tun", os.O_RDWR)
    try:
        fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", b"mayflyjail%d", TAP_FLAGS))
    except PermissionError:
        os.close(tap)
        skip("TAPs cannot be made here")
    return tap


def mounts(below):
    """What the host has mounted there: somebody else may mount elsewhere meanwhile."""
    with open("/proc/self/mountinfo", encoding="utf-8") as file:
        return [line for line in file if below in line]


def listing(path):
    """Every path below, with what the jailer may change of it."""
    found = {}
    for directory, names, files in os.walk(path):
        for name in names + files:
            full = os.path.join(directory, name)
            st = os.lstat(full)
            found[os.path.relpath(full, path)] = (st.st_mode, st.st_uid, st.st_gid, st.st_size)
    return found


class Jail:
    """program: its file is copied to `name` below the test's directory, owned by root unless owner says otherwise."""

    def __init__(self, t, program=PROBE, name="probe", owner=0, ident="vm-1"):
        self.t, self.name, self.id = t, name, ident
        self.exec_file = t.path(name)
        # By a rename: an earlier jail's threads may still run the file of that name.
        fresh = t.path(name + ".new")
        shutil.copy(program, fresh)
        os.chmod(fresh, 0o755)
        os.chown(fresh, owner, owner)
        os.replace(fresh, self.exec_file)
        self.base = t.path("jails")
        os.makedirs(self.base, exist_ok=True)
        os.chmod(t.dir, 0o755)
        self.root = os.path.join(self.base, name, ident, "root")
        self.pids = []
        t.at_end.append(self.kill)

    def path(self, name):
        return os.path.join(self.root, name)

    def options(self, *more, **replaced):
        """The four that are needed, and the base. replaced: others; None: none."""
        values = {"id": self.id, "exec-file": self.exec_file, "uid": str(UID), "gid": str(GID),
                  "chroot-base-dir": self.base}
        values.update({key.replace("_", "-"): value for key, value in replaced.items()})
        words = []
        for key, value in values.items():
            words += [f"--{key}", value] if value is not None else []
        return [*words, *more]

    def run(self, *more, monitor=(), prefix=(), env=None, pass_fds=(), timeout_s=20, **replaced):
        """Runs the jailer, and with it what it becomes, to the end."""
        command = [*prefix, JAILER, *self.options(*more, **replaced), "--", *monitor]
        return subprocess.run(command, cwd=self.t.dir, capture_output=True, text=True, timeout=timeout_s,
                              stdin=subprocess.DEVNULL, env=env, pass_fds=pass_fds, check=False)

    def start(self, *more, monitor=(), pass_fds=(), stdout=subprocess.DEVNULL, prefix=(), **replaced):
        """Starts it and goes on."""
        process = subprocess.Popen([*prefix, JAILER, *self.options(*more, **replaced), "--", *monitor], cwd=self.t.dir,
                                   stdin=subprocess.DEVNULL, stdout=stdout, stderr=subprocess.STDOUT,
                                   pass_fds=pass_fds)
        self.pids.append(process.pid)
        return process

    def api(self):
        """A client of its API, once that is there. The path goes by a descriptor: a socket's has 107 bytes."""
        wait_until("the API's socket", lambda: os.path.exists(self.path("run/firecracker.socket")))
        fd = os.open(self.path("run"), os.O_PATH | os.O_DIRECTORY)
        try:
            return Client(f"/proc/self/fd/{fd}/firecracker.socket")
        finally:
            os.close(fd)

    def pid(self):
        """What the pid file says, when it is whole."""
        def read():
            try:
                with open(self.path(f"{self.name}.pid"), encoding="ascii") as file:
                    return file.read()
            except FileNotFoundError:
                return ""
        text = wait_until("the pid file", read)
        if not text.isdigit():
            raise Mismatch("pid file", "digits alone", repr(text))
        self.pids.append(int(text))
        return int(text)

    def monitor(self):
        """As pid, once the jailer has become the program. Returns its pid and its words."""
        pid = self.pid()

        def words():
            with open(f"/proc/{pid}/cmdline", encoding="ascii") as file:
                found = file.read().split("\0")
            return found if found[0] == f"/{self.name}" else None
        return pid, wait_until("the monitor's words", words)

    def kill(self):
        """Ends what runs of it. A case that failed ahead of this has it done behind it."""
        for pid in self.pids:
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
            try:
                os.waitpid(pid, 0)
            except ChildProcessError:
                wait_until(f"the end of {pid}", lambda pid=pid: not os.path.exists(f"/proc/{pid}") or is_dead(pid))
        self.pids = []


def is_dead(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="utf-8") as file:
            return file.read().rsplit(")", 1)[1].split()[0] == "Z"
    except (FileNotFoundError, ProcessLookupError):
        return True


def probe(text):
    """What a probe printed: key -> value, words of `env` and `argv` as lists."""
    seen = {"env": [], "argv": []}
    for line in text.splitlines():
        key, _, value = line.partition(" ")
        if key == "env" or key.startswith("argv"):
            seen["env" if key == "env" else "argv"].append(value)
        else:
            seen[key] = value
    if "end" not in seen:
        raise Mismatch("output of the probe", "whole", text)
    return seen


def refused(jail, done, sentence, before):
    """Exit 1 with the sentence, first as it is, then as clients look for it; and nothing is left."""
    equal("exit status", 1, done.returncode)
    told = done.stderr.rpartition("Error: ")[2]
    if sentence not in told or not done.stderr.endswith(f"{told}Error: {told}"):
        raise Mismatch("stderr", f"{sentence!r}, twice", done.stderr)
    equal("what is below the base", before, listing(jail.base))


def remove_cgroups(parent, *ids):
    """Those of version 1 below `parent`, and it, from every hierarchy; who was in them has to have ended."""
    for controller in os.listdir("/sys/fs/cgroup"):
        top = os.path.join("/sys/fs/cgroup", controller, parent)
        for path in (*(os.path.join(top, ident) for ident in ids), top):
            if os.path.isdir(path):
                wait_until(f"an empty {path}", lambda path=path: try_rmdir(path))


def try_rmdir(path):
    try:
        os.rmdir(path)
    except OSError:
        return False
    return True


def is_private(path):
    return stat.S_IMODE(os.stat(path).st_mode) == 0o700
