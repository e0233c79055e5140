# SPDX-License-Identifier: Apache-2.0
"""The vsock device as the API and the config file make it (api.md 7; vsock.md 1): the host's socket, replacing it, every
way in which it cannot be bound. Streams: tests/unit/vsock and tests/lab."""

import os
import socket
import stat

from api import Served
from native import case, equal, guest

BIND_FAILED = "Vsock config error: Cannot create backend for vsock device: Error binding to the host-side Unix socket: "


def put(client, path, **fields):
    client.put("/vsock", {"guest_cid": 3, "uds_path": path, **fields})


def is_socket(t, name):
    return stat.S_ISSOCK(os.stat(t.path(name)).st_mode)


def connect(t, name):
    """A host program's stream; nothing blocks for longer than 5 s."""
    stream = socket.socket(socket.AF_UNIX)
    stream.settimeout(5)
    stream.connect(t.path(name))
    return stream


@case
def vsock_socket_is_there_when_the_request_returns(t):
    """Row 68. Who connects before the guest is ready waits."""
    served = Served(t, may_leave=("v",))
    client = served.connect()
    put(client, "v", guest_cid=52)
    equal("GET /vm/config", {"guest_cid": 52, "uds_path": "v"}, client.get("/vm/config")["vsock"])
    equal("a socket", True, is_socket(t, "v"))
    with connect(t, "v") as stream:
        stream.send(b"CONNECT 52\n")
        client.put("/boot-source", {"kernel_image_path": guest("halt")})
        client.action("InstanceStart")
        equal("a socket after the start", True, is_socket(t, "v"))
        stream.settimeout(0.3)
        try:
            equal("bytes for who waits", "none", stream.recv(1))
        except TimeoutError:
            pass
    served.stop()


@case
def vsock_socket_follows_the_umask(t):
    """Row 68: Kata changes the mode itself."""
    served = Served(t, prefix=("sh", "-c", 'umask 027 && exec "$@"', "sh"), may_leave=("v",))
    put(served.connect(), "v")
    equal("mode", "0o750", oct(stat.S_IMODE(os.stat(t.path("v")).st_mode)))
    served.stop()


@case
def vsock_path_that_is_taken_is_refused(t):
    """Row 70: what is there stays."""
    t.write("stale", "somebody else's\n")
    served = Served(t, may_leave=("v",))
    client = served.connect()
    body = {"guest_cid": 3, "uds_path": "stale"}
    client.refused("PUT", "/vsock", body, BIND_FAILED + "Address in use (os error 98)")
    equal("the file", "somebody else's\n", open(t.path("stale"), encoding="utf-8").read())
    equal("vsock", None, client.get("/vm/config")["vsock"])
    client.refused("PUT", "/vsock", {**body, "uds_path": "no/where"}, BIND_FAILED + "No such file or directory (os error 2)")
    client.refused("PUT", "/vsock", {**body, "uds_path": "x" * 108}, BIND_FAILED + "path must be shorter than SUN_LEN")
    put(client, "v")
    served.stop()


@case
def vsock_replaced_takes_its_socket_with_it(t):
    """The old one goes first, and is gone when the new one fails (api.md 7)."""
    served = Served(t, may_leave=("b",))
    client = served.connect()
    put(client, "a")
    put(client, "a")
    put(client, "b")
    equal("files", [False, True], [os.path.exists(t.path(name)) for name in ("a", "b")])
    client.refused_like("PUT", "/vsock", {"guest_cid": 3, "uds_path": "no/where"}, BIND_FAILED)
    equal("file of the old one", False, os.path.exists(t.path("b")))
    equal("vsock", None, client.get("/vm/config")["vsock"])
    put(client, "b")
    os.unlink(t.path("b"))
    client.refused("PUT", "/vsock", {"guest_cid": 3, "uds_path": "b"}, BIND_FAILED + "No such file or directory (os error 2)")
    put(client, "b")
    served.stop()


@case
def vsock_path_too_long_keeps_what_is_there(t):
    """Nothing was tried: better than the reference, which forgets the old one."""
    served = Served(t, may_leave=("v",))
    client = served.connect()
    put(client, "v")
    client.refused_like("PUT", "/vsock", {"guest_cid": 3, "uds_path": "x" * 108}, BIND_FAILED)
    equal("vsock", {"guest_cid": 3, "uds_path": "v"}, client.get("/vm/config")["vsock"])
    connect(t, "v").close()
    served.stop()


@case
def vsock_replaced_leaves_a_file_that_is_not_its_own(t):
    served = Served(t, may_leave=("a", "b"))
    client = served.connect()
    put(client, "a")
    os.unlink(t.path("a"))
    t.write("a", "precious\n")
    put(client, "b")
    equal("the file", "precious\n", open(t.path("a"), encoding="utf-8").read())
    served.stop()


def private_dirty_kib(pid):
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as file:
        return sum(int(line.split()[1]) for line in file if line.startswith("Private_Dirty:"))


@case
def vsock_idle_costs_little_memory(t):
    """At most 64 KiB private, and no descriptor but the listener's."""
    served = Served(t, log_path="/dev/null", may_leave=("v",))
    client = served.connect()
    client.get("/vm/config")  # what the first request costs is not the device's
    client.put("/serial", {})
    before_kib, before_fds = private_dirty_kib(served.pid), len(os.listdir(f"/proc/{served.pid}/fd"))
    put(client, "v")
    grown = private_dirty_kib(served.pid) - before_kib
    if grown > 64:
        equal("KiB", "at most 64", grown)
    equal("descriptors", before_fds + 1, len(os.listdir(f"/proc/{served.pid}/fd")))
    served.stop()
