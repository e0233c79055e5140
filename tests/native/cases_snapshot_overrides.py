# SPDX-License-Identifier: Apache-2.0
"""What a load may change of a snapshot's devices (docs/snapshots.md, Loading): limiters and MAC of an interface, a drive's
file and its limiter. All of it holds from the guest's first instruction."""

import os
import shutil
import time

from api import OWN_NETWORK
from cases_net import in_network
from native import case, contains, equal, wait_until
from snapshot_tools import (DEVICES_FAILED, STATE_FAILED, boot, counts, create, goes_on, load, load_body, load_fails,
                            numbers, saved, serve)

MAC = "06:00:ac:10:00:00"
OTHER_MAC = "06:00:ac:10:00:77"
NETWORK = {"prefix": OWN_NETWORK}
FEW = {"ops": {"size": 6, "refill_time": 36_000_000}}  # then nothing for ten hours
NO_TOKENS_S = 0.2  # long for a guest that may count; what it must not do takes no time


def two_nics(client):
    for index, name in enumerate("ab"):
        client.put(f"/network-interfaces/{name}", {"iface_id": name, "host_dev_name": "tap_" + name,
                                                   "guest_mac": MAC[:-1] + str(index)})


def nic(name="a", **fields):
    return {"iface_id": name, "host_dev_name": "tap_" + name, **fields}


def shown(client, section, which=0):
    return client.get("/vm/config")[section][which]


def saved_again(client):
    client.state("Paused")
    create(client)


