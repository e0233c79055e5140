# SPDX-License-Identifier: Apache-2.0
"""What the native cases share: one test with a directory of its own, one monitor process in it, and checks.

A case is a function with the decorator @case that takes a Test. It returns when all is well, raises Mismatch (by
the checks below) or calls skip(reason). After each monitor that was started the harness itself checks that nothing
was left behind: no process, no file that nobody asked for, file flags of stdin and stdout as they were."""

import fcntl
import glob
import json
import os
import signal
import subprocess
import tempfile
import termios
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
BINARY = os.path.abspath(os.environ.get("MAYFLY_BINARY") or os.path.join(ROOT, "build/mayfly"))
GUESTS = os.path.join(os.path.dirname(BINARY), "tests/native/guests")

TIMEOUT_S = 20  # for a monitor that should end by itself

FROM_JSON = "RunWithoutApiError error: Failed to build MicroVM from Json: "
CONFIGURATION = FROM_JSON + "Configuration for VMM from one single json failed: "
NOT_STARTED = FROM_JSON + "Could not Start MicroVM from one single json: "

cases = []


class Mismatch(Exception):
    """A check failed: what was looked at, what was expected, what was seen."""

    def __init__(self, what, expected, seen):
        super().__init__(what)
        self.what, self.expected, self.seen = what, expected, seen


class Skipped(Exception):
    """The case cannot run here; the reason is its text."""


def case(function):
    """Registers a case under the name of its function."""
    cases.append((function.__name__, function))
    return function


def skip(reason):
    raise Skipped(reason)


def equal(what, expected, seen):
    if expected != seen:
        raise Mismatch(what, expected, seen)


def contains(what, text, seen):
    if text not in seen:
        raise Mismatch(what, f"... {text!r} ...", seen)


def lacks(what, text, seen):
    if text in seen:
        raise Mismatch(what, f"nothing like {text!r}", seen)


def wait_until(what, condition, timeout_s=TIMEOUT_S):
    """Polls until the condition holds and returns its value."""
    end = time.monotonic() + timeout_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Mismatch(what, f"within {timeout_s} s", "not yet")
        time.sleep(0.002)


def guest(name):
    return os.path.join(GUESTS, name + ".elf")


def is_static_build():
    """Is the monitor a static program, as released, or one for tests?"""
    head = subprocess.run(["readelf", "-lW", BINARY], capture_output=True, text=True, check=True)
    return "INTERP" not in head.stdout


def messages(log):
    """The messages of a log, without time, id and thread."""
    return [line.split("] ", 1)[1] for line in log.splitlines() if "] " in line]


def flags(fd):
    return fcntl.fcntl(fd, fcntl.F_GETFL)


def take_terminal():
    """In the child, a session leader: makes its stdin the terminal of its session."""
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


