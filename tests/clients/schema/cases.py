# SPDX-License-Identifier: Apache-2.0
"""schemathesis against api/openapi.yaml: thousands of generated requests, right ones and wrong ones, to real monitors.

Each operation in each state of the VM is a group: a monitor of its own behind a relay, in an empty directory, as an
unprivileged user where that is possible; one more group asks a single monitor for everything in any order. No answer
may be a 5xx, have a status or a body that the description does not know, or accept what the description forbids; no
monitor may end or stop answering. Declared exceptions: the body of errors of the HTTP protocol, which is no JSON; the
503 of the eleventh connection, which nothing here opens; and the end, with status 1, of a monitor that has answered
that it failed to load a snapshot. A fresh one takes its place, as it does where a load succeeded.

usage: cases.py BUILD [OPERATION...]      operations such as 'PUT /logger'
SCHEMA_SEED=N draws other cases. Prints a line a group and ends with 'N passed, N failed, N skipped'."""

import collections
import contextlib
import http.client
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import traceback

import hypothesis
import schemathesis
from hypothesis import strategies
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi import checks as openapi_checks

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(os.path.dirname(HERE)))
sys.path.insert(0, os.path.dirname(HERE))

from relay import Relay  # noqa: E402: its folder had to be added first

CHECKS = [not_a_server_error, openapi_checks.status_code_conformance, openapi_checks.content_type_conformance,
          openapi_checks.response_schema_conformance]
MINIMUM_CASES = 2000  # of a whole run
ANSWER_LIMIT_S = 10
NOBODY = 65534
PROTOCOL_ERROR = b'{ "error": "'
IDS = ("drive_id", "iface_id", "id")
# Where a generated path would never exist, every second right case names a file that does.
FILES = {"path_on_host": "disk", "kernel_image_path": "halt.elf", "initrd_path": "halt.elf"}
DRIVE = "disk"  # id and file of the drive that running VMs have
LOAD = "/snapshot/load"
LOAD_FAILED = "Load snapshot error: Failed to"
# A snapshot of a running VM that every monitor that may load one finds, and may only read.
SAVED = {"snapshot_path": "saved.state", "mem_file_path": "saved.memory"}
SAVED_MEMORY = {"backend_path": SAVED["mem_file_path"], "backend_type": "File"}
CREATED = {"snapshot_path": "state", "mem_file_path": "memory"}
# State of the VM: right requests, and wrong requests, of each operation.
STATES = {"before": 40, "running": 25, "paused": 10, "loaded": 10}
MIXED_CASES = 400


class UnixConnection(http.client.HTTPConnection):
    """The harness's own way to the API, beside the relay."""

    def __init__(self, path):
        super().__init__("localhost", timeout=ANSWER_LIMIT_S)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(ANSWER_LIMIT_S)
        self.sock.connect(self.path)