def numbers_within(served, limit, per_number):
    """All numbers that the guest has tokens for, and no more."""
    wait_until("the first number", lambda: numbers(served.vm.out))
    time.sleep(NO_TOKENS_S)
    count = len(numbers(served.vm.out))
    equal(f"numbers within {limit['ops']['size']} operations, {count} seen", True,
          1 <= count <= limit["ops"]["size"] // per_number + 1)


@case
def snapshot_override_of_a_mac_is_in_the_device(t):
    """The guest's next look at the device's configuration finds it; frames from the old one are counted as foreign."""
    last = saved(t, kernel="nic_numbers", configure=two_nics, **NETWORK)
    is_up = {"prefix": in_network("ip tuntap add tap_a mode tap && ip link set tap_a up")}
    served, client = load(t, "--metrics-path", "metrics", network_overrides=[nic(guest_mac=OTHER_MAC)], options=is_up)
    goes_on(served, last)
    contains("what the guest reads", "mac 00007700", served.vm.out)
    equal("MACs", [OTHER_MAC, MAC[:-1] + "1"], [shown(client, "network-interfaces", i)["guest_mac"] for i in (0, 1)])
    saved_again(client)
    client.action("FlushMetrics")
    served.stop()
    sent, foreign = (t.total("net_a", name) for name in ("tx_packets_count", "tx_spoofed_mac_count"))
    equal(f"all of the {sent} frames are foreign", (True, sent), (sent >= 3, foreign))
    served, client = load(t, options=NETWORK)
    equal("MAC in the next snapshot", OTHER_MAC, shown(client, "network-interfaces")["guest_mac"])
    served.stop()


@case
def snapshot_override_of_a_mac_may_swap_but_not_repeat(t):
    saved(t, configure=two_nics, **NETWORK)
    load_fails(t, load_body(network_overrides=[nic(guest_mac=MAC[:-1] + "1")]),
               STATE_FAILED + "The MAC address is already in use: 06:00:ac:10:00:01", part=True, options=NETWORK)
    served, client = load(t, options=NETWORK, network_overrides=[nic("a", guest_mac=MAC[:-1] + "1"),
                                                                 nic("b", guest_mac=MAC)])
    equal("MACs", [MAC[:-1] + "1", MAC], [shown(client, "network-interfaces", i)["guest_mac"] for i in (0, 1)])
    served.stop()


@case
def snapshot_override_of_an_interfaces_limiters(t):
    """They bind the first frame; the other interface keeps what it had; {} is no limit; the next snapshot has them."""
    last = saved(t, kernel="nic_numbers", configure=two_nics, **NETWORK)
    served, client = load(t, network_overrides=[nic(tx_rate_limiter=FEW)], options=NETWORK)
    numbers_within(served, FEW, 1)
    limiter = shown(client, "network-interfaces")["tx_rate_limiter"]
    equal("limiters", (6, None, None), (limiter["ops"]["size"], shown(client, "network-interfaces")["rx_rate_limiter"],
                                        shown(client, "network-interfaces", 1)["tx_rate_limiter"]))
    seen = numbers(served.vm.out)[-1]
    equal("numbers go on", True, seen > last)
    saved_again(client)
    served.stop()
    served, client = load(t, options=NETWORK)
    time.sleep(NO_TOKENS_S)
    equal("numbers without a token", [], numbers(served.vm.out))
    served.stop()
    served, client = load(t, network_overrides=[nic(tx_rate_limiter={})], options=NETWORK)
    counts(served, 20)
    equal("limiter", None, shown(client, "network-interfaces")["tx_rate_limiter"])
    served.stop()


@case
def snapshot_override_named_twice_is_the_later_one_whole(t):
    saved(t, configure=two_nics, **NETWORK)
    served, client = load(t, options=NETWORK, network_overrides=[nic(guest_mac=OTHER_MAC, tx_rate_limiter=FEW), nic()])
    seen = shown(client, "network-interfaces")
    equal("MAC and limiter", (MAC, None), (seen["guest_mac"], seen["tx_rate_limiter"]))
    served.stop()


# ---------------------------------------------------------------------- drives

def two_drives(client):
    client.drive("d", io_engine="Sync")
    client.drive("base", path_on_host="v", is_read_only=True)


def saved_with_drives(t, kernel="disk_numbers"):
    """The writable disk `disk`, on which the guest counts, or does not (`numbers`: then many may be loaded one behind the
    other), and the base `v` that is only read. Returns the last number."""
    t.disk()
    with open(t.path("v"), "wb") as base:
        base.write(os.urandom(1 << 20))
    return saved(t, kernel=kernel, configure=two_drives)


def drive(name="d", **fields):
    return {"drive_id": name, **fields}


def number_on(t, name):
    with open(t.path(name), "rb") as disk:
        return int.from_bytes(os.pread(disk.fileno(), 4, 8 * 512), "little")


@case
def snapshot_override_gives_each_clone_its_disk(t):
    """Two clones at once, each with a copy; what one writes is not in the other's, nor in the first VM's."""
    last = saved_with_drives(t)
    first = number_on(t, "disk")
    clones = []
    for name in ("state2", "memory2"):  # names that may be left here
        shutil.copyfile(t.path("disk"), t.path(name))
        clones.append(load(t, drive_overrides=[drive(path_on_host=name)]))
    for (served, client), name in zip(clones, ("state2", "memory2")):
        goes_on(served, last)
        equal("path", name, shown(client, "drives")["path_on_host"])
        client.state("Paused")
        equal(f"number on {name}", True, number_on(t, name) > first)
    equal("number on the first VM's", first, number_on(t, "disk"))
    for served, _ in clones:
        served.stop()


@case
def snapshot_override_of_a_drives_limiter(t):
    """It binds the first request; {} lifts it again."""
    saved_with_drives(t)
    served, client = load(t, drive_overrides=[drive(rate_limiter=FEW)])
    numbers_within(served, FEW, 3)
    equal("limiter and path", (6, "disk"), (shown(client, "drives")["rate_limiter"]["ops"]["size"],
                                            shown(client, "drives")["path_on_host"]))
    saved_again(client)
    served.stop()
    served, _ = load(t, drive_overrides=[drive(rate_limiter={})])
    counts(served, 20)
    served.stop()


@case
def snapshot_override_of_a_drive_that_is_not_there(t):
    last = saved_with_drives(t)
    load_fails(t, load_body(drive_overrides=[drive("e", path_on_host="disk")]),
               STATE_FAILED + "drive_overrides names the drive e; the snapshot has: d, base")
    served, client = serve(t)
    for fields, sentence in (
            ([drive(path_on_host="")], "`path_on_host` of `d` in `drive_overrides` is empty"),
            ([drive(), drive("base"), drive()], "`drive_overrides` names the drive `d` twice"),
            ([drive(file="disk")], "unknown field `file`")):
        client.refused_like("PUT", "/snapshot/load", load_body(drive_overrides=fields), sentence)
    client.put("/snapshot/load", load_body(resume_vm=True))
    goes_on(served, last)
    served.stop()


@case
def snapshot_override_onto_what_others_live_from_is_refused(t):
    """A drive that is written, onto the snapshot's files or another drive's; nothing changes."""
    last = saved_with_drives(t)
    before = [open(t.path(name), "rb").read() for name in ("state", "memory", "v")]
    for path, whose in (("state", "the snapshot's state file"), ("memory", "the snapshot's memory file"),
                        ("v", "the file of the drive base")):
        load_fails(t, load_body(resume_vm=True, drive_overrides=[drive(path_on_host=path)]),
                   f"{STATE_FAILED}drive_overrides has the drive d written to {path}, which is {whose}: name a file of "
                   "its own")
    equal("state, memory and base are as before", before,
          [open(t.path(name), "rb").read() for name in ("state", "memory", "v")])
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


OTHER_BASE = DEVICES_FAILED + ("Block: drive base: {} is not the file that it was when the snapshot was taken: its content "
                            "differs. Name that one, or say \"force\": true")
COMPARED = "to have it compared"


@case
def snapshot_override_of_a_base_compares_it(t):
    """The same file, or a copy; another is refused unless forced, and one of another size whatever is said."""
    last = saved_with_drives(t, "numbers")
    shutil.copyfile(t.path("v"), t.path("v2"))
    for overrides in ([drive("base")], [drive("base", path_on_host="v2")]):
        served, _ = load(t, drive_overrides=overrides)
        goes_on(served, last)
        served.stop()
    with open(t.path("v2"), "r+b") as base:
        base.seek(1024)
        base.write(b"another")
    load_fails(t, load_body(drive_overrides=[drive("base", path_on_host="v2")]), OTHER_BASE.format("v2"), part=True)
    served, client = load(t, drive_overrides=[drive("base", path_on_host="v2", force=True)])
    goes_on(served, last)
    equal("path", "v2", shown(client, "drives", 1)["path_on_host"])
    saved_again(client)
    again = numbers(served.vm.out)[-1]
    served.stop()
    served, _ = load(t, drive_overrides=[drive("base", path_on_host="v2")])  # noted anew
    goes_on(served, again)
    served.stop()
    load_fails(t, load_body(drive_overrides=[drive("base", path_on_host="v")]), OTHER_BASE.format("v"), part=True)
    os.truncate(t.path("v2"), 1 << 19)
    load_fails(t, load_body(drive_overrides=[drive("base", force=True)]),
               "v2 is not the file that it was when the snapshot was taken: it has 524288 bytes, and that one 1048576.",
               part=True)


@case
def snapshot_base_that_was_written_is_a_warning_where_nobody_asked(t):
    """As in Firecracker it is loaded; and a copy that was given the old one's time is no warning."""
    last = saved_with_drives(t, "numbers")
    served, _ = load(t)
    goes_on(served, last)
    served.stop()
    equal("warnings of the same file", 0, t.log.count(COMPARED))
    old = os.stat(t.path("v"))
    with open(t.path("v"), "r+b") as base:
        base.write(b"another")
    os.utime(t.path("v"), ns=(old.st_atime_ns, old.st_mtime_ns + 10**9))
    served, _ = load(t)
    goes_on(served, last)
    served.stop()
    contains("log", "drive base: v was written at another time than the file", t.log)
    load_fails(t, load_body(drive_overrides=[drive("base")]), OTHER_BASE.format("v"), part=True)
    os.utime(t.path("v"), ns=(old.st_atime_ns, old.st_mtime_ns))
    load_fails(t, load_body(drive_overrides=[drive("base")]), OTHER_BASE.format("v"), part=True)


@case
def snapshot_override_of_an_async_base_compares_it(t):
    """Its file belongs to the ring; it is looked at all the same, at create and at load."""
    t.disk()
    saved(t, configure=lambda client: client.drive("base", is_read_only=True, io_engine="Async"))
    served, _ = load(t, drive_overrides=[drive("base")])
    served.stop()
    with open(t.path("disk"), "r+b") as base:
        base.write(b"another")
    load_fails(t, load_body(drive_overrides=[drive("base")]), OTHER_BASE.format("disk"), part=True)
