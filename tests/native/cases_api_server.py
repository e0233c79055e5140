# SPDX-License-Identifier: Apache-2.0
"""The server of the API: connections, framing, its socket, and what it costs. Rows of clients.md are named where a
case covers them."""

import os
import signal
import socket
import subprocess
import threading
import time
from random import Random

from api import Client, Served, drive, request
from native import BINARY, case, contains, equal, guest, is_static_build, messages, wait_until

TOO_MANY = (b"HTTP/1.1 503\r\nServer: Firecracker API\r\nConnection: close\r\nContent-Length: 40\r\n\r\n"
            b'{ "error": "Too many open connections" }')
DROPPED = "\nAll previous unanswered requests will be dropped."
VERSION_REPLY = (b"HTTP/1.1 200 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\nContent-Type: "
                 b'application/json\r\nContent-Length: 32\r\n\r\n{"firecracker_version":"1.16.1"}')
DONE_REPLY = b"HTTP/1.1 204 \r\nServer: Firecracker API\r\nConnection: keep-alive\r\n\r\n"


def error_body(message):
    return '{ "error": "' + message + DROPPED + '" }'


@case
def api_version(t):
    """Rows 2, 3, 46: the versions agree; the id of the command line is shown."""
    served = Served(t, "--id", "an-id-9")
    client = served.connect()
    equal("GET /", {"id": "an-id-9", "state": "Not started", "vmm_version": "1.16.1", "app_name": "Firecracker"},
          client.get("/"))
    equal("GET /version", {"firecracker_version": "1.16.1"}, client.get("/version"))
    printed = subprocess.run([BINARY, "--version"], capture_output=True, text=True, check=True).stdout.split("\n")[0]
    contains("--version", "v1.16.1", printed)
    served.stop()


@case
def api_replies_come_in_one_write(t):
    """Rows 28 and 30: a single read of 4 KiB has the whole reply, byte for byte."""
    served = Served(t)
    client = served.connect()
    for sent, expected in ((request("GET", "/version"), VERSION_REPLY),
                           (request("PUT", "/logger", {}), DONE_REPLY)):
        for _ in range(20):
            client.send(sent)
            equal("bytes of one read", expected, client.socket.recv(4096))
    served.stop()


@case
def api_pipelined_requests_are_answered_in_order(t):
    """Row 31."""
    served = Served(t)
    client = served.connect()
    client.send(b"".join([request("GET", "/version"), request("PUT", "/logger", {}), request("GET", "/nothing"),
                          request("GET", "/machine-config")] * 25))
    equal("statuses", [200, 204, 400, 200] * 25, [client.receive().status for _ in range(100)])
    served.stop()


@case
def api_request_byte_by_byte(t):
    served = Served(t)
    client = served.connect()
    for byte in request("PUT", "/machine-config", {"vcpu_count": 2, "mem_size_mib": 256}):
        client.send(bytes([byte]))
    equal("status", 204, client.receive().status)
    equal("vcpu_count", 2, client.get("/machine-config")["vcpu_count"])
    served.stop()


@case
def api_odd_but_good_requests(t):
    """Rows 33 and 34: content types, Host, absolute URIs, slashes, surplus path tokens, Connection: close."""
    served = Served(t)
    client = served.connect()
    for path in ("/version", "//version", "/version/", "http://localhost/version", "http://localhost:80/version",
                 "/version/surplus"):
        equal(f"GET {path}", 200, client.ask("GET", path).status)
    body = '{"level": "Info"}'
    for lines in ("", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: nonsense\r\n",
                  "Connection: close\r\n", "X-Anything: " + "y" * 900 + "\r\n", "Accept: */*\r\n",
                  "Upgrade: h2c\r\nConnection: Upgrade\r\n"):
        for version in ("HTTP/1.1", "HTTP/1.0"):
            client.send(f"PUT /logger {version}\r\n{lines}Content-Length: {len(body)}\r\n\r\n{body}")
            reply = client.receive()
            equal(f"PUT with {lines!r}", ("HTTP/1.1 204 ", ""), (reply.status_line, reply.body))
    client.send(f"PUT /logger HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n")
    equal("interim reply", "HTTP/1.1 100 ", client.receive().status_line)
    client.send(body)
    equal("final reply", 204, client.receive().status)
    served.stop()