class Monitor:
    """One running or ended monitor. After wait(): status (negative: the signal that killed it), out, err."""

    def __init__(self, test, command, stdin, stdout, may_leave, terminal, pass_fds):
        self.test = test
        self.may_leave = set(os.listdir(test.dir)) | set(may_leave)
        self.out_file = tempfile.TemporaryFile()
        self.err_file = tempfile.TemporaryFile()
        self.watched = [(fd, flags(fd)) for fd in (stdin, stdout or self.out_file.fileno())
                        if isinstance(fd, int) and fd >= 0]
        self.process = subprocess.Popen(command, cwd=test.dir, stdin=stdin, stdout=stdout or self.out_file,
                                        stderr=self.err_file, start_new_session=True, pass_fds=pass_fds,
                                        preexec_fn=take_terminal if terminal else None)
        self.pid = self.process.pid
        self.status = None

    @staticmethod
    def _text(file):
        return os.pread(file.fileno(), 1 << 24, 0).decode("latin-1")

    @property
    def out(self):
        return self._text(self.out_file)

    @property
    def err(self):
        return self._text(self.err_file)

    def await_output(self, text):
        """Waits until the monitor, or its guest, has written the text."""
        wait_until(f"{text!r} on stdout", lambda: text in self.out or self.process.poll() is not None)
        contains("stdout", text, self.out)

    def threads(self):
        """(id, name) of every thread but those that the kernel made for itself."""
        found = []
        for thread in os.listdir(f"/proc/{self.pid}/task"):
            with open(f"/proc/{self.pid}/task/{thread}/comm", encoding="ascii") as file:
                found.append((int(thread), file.read().strip()))
        return [(thread, name) for thread, name in found if not name.startswith(("iou-", "kvm-"))]

    def signal(self, number):
        os.kill(self.pid, number)

    def wait(self, timeout_s=TIMEOUT_S):
        try:
            self.status = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.kill()
            raise Mismatch("end of the monitor", f"within {timeout_s} s", "still running") from None
        self._check_leftovers()
        return self

    def kill(self):
        """Ends whatever still runs of this monitor."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def _check_leftovers(self):
        try:
            os.killpg(self.pid, 0)
            raise Mismatch("processes behind the monitor", "none", f"some in group {self.pid}")
        except ProcessLookupError:
            pass
        equal("files left behind", [], sorted(set(os.listdir(self.test.dir)) - self.may_leave))
        for fd, before in self.watched:
            equal(f"file flags of what was the monitor's fd {fd}", oct(before), oct(flags(fd)))


class Test:
    """One case's directory and the monitors started in it."""

    def __init__(self, directory):
        self.dir = directory
        self.monitors = []
        self.at_end = []  # what else is called then, whether the case passed or not

    def path(self, name):
        return os.path.join(self.dir, name)

    def write(self, name, content):
        with open(self.path(name), "wb") as file:
            file.write(content if isinstance(content, bytes) else content.encode())
        return name

    def read(self, name):
        with open(self.path(name), "rb") as file:
            return file.read().decode("latin-1")

    def disk(self, name="disk", sectors=2048, extra=0):
        """A disk image: every sector begins with its number."""
        with open(self.path(name), "wb") as file:
            file.truncate(sectors * 512 + extra)
            file.write(b"sector 0\n")
            file.seek(512)
            file.write(b"sector 1\n")
        return name

    @property
    def log(self):
        return self.read("log")

    def metrics(self):
        """The lines of the metrics file, parsed."""
        return [json.loads(line) for line in self.read("metrics").splitlines()]

    def total(self, group, name):
        """A counter's sum over all metrics lines."""
        return sum(line[group][name] for line in self.metrics())

    def config(self, kernel, boot_args="", **sections):
        """Writes a config file for the guest of that name. Sections replace the usual ones; `_` in their names
        stands for `-`."""
        document = {
            "boot-source": {"kernel_image_path": guest(kernel), "boot_args": boot_args},
            "drives": [],
            "machine-config": {"vcpu_count": 1, "mem_size_mib": 128},
        }
        document.update({key.replace("_", "-"): value for key, value in sections.items()})
        return self.write("vm.json", json.dumps(document))

    def start(self, *args, stdin=subprocess.DEVNULL, stdout=None, prefix=(), program=BINARY, may_leave=(),
              terminal=False, pass_fds=()):
        """Starts the monitor with exactly these arguments. prefix: a command that runs it; program: another file to
        run as the monitor; may_leave: files that it may make; terminal: stdin is the terminal of its session;
        pass_fds: descriptors that it inherits."""
        monitor = Monitor(self, [*prefix, program, *args], stdin, stdout, {"log", "metrics", *may_leave}, terminal,
                          pass_fds)
        self.monitors.append(monitor)
        return monitor

    def start_vm(self, *args, config="vm.json", log=True, **options):
        """Starts the monitor on a config file, the log in its own file."""
        sink = ("--log-path", "log") if log else ()
        return self.start("--no-api", "--config-file", config, *sink, *args, **options)

    def run_vm(self, *args, **options):
        return self.start_vm(*args, **options).wait()

    def run(self, *args, **options):
        return self.start(*args, **options).wait()

    def done(self):
        for call in self.at_end:
            call()
        for monitor in self.monitors:
            if monitor.process.poll() is None:
                monitor.kill()
            monitor.out_file.close()
            monitor.err_file.close()

    # Expectations that many cases have.

    def expect_end(self, monitor, status=0):
        if monitor.status != status:
            log = self.log if glob.glob(self.path("log")) else ""
            raise Mismatch("exit status", status, f"{monitor.status}\nstderr: {monitor.err}log:\n{log}")

    def expect_error(self, monitor, sentence, status=1):
        """The monitor refused with exactly this sentence: on stderr, in the log, and with the exit line."""
        equal("stderr", f"Error: {sentence}\n", monitor.err)
        self.expect_end(monitor, status)
        equal("last lines of the log",
              [sentence, f"Firecracker exiting with error. exit_code={status}"], messages(self.log)[-2:])
