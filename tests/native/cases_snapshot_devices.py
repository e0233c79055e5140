# SPDX-License-Identifier: Apache-2.0
"""Devices across a snapshot (snapshot.md 4, 10; clients.md 71-82): a disk at work, limits, the vsock's socket, TAPs,
and every way in which the loading process has none of them."""

import os
import shutil
import stat
import socket
import subprocess
import time

from api import OWN_NETWORK
from cases_net import BACKEND, IFF_NO_PI, IFF_TAP, IFF_VNET_HDR, in_network, inherited, shown
from native import case, contains, equal, skip, wait_until
from snapshot_tools import (DEVICES_FAILED, LOAD_FAILED, STATE_FAILED, boot, counts, create, goes_on, load, load_body,
                            load_fails, numbers, saved, serve)

DISK_IS_ANOTHER = DEVICES_FAILED + ("block device d: its file has 524288 bytes and "
                                 "had 1048576 when the snapshot was taken: is it another disk?")
ADDRESS_IN_USE = DEVICES_FAILED + ("VsockUnixBackend: Error binding to the host-side Unix socket: Address in use (os "
                                   "error 98)")
GONE = "No such file or directory (os error 2)"


def disk_of(engine, **fields):
    return lambda client: client.drive("d", io_engine=engine, cache_type="Writeback", **fields)


def disk_at_work(engine):
    def run(t):
        t.disk()
        served, client = boot(t, kernel="disk_numbers", configure=disk_of(engine))
        for _ in range(5):
            counts(served)
            client.state("Paused")
            create(client)
            last = numbers(served.vm.out)[-1]
            with open(t.path("disk"), "rb") as disk:
                written = int.from_bytes(os.pread(disk.fileno(), 4, 8 * 512), "little")
            equal(f"number on the disk, after {last}", True, last <= written <= last + 2)
            served.stop()
            served, client = load(t)
            goes_on(served, last)
        client.patch("/drives/d", {"drive_id": "d", "path_on_host": "disk"})
        served.stop()
    run.__name__ = f"snapshot_of_a_disk_at_work_{engine.lower()}"
    return run


def paused_within_requests(engine):
    def run(t):
        """Many pauses at places that nobody chose; the VM that goes on and its clone both find their disk right."""
        t.disk()
        served, client = boot(t, kernel="disk_numbers", configure=disk_of(engine))
        counts(served)
        for index in range(12):
            time.sleep(0.001 * index)
            client.state("Paused")
            create(client)
            last = numbers(served.vm.out)[-1]
            client.state("Resumed")
            counts(served)
        client.state("Paused")
        create(client)
        last = numbers(served.vm.out)[-1]
        served.stop()
        served, _ = load(t)
        goes_on(served, last)
        served.stop()
    run.__name__ = f"snapshot_of_requests_on_their_way_{engine.lower()}"
    return run


def budget_is_kept(engine):
    def run(t):
        """A limit that is used up is used up in the clone too; lifting it lets the waiting request go."""
        t.disk()
        limit = {"ops": {"size": 30, "refill_time": 36_000_000}}
        served, client = boot(t, kernel="disk_numbers", configure=disk_of(engine, rate_limiter=limit))
        wait_until("numbers", lambda: len(numbers(served.vm.out)) >= 10)
        time.sleep(0.05)
        seen = numbers(served.vm.out)[-1]
        equal("numbers within 30 operations, three a number", 10, seen)
        client.state("Paused")
        create(client)
        served.stop()
        served, client = load(t)
        time.sleep(0.2)
        equal("numbers of the clone", [], numbers(served.vm.out))
        equal("limit", limit["ops"]["size"], client.get("/vm/config")["drives"][0]["rate_limiter"]["ops"]["size"])
        client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
        equal("the first number", True, counts(served)[0] in (seen + 1, seen + 2))
        served.stop()
    run.__name__ = f"snapshot_keeps_the_limiters_budget_{engine.lower()}"
    return run


for _engine in ("Sync", "Async"):
    case(disk_at_work(_engine))
    case(paused_within_requests(_engine))
    case(budget_is_kept(_engine))


@case
def snapshot_disk_that_is_gone_or_another(t):
    """snapshot.md 4: a missing file; a smaller one, whose guest would read behind its end."""
    t.disk()
    last = saved(t, configure=disk_of("Sync"))
    os.rename(t.path("disk"), t.path("v"))
    load_fails(t, load_body(), DEVICES_FAILED + "Block: Virtio backend error: Error manipulating the backing file: "
               f"{GONE} disk")
    os.mkdir(t.path("disk"))
    load_fails(t, load_body(), f"{DEVICES_FAILED}Block: ", part=True)
    os.rmdir(t.path("disk"))
    t.disk(sectors=1024)
    load_fails(t, load_body(), DISK_IS_ANOTHER)
    os.rename(t.path("v"), t.path("disk"))
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