# bytes, message; more may follow on the connection
PROTOCOL_ERRORS = [
    (b"POST / HTTP/1.1\r\n\r\n", "Invalid HTTP Method: Unsupported HTTP method."),
    (b"get / HTTP/1.1\r\n\r\n", "Invalid HTTP Method: Unsupported HTTP method."),
    (b"GET / HTTP/2.0\r\n\r\n", "Invalid HTTP Version: Unsupported HTTP version."),
    (b"PUT /logger HTTP/1.1\r\nContent-Length: 51201\r\n\r\n" + b"x" * 51201,
     "Request payload with size 51201 is larger than the limit of 51200 allowed by server."),
    (b"PUT /logger HTTP/1.1\r\nContent-Length: alpha\r\n\r\n",
     "Invalid header. Reason: Invalid value. Key:Content-Length; Value: alpha"),
]


@case
def api_protocol_errors_keep_the_connection(t):
    served = Served(t)
    client = served.connect()
    for sent, message in PROTOCOL_ERRORS:
        client.send(sent)
        reply = client.receive()
        equal(f"status line for {sent!r}", "HTTP/1.1 400 ", reply.status_line)
        contains(f"body for {sent!r}", message, reply.body)
        contains(f"body for {sent!r}", DROPPED, reply.body)
        equal("next request", {"firecracker_version": "1.16.1"}, client.get("/version"))
    served.stop()


@case
def api_garbage_harms_nobody(t):
    """Headers without end, chunks, binary bytes, half requests that end: an error or the end, and the next client is
    served."""
    served = Served(t, log_path="/dev/null")
    random = Random(4)
    for sent in (b"GET / HTTP/1.1\r\n" + b"X-Header: value\r\n" * 10000 + b"\r\n",
                 b"GET / HTTP/1.1\r\nX: " + b"y" * 100000 + b"\r\n\r\n",
                 b"GET /" + b"z" * 100000 + b" HTTP/1.1\r\n\r\n",
                 b"PUT /logger HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
                 b"GET / HTTP/1.1\n\n" * 100, b"\0" * 5000, b"\r\n" * 5000,
                 *(random.randbytes(5000) for _ in range(50))):
        client = served.connect()
        try:
            client.send(sent)
            client.socket.settimeout(0.05)
            status = client.receive().status
            equal(f"status for {sent[:60]!r}", 400, status)
        except (EOFError, TimeoutError, ConnectionResetError, BrokenPipeError):
            pass
        client.close()
        other = served.connect()
        other.get("/version")
        other.close()
    served.stop()


@case
def api_refused_body_is_no_request(t):
    """What a refused request carries is not carried out, in one piece or in several: a body over the limit is skipped,
    and the request behind it answered; after a coding that is not understood the connection ends."""
    served = Served(t)
    inside = request("PUT", "/machine-config", {"vcpu_count": 7, "mem_size_mib": 77})
    body = inside + b"x" * (60000 - len(inside))
    for pause in (0, 0.02):
        client = served.connect()
        for piece in (b"PUT /mmds HTTP/1.1\r\nContent-Length: 60000\r\n\r\n", body, request("GET", "/version")):
            client.send(piece)
            time.sleep(pause)
        equal("the large one", 400, client.receive().status)
        equal("the one behind it", '{"firecracker_version":"1.16.1"}', client.receive().body)
        for header in ("Transfer-Encoding: chunked", "Content-Length: 60000\r\nExpect: 100-continue"):
            client = served.connect()
            client.send(f"PUT /mmds HTTP/1.1\r\n{header}\r\n\r\n")
            time.sleep(pause)
            try:
                client.send(inside)
            except BrokenPipeError:
                pass  # closed already
            reply = client.receive()
            equal(f"reply to {header!r}", 400, reply.status)
            contains("headers", "Connection: close", "\n".join(reply.headers))
            equal("the end", True, client.at_end())
    equal("vCPUs", 1, served.connect().get("/machine-config")["vcpu_count"])
    served.stop()


