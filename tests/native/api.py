# SPDX-License-Identifier: Apache-2.0
"""A raw HTTP client for the API's Unix socket, and the start of a monitor that serves it. It sends exactly what it
is told and keeps every byte of the answer: the cases compare those."""

import json
import os
import signal
import socket

from native import contains, equal, wait_until

AFTER_START = "The requested operation is not supported after starting the microVM."
BEFORE_START = "The requested operation is not supported before starting the microVM."
NO_PCI = "PCI is not enabled"
SOCKET = "api.sock"
OWN_NETWORK = ("unshare", "--net")  # a prefix: the TAPs that the monitor asks for are made there


class Reply:
    """One response: status_line and headers as text, body as text."""

    def __init__(self, head, body):
        self.status_line, *self.headers = head.decode("latin-1").split("\r\n")
        self.body = body.decode()

    @property
    def status(self):
        return int(self.status_line.split(" ")[1])

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def fault(self):
        return self.json["fault_message"]


class Client:
    """One connection."""

    def __init__(self, path, timeout_s=10):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.settimeout(timeout_s)
        self.pending = b""
        wait_until(f"a connection to {path}", lambda: self._try_connect(path))

    def _try_connect(self, path):
        """The path is there from bind on, a moment before listen; the kernel refuses between (row 36: clients try
        again)."""
        try:
            self.socket.connect(path)
            return True
        except ConnectionRefusedError:
            return False

    def send(self, data):
        self.socket.sendall(data if isinstance(data, bytes) else data.encode())

    def _more(self):
        data = self.socket.recv(65536)
        if not data:
            raise EOFError("the monitor closed the connection")
        self.pending += data

    def receive(self):
        """The next response."""
        while b"\r\n\r\n" not in self.pending:
            self._more()
        head, self.pending = self.pending.split(b"\r\n\r\n", 1)
        size = 0
        for line in head.split(b"\r\n"):
            if line.startswith(b"Content-Length: "):
                size = int(line.split(b": ")[1])
        while len(self.pending) < size:
            self._more()
        body, self.pending = self.pending[:size], self.pending[size:]
        return Reply(head, body)

    def ask(self, method, path, body=None):
        """body: text, or what is sent as JSON; None: none."""
        self.send_request(method, path, body)
        return self.receive()

    def send_request(self, method, path, body=None):
        self.send(request(method, path, body))

    def at_end(self):
        """Has the monitor closed the connection, with nothing left unread?"""
        try:
            return self.pending == b"" and self.socket.recv(1) == b""
        except ConnectionResetError:
            return True

    def close(self):
        self.socket.close()

    # Requests that must succeed, or fail with one sentence.

    def get(self, path):
        reply = self.ask("GET", path)
        equal(f"status line of GET {path}", "HTTP/1.1 200 ", reply.status_line)
        return reply.json

    def put(self, path, body):
        self._done("PUT", path, body)

    def patch(self, path, body):
        self._done("PATCH", path, body)

    def _done(self, method, path, body):
        reply = self.ask(method, path, body)
        equal(f"{method} {path} {body}", ("HTTP/1.1 204 ", ""), (reply.status_line, reply.body))

    def refused(self, method, path, body, sentence):
        reply = self.ask(method, path, body)
        equal(f"{method} {path} {body}", ("HTTP/1.1 400 ", sentence), (reply.status_line, reply.fault))

    def refused_like(self, method, path, body, part):
        reply = self.ask(method, path, body)
        equal(f"status line of {method} {path} {body}", "HTTP/1.1 400 ", reply.status_line)
        contains(f"{method} {path} {body}", part, reply.fault)

    # What many cases ask for.

    def action(self, name):
        self.put("/actions", {"action_type": name})

    def state(self, name):
        self.patch("/vm", {"state": name})

    def boot(self, kernel):
        """Configures the guest at that path and starts it."""
        self.put("/boot-source", {"kernel_image_path": kernel, "boot_args": ""})
        self.action("InstanceStart")

    def drive(self, name, **fields):
        self.put(f"/drives/{name}", drive(name, **fields))


def drive(name, **fields):
    """A drive's body: of the file `disk`, and no root."""
    return {"drive_id": name, "path_on_host": "disk", "is_root_device": False, **fields}


def request(method, path, body=None, headers=()):
    """The bytes of a request."""
    if body is not None and not isinstance(body, str):
        body = json.dumps(body)
    lines = [f"{method} {path} HTTP/1.1", "Host: localhost", *headers]
    if body is not None:
        lines += ["Content-Type: application/json", f"Content-Length: {len(body.encode())}"]
    return ("\r\n".join(lines) + "\r\n\r\n" + (body or "")).encode()


class Served:
    """A monitor with an API: its process and its connections."""

    def __init__(self, test, *args, log=True, log_path="log", name=SOCKET, **options):
        self.path = test.path(name)
        sink = ("--log-path", log_path) if log else ()
        options["may_leave"] = {name, *options.get("may_leave", ())}
        self.vm = test.start("--api-sock", name, *sink, *args, **options)
        self.pid = self.vm.pid
        wait_until("the API socket", lambda: os.path.exists(self.path) or self.vm.process.poll() is not None)

    def connect(self, timeout_s=10):
        return Client(self.path, timeout_s)

    def stop(self):
        """Ends it by SIGTERM, which it does not catch."""
        self.vm.signal(signal.SIGTERM)
        self.vm.wait()
        equal("death by signal", -signal.SIGTERM, self.vm.status)


def read_metrics(test):
    """The lines of the metrics file, parsed; none when there is no file."""
    return test.metrics() if os.path.exists(test.path("metrics")) else []
