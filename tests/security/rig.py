# SPDX-License-Identifier: Apache-2.0
"""The host of the escape suite: folders, sockets and processes that a monitor must not reach, and the monitors.

All of it is in a network and a mount namespace of its own, so that attempts that succeed change nothing of the real
host."""

import ctypes
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/native"))

import api  # noqa: E402: its folder had to be added first
import native  # noqa: E402
import rootless_tools  # noqa: E402
import snapshot_tools  # noqa: E402

BUILD = os.path.dirname(native.BINARY)
INJECT = os.path.join(BUILD, "tests/security/inject/inject")
JAILER = os.environ.get("MAYFLY_JAILER") or os.path.join(BUILD, "mayfly-jailer")
GUEST = native.guest("count")
UID = 10042  # of monitors that root jails; nobody's
HANDLERS = "/dev/userfaultfd"  # what page-fault handlers take
ABSTRACT = "@mayfly-escape"
TAP = "escape1"  # another VM's; the injector knows its name
PAIR = ("state", "memory")
INJECT_S = 120  # many times what it takes
PR_SET_CHILD_SUBREAPER = 36


def adopt_orphans():
    """Jailed monitors lose their parent, the jailer; they become children of this process."""
    ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


class Host:
    """What lies outside. Its folder is below `scratch`, open to every user: only walls protect it."""

    def __init__(self, scratch):
        self.scratch = scratch
        self.outside = os.path.join(scratch, "outside")
        os.mkdir(self.outside)
        os.chmod(self.outside, 0o777)
        for name in ("who", "from"):
            with open(os.path.join(self.outside, name), "w", encoding="ascii") as file:
                file.write("o")
        self.sockets = [self._listen(os.path.join(self.outside, "service")), self._listen("\0" + ABSTRACT[1:])]
        os.chmod(os.path.join(self.outside, "service"), 0o777)
        subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
        subprocess.run(["ip", "tuntap", "add", "dev", TAP, "mode", "tap"], check=True)
        self.empty_net = subprocess.Popen(["unshare", "--net", "sleep", "infinity"])

    @staticmethod
    def _listen(address):
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(address)
        listener.listen(128)
        return listener

    @staticmethod
    def cgroup_file():
        """One that a process would change its own limits by."""
        for path in ("/sys/fs/cgroup/cgroup.procs", "/sys/fs/cgroup/pids/tasks"):
            if os.path.exists(path):
                return path
        return None

    def close(self):
        self.empty_net.kill()
        self.empty_net.wait()
        for listener in self.sockets:
            listener.close()