@case
def api_body_limit_of_the_command_line(t):
    """Row 15, and the reference's own test vectors: limit, size, Content-Length of the reply."""
    for limit, size, length in ((50, 50000, 146), (250, 260, 145), (51200, 51201, 149)):
        served = Served(t, "--http-api-max-payload-size", str(limit), name=f"{limit}.sock")
        client = served.connect()
        client.send(f"PUT /mmds HTTP/1.1\r\nContent-Length: {size}\r\n\r\n" + "x" * size)
        reply = client.receive()
        equal("body", error_body(f"Request payload with size {size} is larger than the limit of {limit} allowed by "
                                 "server."), reply.body)
        contains("headers", f"Content-Length: {length}", "\n".join(reply.headers))
        body = '"' + "x" * (limit - 2) + '"'
        client.send(f"PUT /mmds HTTP/1.1\r\nContent-Length: {len(body)}\r\n\r\n{body}")
        equal("a body at the limit", 204, client.receive().status)
        served.stop()


@case
def api_eleventh_connection(t):
    """Row 32: it gets its 503 and its end; the ten go on; a freed place is free at once."""
    served = Served(t)
    ten = [served.connect() for _ in range(10)]
    for client in ten:
        client.get("/version")
    for _ in range(5):
        eleventh = served.connect()
        received = b""
        while True:
            data = eleventh.socket.recv(4096)
            if not data:
                break
            received += data
        equal("eleventh", TOO_MANY, received)
        eleventh.close()
    for client in ten:
        client.get("/version")
    ten.pop().close()
    served.connect().get("/version")
    served.stop()


@case
def api_stuck_clients_delay_nobody(t):
    """Half a request, a peer that never reads, a peer that went away: the others do not notice."""
    served = Served(t)
    half, deaf, gone = (served.connect() for _ in range(3))
    half.send(b"PUT /logger HTTP/1.1\r\nContent-Length: 100\r\n\r\n{")
    deaf.socket.setblocking(False)
    try:
        for _ in range(20000):
            deaf.socket.send(request("GET", "/vm/config"))
    except BlockingIOError:
        pass
    gone.send(request("GET", "/version"))
    gone.close()
    client = served.connect()
    start = time.monotonic()
    for _ in range(100):
        client.get("/version")
    if time.monotonic() - start > 2:
        equal("time of 100 requests", "less than 2 s", time.monotonic() - start)
    half.send(b" " * 98 + b"}")
    equal("status of the half request", 204, half.receive().status)
    served.stop()


def rest_of(connection):
    """All that comes until the end; a connection that is closed with bytes unread ends by a reset."""
    received = b""
    try:
        while data := connection.recv(4096):
            received += data
    except ConnectionResetError:
        pass
    return received


def is_stopped(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return file.read().rsplit(") ", 1)[1][0] == "T"


@case
def api_half_closed_peer_is_answered_or_logged(t):
    """The reference drops what a peer has asked that shut its sending side meanwhile. Whether the server looks before
    or after that is chance; a request that is lost has a line in the log at Debug, and the server lives on."""
    served = Served(t, "--level", "Debug")
    lost = 0
    for _ in range(20):
        client = served.connect()
        client.send(request("GET", "/version"))
        client.socket.shutdown(socket.SHUT_WR)
        received = rest_of(client.socket)
        contains("end or reply", received, (b"", VERSION_REPLY))
        lost += received == b""
        client.close()
    client = served.connect()
    client.get("/version")
    os.kill(served.pid, signal.SIGSTOP)  # request and end are both there when it looks
    wait_until("the monitor stands still", lambda: is_stopped(served.pid))
    client.send(request("GET", "/version"))
    client.socket.shutdown(socket.SHUT_WR)
    os.kill(served.pid, signal.SIGCONT)
    equal("reply", b"", rest_of(client.socket))
    served.connect().get("/version")
    equal("lines of lost requests", lost + 1, messages(t.log).count(
        "API connection closed by its peer before its last request was answered"))
    served.stop()


def fds(pid):
    """What the process has open; one that is closed while this looks is none."""
    found = []
    for fd in os.listdir(f"/proc/{pid}/fd"):
        try:
            found.append(os.readlink(f"/proc/{pid}/fd/{fd}").split(":")[0])
        except FileNotFoundError:
            pass
    return sorted(found)


def private_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith(("Private_Dirty:", "Private_Clean:")))