class Monitor:
    """One monitor in an empty directory, brought to a state."""

    def __init__(self, place, state):
        self.directory = tempfile.mkdtemp(dir=place.scratch)
        self.socket = os.path.join(self.directory, "api.sock")
        shutil.copy(place.guest, os.path.join(self.directory, "halt.elf"))
        with open(os.path.join(self.directory, "disk"), "wb") as file:
            file.truncate(1 << 20)
        if place.as_nobody:
            for path in (self.directory, *(os.path.join(self.directory, name) for name in ("disk", "halt.elf"))):
                os.chown(path, NOBODY, NOBODY)
        for name in SAVED.values():  # not the file's user: who may not write to it cannot spoil it for the others
            if state in ("before", "loaded") and os.path.exists(os.path.join(place.scratch, name)):
                os.link(os.path.join(place.scratch, name), os.path.join(self.directory, name))
        with open(os.path.join(self.directory, "out"), "wb") as out:
            self.process = subprocess.Popen([*place.prefix, place.program, "--api-sock", "api.sock"],
                                            cwd=self.directory, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
        self.relay = Relay(self.socket)
        try:
            self._bring_to(state)
        except Exception:
            self.close()
            raise

    def _bring_to(self, state):
        self._await_socket()
        if state == "loaded":
            self.request("PUT", LOAD, {"snapshot_path": SAVED["snapshot_path"], "mem_backend": SAVED_MEMORY})
        elif state != "before":
            self.request("PUT", "/boot-source", {"kernel_image_path": "halt.elf"})
            self.request("PUT", f"/drives/{DRIVE}", {"drive_id": DRIVE, "path_on_host": DRIVE, "is_root_device": False})
            self.request("PUT", "/actions", {"action_type": "InstanceStart"})
        if state == "paused":
            self.request("PATCH", "/vm", {"state": "Paused"})

    def _await_socket(self):
        """Waits until somebody listens; the file is there a moment earlier."""
        end = time.monotonic() + ANSWER_LIMIT_S
        while True:
            with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as probe:
                probe.connect(self.socket)
                return
            if time.monotonic() > end or self.process.poll() is not None:
                raise RuntimeError(f"the monitor did not start: {self.output()}")
            time.sleep(0.002)

    def request(self, method, path, body=None):
        """Asks for something that must work; returns the answer."""
        with contextlib.closing(UnixConnection(self.socket)) as connection:
            connection.request(method, path, json.dumps(body) if body else None)
            answer = connection.getresponse()
            text = answer.read()
        if answer.status not in (200, 204):
            raise RuntimeError(f"{method} {path} answered {answer.status} {text}")
        return json.loads(text) if text else None

    def output(self):
        with open(os.path.join(self.directory, "out"), encoding="utf-8", errors="replace") as out:
            return out.read()[-2000:]

    def expect_end(self):
        """Waits for the end that a failed load brings."""
        try:
            status = self.process.wait(ANSWER_LIMIT_S)
        except subprocess.TimeoutExpired:
            raise RuntimeError("a load failed, but the monitor lives on") from None
        self.relay.close()
        if status != 1:
            raise RuntimeError(f"a load failed, and the monitor ended with status {status}, not 1: {self.output()}")

    def close(self):
        """Ends it; complains when it had ended by itself."""
        status = self.process.poll()
        self.process.kill()
        self.process.wait()
        self.relay.close()
        if status is not None:
            raise RuntimeError(f"the monitor ended with status {status}: {self.output()}")


class Place:
    """What all monitors share: copies that anybody may read, and the way to be nobody."""

    def __init__(self, build, scratch):
        self.scratch = scratch
        os.chmod(scratch, 0o755)
        self.program = shutil.copy(os.path.join(build, "mayfly"), scratch)
        self.guest = shutil.copy(os.path.join(build, "tests/native/guests/halt.elf"), scratch)
        self.prefix = []
        self.as_nobody = os.geteuid() == 0
        self.has_kvm = os.access("/dev/kvm", os.R_OK | os.W_OK)
        if self.as_nobody:
            nobody = ["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"]
            self.prefix = [*self._own_kvm(), *nobody]
            if subprocess.run([*self.prefix, "test", "-w", "/dev/kvm"], check=False).returncode != 0:
                self.prefix, self.has_kvm = nobody, False

    def save(self):
        """Takes the snapshot that the monitors load."""
        monitor = Monitor(self, "paused")
        try:
            monitor.request("PUT", "/snapshot/create", SAVED)
        finally:
            monitor.close()
        for name in SAVED.values():
            path = shutil.move(os.path.join(monitor.directory, name), self.scratch)
            if self.as_nobody:
                os.chown(path, 0, 0)
            os.chmod(path, 0o444)

    def _own_kvm(self):
        """A command that gives a program a /dev/kvm that anybody may open, in a mount namespace of its own."""
        node = os.path.join(self.scratch, "kvm")
        try:
            os.mknod(node, 0o020666, os.stat("/dev/kvm").st_rdev)
            os.chmod(node, 0o666)
        except OSError:
            return []
        return ["unshare", "--mount", "sh", "-c", 'mount --bind "$0" /dev/kvm && exec "$@"', node]


class Group:
    """Some operations, in any order, of a monitor brought to a state."""

    def __init__(self, place, operations, state, count):
        self.place = place
        self.operations = operations
        self.state = state
        self.count = count  # of cases of each mode
        self.label = f"{operations[0].label if len(operations) == 1 else 'all operations'}, {state}"
        self.statuses = collections.Counter()
        self.monitor = None

    def prepare(self, case):
        """Makes a right request one that can succeed: the ids agree, and often the drive and the files exist."""
        if not isinstance(case.body, dict):
            return
        if case.path_parameters and self.statuses.total() % 3:
            case.path_parameters.update({name: DRIVE for name in case.path_parameters})
        for name in IDS:
            if name in case.body and case.path_parameters:
                case.body[name] = next(iter(case.path_parameters.values()))
        if self.statuses.total() % 2:
            case.body.update({name: path for name, path in FILES.items() if name in case.body})
            case.body.pop("socket", None)  # would refuse every drive
            self.prepare_snapshot(case)

    @staticmethod
    def prepare_snapshot(case):
        """Names the files that there are; a load has memory from one place, and overrides no device that is missing."""
        if case.operation.path != LOAD:
            case.body.update({name: path for name, path in CREATED.items() if name in case.body})
            return
        case.body.update(snapshot_path=SAVED["snapshot_path"], mem_backend=SAVED_MEMORY)
        for name in ("mem_file_path", "network_overrides", "vsock_override", "drive_overrides"):
            case.body.pop(name, None)

    def check(self, case, mode):
        if mode is GenerationMode.POSITIVE:
            self.prepare(case)
        answer = case.call(base_url=f"http://127.0.0.1:{self.monitor.relay.port}", timeout=ANSWER_LIMIT_S)
        self.statuses[answer.status_code] += 1
        try:
            self.validate(case, mode, answer)
        finally:
            if case.operation.path == LOAD and self.state == "before":
                self.renew_after(answer)

    @staticmethod
    def validate(case, mode, answer):
        if answer.status_code == 400 and answer.content.startswith(PROTOCOL_ERROR):
            return
        checks = CHECKS
        # An array may stand for an object, field by field: the reference's parser does that, and so does ours.
        if mode is GenerationMode.NEGATIVE and not isinstance(case.body, list):
            checks = [*CHECKS, openapi_checks.negative_data_rejection]
        case.validate_response(answer, checks=checks)

    def renew_after(self, load):
        """A load that failed ends the monitor, one that succeeded leaves nothing to load into."""
        if load.status_code == 400 and load.json().get("fault_message", "").startswith(LOAD_FAILED):
            self.monitor.expect_end()
        elif load.status_code == 204:
            self.monitor.close()
        else:
            return
        self.monitor = None  # there is none to be closed, should the next not start
        self.monitor = Monitor(self.place, self.state)

    def run_mode(self, mode):
        strategy = strategies.one_of(*(each.as_strategy(generation_mode=mode) for each in self.operations))
        settings = hypothesis.settings(max_examples=self.count, deadline=None, database=None, derandomize=not SEED,
                                       suppress_health_check=list(hypothesis.HealthCheck), phases=PHASES)

        @settings
        @hypothesis.given(case=strategy)
        def test(case):
            self.check(case, mode)

        if SEED:
            test = hypothesis.seed(int(SEED))(test)
        try:
            test()
        except hypothesis.errors.Unsatisfiable:
            pass  # every request of this operation is right: there is nothing to break

    def run(self):
        """Returns whether all went well; says what did not."""
        try:
            self.monitor = Monitor(self.place, self.state)
            try:
                for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
                    self.run_mode(mode)
                self.monitor.request("GET", "/vm/config")
            finally:
                if self.monitor:
                    self.monitor.close()
        except (Exception, ExceptionGroup) as failure:  # whatever a generated case brings up is a finding
            print(f"not ok {self.label}:\n{''.join(traceback.format_exception(failure))}")
            return False
        answers = ", ".join(f"{count} x {status}" for status, count in sorted(self.statuses.items()))
        print(f"ok {self.label}: {answers}")
        return True


SEED = os.environ.get("SCHEMA_SEED")
PHASES = (hypothesis.Phase.explicit, hypothesis.Phase.generate)


def main():
    build = os.path.abspath(sys.argv[1])
    schema = schemathesis.openapi.from_path(os.path.join(ROOT, "api/openapi.yaml"))
    operations = [result.ok() for result in schema.get_all_operations()]
    chosen = [operation for operation in operations if len(sys.argv) == 2 or operation.label in sys.argv[2:]]
    counts = collections.Counter(passed=0, failed=0, skipped=0)
    statuses = collections.Counter()
    with tempfile.TemporaryDirectory(prefix="mayfly-schema.") as scratch:
        place = Place(build, scratch)
        if place.has_kvm:
            place.save()
        for state in STATES:
            if state != "before" and not place.has_kvm:
                print(f"skip all groups of state {state}: no usable /dev/kvm")
                counts["skipped"] += len(chosen)
                continue
            groups = [Group(place, [operation], state, STATES[state]) for operation in chosen]
            if state == "before":
                groups.append(Group(place, chosen, state, MIXED_CASES))
            for group in groups:
                counts["passed" if group.run() else "failed"] += 1
                statuses += group.statuses
                sys.stdout.flush()
    total = statuses.total()
    print(f"{total} cases: " + ", ".join(f"{count} x {status}" for status, count in sorted(statuses.items())))
    if len(sys.argv) == 2 and not counts["skipped"] and total < MINIMUM_CASES:
        print(f"not ok: fewer than {MINIMUM_CASES} cases")
        counts["failed"] += 1
    print(", ".join(f"{counts[word]} {word}" for word in ("passed", "failed", "skipped")))
    return 1 if counts["failed"] else 0


sys.exit(main())