# ---------------------------------------------------------------------- vsock

def with_vsock(client):
    client.put("/vsock", {"guest_cid": 52, "uds_path": "v"})


def is_listening(t, name):
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(t.path(name))
    return stat.S_ISSOCK(os.stat(t.path(name)).st_mode)


@case
def snapshot_vsock_listens_when_the_load_is_answered(t):
    """Row 77: E2B connects at once. Also of a VM that is not resumed."""
    saved(t, configure=with_vsock)
    for resume in (True, False):
        os.unlink(t.path("v"))
        served, client = load(t, body=load_body(resume_vm=resume))
        equal("a socket", True, is_listening(t, "v"))
        equal("vsock", {"guest_cid": 52, "uds_path": "v"}, client.get("/vm/config")["vsock"])
        served.stop()


@case
def snapshot_vsock_override(t):
    """snapshot.md 10: the clone's socket, and what the next snapshot has."""
    saved(t, configure=with_vsock)
    served, client = load(t, vsock_override={"uds_path": "v2"})
    equal("a socket", True, is_listening(t, "v2"))
    equal("vsock", {"guest_cid": 52, "uds_path": "v2"}, client.get("/vm/config")["vsock"])
    client.state("Paused")
    create(client)
    served.stop()
    load_fails(t, load_body(), ADDRESS_IN_USE + " (v2: ", part=True)
    os.unlink(t.path("v2"))
    served, client = load(t)
    equal("a socket of the next", True, is_listening(t, "v2"))
    served.stop()


@case
def snapshot_vsock_path_that_is_taken(t):
    """What is there stays, be it a socket or a file."""
    last = saved(t, configure=with_vsock)
    reply = load_fails(t, load_body(), ADDRESS_IN_USE, part=True)
    contains("fault", "(v: EADDRINUSE: there is something already", reply.fault)
    contains("fault", "vsock_override", reply.fault)
    equal("the old socket", True, os.path.exists(t.path("v")))
    t.write("v2", "precious")
    load_fails(t, load_body(vsock_override={"uds_path": "v2"}), ADDRESS_IN_USE, part=True)
    equal("the file", "precious", t.read("v2"))
    load_fails(t, load_body(vsock_override={"uds_path": "no/where"}),
               f"VsockUnixBackend: Error binding to the host-side Unix socket: {GONE}", part=True)
    os.unlink(t.path("v"))
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


@case
def snapshot_override_of_what_is_not_there(t):
    saved(t)
    load_fails(t, load_body(vsock_override={"uds_path": "v"}),
               STATE_FAILED + "Unknown Vsock Device. The snapshot has no vsock: leave out vsock_override")
    load_fails(t, load_body(network_overrides=[{"iface_id": "eth9", "host_dev_name": "tap0"}]),
               STATE_FAILED + "Unknown Network Device. network_overrides names the interface eth9, and the snapshot has "
               "none: leave it out")


# ---------------------------------------------------------------------- network

def with_nics(*names):
    def configure(client):
        for name in names:
            client.put(f"/network-interfaces/{name}", {"iface_id": name, "host_dev_name": "tap_" + name,
                                                       "guest_mac": f"06:00:ac:10:00:0{names.index(name)}"})
    return configure


NETWORK = {"prefix": OWN_NETWORK}


@case
def snapshot_network_overrides_choose_other_taps(t):
    """Row 78: one, both, or swapped; MAC and order stay."""
    last = saved(t, configure=with_nics("a", "b"), **NETWORK)
    for overrides, expected in (
            ({}, [("a", "tap_a"), ("b", "tap_b")]),
            ({"b": "other"}, [("a", "tap_a"), ("b", "other")]),
            ({"b": "tap_a", "a": "tap_b"}, [("a", "tap_b"), ("b", "tap_a")])):
        fields = [{"iface_id": name, "host_dev_name": tap} for name, tap in overrides.items()]
        served, client = load(t, network_overrides=fields, options=NETWORK)
        equal(f"interfaces with {overrides}", expected, sorted(shown(client)))
        equal("MACs", ["06:00:ac:10:00:00", "06:00:ac:10:00:01"],
              sorted(entry["guest_mac"] for entry in client.get("/vm/config")["network-interfaces"]))
        goes_on(served, last)
        served.stop()