EVERY_KIND = [
    ("GET", "/", None), ("GET", "/vm/config", None), ("GET", "/nothing", None), ("PUT", "/logger", {}),
    ("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128}), ("PUT", "/drives/d", drive("d")),
    ("PUT", "/drives/d", drive("d", path_on_host="none")), ("PUT", "/boot-source", {"kernel_image_path": guest("halt")}),
    ("PUT", "/boot-source", {"kernel_image_path": guest("halt"), "initrd_path": "none"}),
    ("PUT", "/serial", {"serial_out_path": "/dev/null"}), ("PUT", "/cpu-config", {"kvm_capabilities": ["1", "2"]}),
    ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v"}), ("PUT", "/entropy", {"rate_limiter": {}}),
    ("PUT", "/mmds", {"a": ["b"] * 100}), ("PUT", "/network-interfaces/n", {"iface_id": "n", "host_dev_name": "t"}),
    ("PUT", "/logger", "{" * 200), ("PUT", "/logger", {"foo": 1}), ("PUT", "/pmem/a", {"id": "a", "path_on_host": "p"}),
    ("PUT", "/actions", {"action_type": "FlushMetrics"}), ("PATCH", "/vm", {"state": "Paused"}),
]


def unchanged(what, served, sockets, work):
    """fds and private memory are the same before and after the work, once it was done until malloc had settled."""
    work(3000)
    wait_until("closed connections", lambda: fds(served.pid).count("socket") == sockets)
    fds_before, kib_before = fds(served.pid), private_kib(served.pid)
    work(1000)
    wait_until(f"same fds after 1,000 {what}", lambda: fds(served.pid) == fds_before)
    grown = private_kib(served.pid) - kib_before
    if grown > 16 and is_static_build():  # sanitizers keep what is freed
        equal(f"KiB that grew by 1,000 {what}", "at most 16", grown)


@case
def api_thousand_requests_leave_nothing(t):
    t.disk()
    served = Served(t, log_path="/dev/null", may_leave=("v",))
    client = served.connect()

    def ask(count):
        for index in range(count):
            client.ask(*EVERY_KIND[index % len(EVERY_KIND)])

    unchanged("requests", served, 3, ask)  # the vsock device listens too
    client.action("InstanceStart")
    unchanged("requests to a running VM", served, 3, ask)
    served.stop()


@case
def api_thousand_connects_leave_nothing(t):
    served = Served(t, log_path="/dev/null")

    def connect(count):
        for index in range(count):
            client = served.connect()
            if index % 3 == 0:
                client.get("/version")
            elif index % 3 == 1:
                client.send(b"PUT /logger HTTP/1.1\r\nContent-Le")
            client.close()
        last = served.connect()
        last.get("/version")
        last.close()

    unchanged("connects", served, 1, connect)
    served.stop()


@case
def api_thousand_connects_at_once(t):
    """A burst from many threads: each gets an answer, 200 or 503, or the end; nobody hangs; all is as before."""
    served = Served(t, log_path="/dev/null")
    first = served.connect()
    first.get("/version")
    before = fds(served.pid)
    seen = []

    def burst():
        for _ in range(50):
            client = Client(served.path)
            try:
                client.send(request("GET", "/version"))
                seen.append(client.receive().status)
            except (BrokenPipeError, ConnectionResetError):
                seen.append(503)  # closed before the request was sent
            client.close()

    threads = [threading.Thread(target=burst) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    equal("answers", 1000, len(seen))
    equal("kinds of answers", set(), set(seen) - {200, 503})
    first.get("/version")
    wait_until("fds as before", lambda: fds(served.pid) == before)
    served.stop()


@case
def api_calls_are_fast(t):
    """Row 58: 700 ms are the limit of clients; here the slowest of each kind."""
    t.disk()
    served = Served(t, may_leave=("v",))
    client = served.connect()
    for method, path, body in EVERY_KIND:
        start = time.monotonic()
        client.ask(method, path, body)
        if time.monotonic() - start > 0.7:
            equal(f"time of {method} {path}", "at most 0.7 s", time.monotonic() - start)
    served.stop()
