# SPDX-License-Identifier: Apache-2.0
"""The host of the escape suite: folders, sockets and processes that a monitor must not reach, and the monitors.

All of it is in a network and a mount namespace of its own, so that attempts that succeed change nothing of the real
host."""

import ctypes
import os
import shutil
import signal
import socket
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests/native"))

import api  # noqa: E402: its folder had to be added first
import native  # noqa: E402

BUILD = os.path.dirname(native.BINARY)
INJECT = os.path.join(BUILD, "tests/security/inject/inject")
JAILER = os.environ.get("MAYFLY_JAILER") or os.path.join(BUILD, "mayfly-jailer")
GUEST = native.guest("count")
UID = 10042  # of jailed monitors; nobody's
ABSTRACT = "@mayfly-escape"
TAP = "escape1"  # another VM's; the injector knows its name
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


def options():
    """The monitor's own, to see which walls this build has."""
    return subprocess.run([native.BINARY, "--help"], capture_output=True, text=True, check=True).stdout


class Vm:
    """A monitor of one mode: `bare`, `jailed`, or `shared`: jailed, but in the host's pid and network namespaces. It
    has an Async disk, a vsock and a guest that only counts; `inside` is the folder that is its own, as
    it calls it, `inside_host` the same as everybody else does."""

    def __init__(self, host, name, flags, mode):
        self.host, self.name, self.mode, self.jailed = host, name, mode, mode != "bare"
        self.output = os.path.join(host.scratch, name + ".out")
        self.leak = os.open(host.outside, os.O_RDONLY | os.O_DIRECTORY)
        os.set_inheritable(self.leak, True)
        if self.jailed:
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
        self._configure()

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
        if self.jailed:
            for folder, _, files in os.walk(self.inside_host):
                for path in (folder, *(os.path.join(folder, file) for file in files)):
                    os.lchown(path, UID, UID)

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
        spaces = ("--new-pid-ns", "--netns", f"/proc/{self.host.empty_net.pid}/ns/net") if self.mode == "jailed" else ()
        command = [JAILER, "--id", self.name, "--exec-file", native.BINARY, "--uid", str(UID), "--gid", str(UID),
                   "--chroot-base-dir", os.path.join(self.host.scratch, "jails"), *spaces, "--", *self._sockets(), *flags]
        self.process = self._spawn(command, self.host.scratch)
        if self.mode != "jailed":
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

    def said(self):
        with open(self.output, encoding="utf-8", errors="replace") as output:
            return output.read()[-2000:]

    def output_size(self):
        return os.path.getsize(self.output)

    def is_well(self, runs):
        """Does the monitor answer, and its guest count on? Returns a sentence when not."""
        try:
            state = self.client.get("/")["state"]
            if state != ("Running" if runs else "Not started"):
                return f"the state is {state}"
            before = self.output_size()
            if runs:
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

    def attack(self, others, only=None):
        """Lines of the injector: (thread, attempt, outcome)."""
        settings = {"outside": self.host.outside, "inside": self.inside, "inside_host": self.inside_host,
                    "program": self.program, "abstract": ABSTRACT, "abstract_new": ABSTRACT + "-new",
                    "outside_sock": os.path.join(self.host.outside, "service")}
        if Host.cgroup_file():
            settings["cgroup_file"] = Host.cgroup_file()
        if others:
            settings |= {"other_vm": str(others.pid), "other_vm_mem": f"/proc/{others.pid}/mem",
                         "other_api": os.path.join(others.inside_host, "api"),
                         "other_vsock": os.path.join(others.inside_host, "vsock")}
        if only:
            settings["only"] = only
        done = subprocess.run([INJECT, str(self.pid), *(f"{key}={value}" for key, value in settings.items())],
                              capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0 and not only:
            raise RuntimeError(f"inject ended with {done.returncode}: {done.stderr}")
        return [tuple(line.split("\t")[:3]) for line in done.stdout.splitlines()]

    def stop(self):
        os.close(self.leak)
        self.client.close()
        try:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        except (ProcessLookupError, ChildProcessError):
            pass
        self.process.poll()
        shutil.rmtree(self.top, ignore_errors=True)


def attempts():
    """name → what its success would mean, in the injector's order."""
    listed = subprocess.run([INJECT, "--list"], capture_output=True, text=True, check=True).stdout
    return dict(line.split("\t") for line in listed.splitlines()) | {
        "leaked-fds": "descriptors of whoever has started the monitor are still open"}