class Vm:
    """A monitor of one mode: `bare`, `jailed`, `shared`: jailed, but in the host's pid and network namespaces, or
    `rootless`: jailed by an ordinary user. It has an Async disk, a vsock and a guest that only counts; `inside` is the
    folder that is its own, as it calls it, `inside_host` the same as everybody else does. With a pair, the folder of a
    snapshot's two files, nothing is configured: it is to be loaded."""

    def __init__(self, host, name, flags, mode, pair=None):
        self.host, self.name, self.mode, self.jailed, self.pair = host, name, mode, mode != "bare", pair
        self.uid, self.handler = UID, None
        self.output = os.path.join(host.scratch, name + ".out")
        self.leak = os.open(host.outside, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(self.leak, True)
        if mode == "rootless":
            self._make_jail()
            self.program, self.inside = "/mayfly", "/own"
        elif self.jailed:
            base = os.path.join(host.scratch, "jails")
            os.makedirs(base, exist_ok=True)
            self.top = os.path.join(base, "mayfly", name, "root")
            self.program, self.inside = "/mayfly", "/own"
        else:
            self.top = os.path.join(host.scratch, name)
            self.program, self.inside = "/bin/true", os.path.join(host.scratch, name, "own")
        self._make_files()
        self.pid = self._start_jailed(flags) if self.jailed else self._start(flags)
        path = os.path.join(self.inside_host, "api")
        try:
            native.wait_until(path, lambda: os.path.exists(path))
        except native.Mismatch:
            raise RuntimeError(f"no API at {path}; the monitor says: {self.said()}") from None
        self.client = api.Client(path)
        if not pair:
            self._configure()

    def _make_jail(self):
        """A user's, to whom this host's devices are open: page-fault handlers' too."""
        test = native.Test(os.path.join(self.host.scratch, "rootless"))
        os.makedirs(test.dir, exist_ok=True)
        self.jail = rootless_tools.Rootless(test, program=native.BINARY, name="mayfly", ident=self.name)
        self.top, self.uid = self.jail.root, rootless_tools.USER
        node = test.path("userfaultfd")
        if os.path.exists(HANDLERS):
            if not os.path.exists(node):
                os.mknod(node, stat.S_IFCHR, os.stat(HANDLERS).st_rdev)
                os.chmod(node, 0o666)
            self.jail.binds[node] = HANDLERS
        os.makedirs(self.top)
        for folder in (self.top, os.path.dirname(self.top), os.path.dirname(os.path.dirname(self.top))):
            os.chown(folder, self.uid, self.uid)

    def _make_files(self):
        self.inside_host = os.path.join(self.top, "own")
        os.makedirs(os.path.join(self.inside_host, "mount"))
        os.mkdir(os.path.join(self.inside_host, "race"))
        with open(os.path.join(self.inside_host, "race/who"), "w", encoding="ascii") as file:
            file.write("i")
        os.symlink(self.host.outside, os.path.join(self.inside_host, "race.link"))
        os.symlink(os.path.join(self.host.outside, "who"), os.path.join(self.inside_host, "out"))
        with open(os.path.join(self.inside_host, "disk"), "wb") as file:
            file.truncate(1 << 20)
        shutil.copy(GUEST, os.path.join(self.inside_host, "kernel"))
        for name in PAIR if self.pair else ():
            os.link(os.path.join(self.pair, name), os.path.join(self.inside_host, name))
        if self.jailed:
            for folder, _, files in os.walk(self.inside_host):
                for path in (folder, *(os.path.join(folder, file) for file in files)):
                    os.lchown(path, self.uid, self.uid)

    def _spawn(self, command, cwd):
        with open(self.output, "wb") as output:
            return subprocess.Popen(command, cwd=cwd, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                                    pass_fds=(self.leak,), start_new_session=True)

    def _sockets(self):
        """The API's, and one for Prometheus: that makes a thread more."""
        return "--api-sock", f"{self.inside}/api", "--prometheus-path", f"unix:{self.inside}/metrics"

    def _start(self, flags):
        own = () if "--no-landlock" in flags else ("--allow-path", self.inside_host)
        self.process = self._spawn([native.BINARY, *self._sockets(), *own, *flags], self.inside_host)
        return self.process.pid

    def _start_jailed(self, flags):
        monitor = (*self._sockets(), *flags)
        spaces = ("--new-pid-ns", "--netns", f"/proc/{self.host.empty_net.pid}/ns/net") if self.mode == "jailed" else ()
        command = [JAILER, "--id", self.name, "--exec-file", native.BINARY, "--uid", str(UID), "--gid", str(UID),
                   "--chroot-base-dir", os.path.join(self.host.scratch, "jails"), *spaces, "--", *monitor]
        if self.mode == "rootless":
            command = self.jail.command(monitor=monitor)
        self.process = self._spawn(command, self.host.scratch)
        if self.mode == "shared":
            return self.process.pid
        if self.process.wait(native.TIMEOUT_S) != 0:
            raise RuntimeError(f"{' '.join(command)} ended with {self.process.returncode}: {self.said()}")
        pid_file = os.path.join(self.top, "mayfly.pid")
        native.wait_until("the jailer's pid file", lambda: os.path.exists(pid_file) and os.path.getsize(pid_file) > 0)
        with open(pid_file, encoding="ascii") as file:
            return int(file.read())

    def _configure(self):
        self.client.put("/drives/d", {"drive_id": "d", "path_on_host": f"{self.inside}/disk", "is_root_device": False,
                                      "io_engine": "Async"})
        self.client.put("/vsock", {"guest_cid": 3, "uds_path": f"{self.inside}/vsock"})
        self.client.put("/boot-source", {"kernel_image_path": f"{self.inside}/kernel", "boot_args": ""})

    def run(self):
        self.client.action("InstanceStart")

    def save(self):
        """A snapshot, which outlives this VM: the folder of its pair, for another of this name."""
        pair = os.path.join(self.host.scratch, self.name + ".pair")
        os.mkdir(pair)
        self.client.state("Paused")
        snapshot_tools.create(self.client, *(f"{self.inside}/{name}" for name in PAIR))
        self.client.state("Resumed")
        for name in PAIR:
            os.rename(os.path.join(self.inside_host, name), os.path.join(pair, name))
        return pair

    def _load_body(self, memory, **fields):
        return snapshot_tools.load_body(f"{self.inside}/state", f"{self.inside}/{memory}", **fields)

    def load(self):
        """By a page-fault handler, where this host has them. It waits then."""
        if not os.path.exists(HANDLERS):
            self.client.put("/snapshot/load", self._load_body("memory"))
            return
        self.handler = subprocess.Popen([sys.executable, "-B", os.path.join(native.HERE, "uffd_handler.py"), "handler",
                                         "memory", "seen"], cwd=self.inside_host, umask=0)
        path = os.path.join(self.inside_host, "handler")
        native.wait_until("the handler's socket", lambda: os.path.exists(path))
        self.client.put("/snapshot/load", self._load_body("handler", backend="Uffd"))

    def resume(self):
        self.client.state("Resumed")

    def said(self):
        with open(self.output, encoding="utf-8", errors="replace") as output:
            return output.read()[-2000:]

    def output_size(self):
        return os.path.getsize(self.output)

    def is_well(self, wanted):
        """Does the monitor answer in that state, and its guest count on? Returns a sentence when not."""
        try:
            state = self.client.get("/")["state"]
            if state != wanted:
                return f"the state is {state}"
            before = self.output_size()
            if state == "Running":
                native.wait_until("the guest to count on", lambda: self.output_size() > before)
            self.client.get("/machine-config")
        except (OSError, EOFError, native.Mismatch) as error:
            return f"{error!r}"
        return None

    def leaked(self):
        """Names of what it has open of the world outside."""
        found = []
        for fd in os.listdir(f"/proc/{self.pid}/fd"):
            link = os.readlink(f"/proc/{self.pid}/fd/{fd}").removeprefix(self.top if self.jailed else "")
            known = link.startswith(("anon_inode:", "socket:", "pipe:", "/memfd:", "/dev/null", "/dev/kvm", "/dev/net/tun",
                                     self.inside, self.output))
            if not known:
                found.append(link)
        return found

    def _injector(self, others, **more):
        """Its command."""
        settings = {"outside": self.host.outside, "inside": self.inside, "inside_host": self.inside_host,
                    "program": self.program, "abstract": ABSTRACT, "abstract_new": ABSTRACT + "-new",
                    "outside_sock": os.path.join(self.host.outside, "service"), **more}
        if Host.cgroup_file():
            settings["cgroup_file"] = Host.cgroup_file()
        if others:
            settings |= {"other_vm": str(others.pid), "other_vm_mem": f"/proc/{others.pid}/mem",
                         "other_api": os.path.join(others.inside_host, "api"),
                         "other_vsock": os.path.join(others.inside_host, "vsock")}
        return [INJECT, str(self.pid), *(f"{key}={value}" for key, value in settings.items())]

    def attack(self, others, **more):
        """Lines of the injector: (thread, attempt, outcome). more: settings of its own."""
        return outcomes(self._inject(others, **more))

    def refused_calls(self, others):
        """(thread, number of the call) of all attempts that a filter refused."""
        fields = [line.split("\t") for line in self._inject(others).splitlines()]
        return {(thread, int(number)) for thread, _, outcome, _, number in fields if outcome == "seccomp" and int(number) >= 0}

    def _inject(self, others, **more):
        done = subprocess.run(self._injector(others, **more), capture_output=True, text=True, check=False,
                              timeout=INJECT_S)
        if done.returncode != 0 and "only" not in more:
            raise RuntimeError(f"inject ended with {done.returncode}: {done.stderr}")
        return done.stdout

    def load_and_attack(self, others):
        """The same of the thread that reads the memory file ahead, which has ended when the load has."""
        body = self._load_body("memory")
        body["mem_backend"]["prefetch"] = True
        self.client.get("/machine-config")  # vmm's answer: the API's threads are made, and the next is the one
        with subprocess.Popen(self._injector(others, prefetch=1), stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as injector:
            try:
                injector.stdout.readline()  # ready, or it has ended
                self.client.put("/snapshot/load", body)
                said, error = injector.communicate(timeout=INJECT_S)
            finally:
                injector.kill()
        if injector.returncode != 0:
            raise RuntimeError(f"inject ended with {injector.returncode}: {error}")
        return outcomes(said)

    def stop(self):
        if self.handler:
            self.handler.kill()
            self.handler.wait()
        os.close(self.leak)
        self.client.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        self.process.poll()
        shutil.rmtree(self.top, ignore_errors=True)


def outcomes(said):
    return [tuple(line.split("\t")[:3]) for line in said.splitlines()]


def attempts():
    """name → what its success would mean, in the injector's order."""
    listed = subprocess.run([INJECT, "--list"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in listed.splitlines()) | {
        "leaked-fds": "descriptors of whoever has started the monitor are still open"}