@case
def snapshot_network_override_is_in_the_next_snapshot(t):
    saved(t, configure=with_nics("a"), **NETWORK)
    served, client = load(t, network_overrides=[{"iface_id": "a", "host_dev_name": "other"}], options=NETWORK)
    client.state("Paused")
    create(client)
    served.stop()
    served, client = load(t, options=NETWORK)
    equal("interfaces", [("a", "other")], shown(client))
    served.stop()


@case
def snapshot_tap_that_is_missing_or_taken(t):
    last = saved(t, configure=with_nics("a"), **NETWORK)
    failed = DEVICES_FAILED + "Net: "
    unprivileged = {"prefix": (*in_network("true"), "setpriv", "--inh-caps=-net_admin", "--bounding-set=-net_admin")}
    for tap, options, errno_text in (
            ("tap_a", unprivileged, "Operation not permitted (os error 1)"),
            ("lo", NETWORK, "Invalid argument (os error 22)"), ("fd:99", NETWORK, "Bad file descriptor (os error 9)")):
        body = load_body(network_overrides=[{"iface_id": "a", "host_dev_name": tap}])
        reply = load_fails(t, body, failed, part=True, options=options)
        contains("fault", "Open tap device failed: " + BACKEND.format(errno_text, tap, "")[:-3], reply.fault)
    load_fails(t, load_body(network_overrides=[{"iface_id": "a", "host_dev_name": "x" * 16}]), "Invalid interface name",
               part=True, options=NETWORK)
    served, _ = load(t, options=NETWORK)
    goes_on(served, last)
    served.stop()


@case
def snapshot_inherited_tap_needs_an_override(t):
    """A descriptor's number means nothing in another process."""
    try:
        fd = inherited(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
    except PermissionError:
        skip("TAPs cannot be made here")

    def configure(client):
        client.put("/network-interfaces/a", {"iface_id": "a", "host_dev_name": f"fd:{fd}"})

    last = saved(t, configure=configure, pass_fds=(fd,))
    load_fails(t, load_body(), f"{STATE_FAILED}interface a was the inherited descriptor fd:{fd}: name its TAP here in "
               "network_overrides")
    for tap, options in ((f"fd:{fd}", {"pass_fds": (fd,)}), ("tap_a", NETWORK)):
        served, _ = load(t, network_overrides=[{"iface_id": "a", "host_dev_name": tap}], options=options)
        goes_on(served, last)
        served.stop()
    os.close(fd)


# ---------------------------------------------------------------------- serial

@case
def snapshot_serial_input_goes_on(t):
    """The port's registers are the guest's; what is typed comes from the new process' stdin."""
    served, client = boot(t, kernel="echo", stdin=subprocess.PIPE)
    served.vm.await_output("ready")
    served.vm.process.stdin.write(b"one")
    served.vm.process.stdin.flush()
    served.vm.await_output("one")
    client.state("Paused")
    create(client)
    served.vm.process.stdin.close()
    served.stop()
    served, client = serve(t, stdin=subprocess.PIPE)
    client.put("/snapshot/load", load_body(resume_vm=True))
    served.vm.process.stdin.write(b"two.")
    served.vm.process.stdin.close()
    t.expect_end(served.vm.wait())
    equal("output", "two.\n", served.vm.out.replace("\r", ""))


FAR = 0x900000  # where the guests disk_copy and disk_io have their buffer, and nothing else


def cut_under_a_device(kernel, engine):
    def run(t):
        t.disk()
        saved(t, kernel=kernel, configure=disk_of(engine))
        shutil.copyfile(t.path("memory"), t.path("memory2"))
        other, _ = load(t, memory="memory2")
        served, client = serve(t)
        client.put("/snapshot/load", load_body())
        os.truncate(t.path("memory"), FAR)
        client.send_request("PATCH", "/vm", {"state": "Resumed"})  # it may die before it has replied
        t.expect_end(served.vm.wait(), 149)
        contains("log", "(SIGBUS): the guest's memory at 0x", t.log)
        contains("log", "the memory file memory was cut while the VM lived, or cannot be read.", t.log)
        counts(other)
        other.stop()
    run.__name__ = f"snapshot_memory_file_cut_under_a_{kernel}_{engine.lower()}_ends_it_with_149"
    return run


for each in ("Sync", "Async"):
    case(cut_under_a_device("disk_copy", each))  # by us
    case(cut_under_a_device("disk_io", each))  # by the kernel, which says EFAULT
