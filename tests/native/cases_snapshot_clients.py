# SPDX-License-Identifier: Apache-2.0
"""What clients do between a load and the first instruction, and where they keep files (docs/clients-coverage.md: rows
53, 56, 78, 82)."""

import os
import shutil
import socket
import time

from api import AFTER_START, OWN_NETWORK, Served
from cases_mmds import NO_STORE
from native import case, contains, equal, guest, wait_until
from snapshot_tools import LEFT, boot, counts, create, goes_on, load, load_body, numbers, saved, sha

HOURS = 36_000_000  # in which the cases' buckets are filled again


def one_disk(engine):
    return lambda client: client.drive("d", io_engine=engine)


def limit_binds(engine):
    def run(t):
        """Row 53: a bucket of seven requests is two numbers and a begun one, or what was on its way and three more."""
        t.disk()
        last = saved(t, kernel="disk_numbers", configure=one_disk(engine))
        served, client = load(t, body=load_body())
        limiter = {"bandwidth": None, "ops": {"size": 7, "one_time_burst": None, "refill_time": HOURS}}
        client.patch("/drives/d", {"drive_id": "d", "rate_limiter": limiter})
        equal("limiter", limiter, client.get("/vm/config")["drives"][0]["rate_limiter"])
        client.state("Resumed")
        wait_until("numbers", lambda: len(numbers(served.vm.out)) >= 2)
        time.sleep(0.2)
        equal("two to four numbers", True, 2 <= len(numbers(served.vm.out)) <= 4)
        client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"ops": {"size": 0, "refill_time": 0}}})
        goes_on(served, last)
        served.stop()
    run.__name__ = f"snapshot_limit_set_before_the_resume_binds_{engine.lower()}"
    return run


for _engine in ("Sync", "Async"):
    case(limit_binds(_engine))


def with_metadata(client):
    client.put("/network-interfaces/n", {"iface_id": "n", "host_dev_name": "tap0"})
    client.put("/mmds/config", {"network_interfaces": ["n"], "version": "V2", "ipv4_address": "169.254.1.2"})
    client.put("/mmds", {"whose": "the first's"})


@case
def snapshot_metadata_is_put_again(t):
    """Row 56: the configuration is kept, the document is not; a paused VM takes one. Row 53: and limits of its NICs."""
    served, client = boot(t, configure=with_metadata, prefix=OWN_NETWORK)
    config = client.get("/vm/config")["mmds-config"]
    counts(served)
    client.state("Paused")
    create(client)
    last = numbers(served.vm.out)[-1]
    served.stop()
    served, client = load(t, body=load_body(), options={"prefix": OWN_NETWORK})
    equal("configuration", config, client.get("/vm/config")["mmds-config"])
    client.refused("PATCH", "/mmds", {"a": 1}, NO_STORE)
    equal("no document", {}, client.get("/mmds"))
    client.put("/mmds", {"whose": "the second's"})
    client.patch("/mmds", {"a": 1})
    limiter = {"bandwidth": {"size": 1000, "one_time_burst": None, "refill_time": 100}, "ops": None}
    client.patch("/network-interfaces/n", {"iface_id": "n", "rx_rate_limiter": limiter})
    client.state("Resumed")
    client.patch("/mmds", {"b": 2})
    equal("document", {"whose": "the second's", "a": 1, "b": 2}, client.get("/mmds"))
    client.put("/mmds", {})
    equal("limiter", limiter, client.get("/vm/config")["network-interfaces"][0]["rx_rate_limiter"])
    client.refused("PUT", "/mmds/config", {"network_interfaces": ["n"]}, AFTER_START)
    goes_on(served, last)
    served.stop()


@case
def snapshot_hard_links_serve_several_at_once(t):
    """Row 78: each jail has names of its own for the same files, of which no byte changes while the VMs write."""
    last = saved(t)
    before = sha(t, "state"), sha(t, "memory")
    os.link(t.path("state"), t.path("state2"))
    os.link(t.path("memory"), t.path("memory2"))
    clones = [load(t, body=load_body(state, memory, resume_vm=True))[0]
              for state, memory in (("state", "memory"), ("state2", "memory2"))]
    for served in clones:
        goes_on(served, last)
    equal("the files", before, (sha(t, "state"), sha(t, "memory")))
    for served in clones:
        served.stop()


def serve_in(t, directory):
    """A monitor that works in that directory; its socket is in the test's."""
    served = Served(t, name=t.path(f"{len(t.monitors)}.sock"), log_path=t.path("log"), may_leave=LEFT,
                    prefix=("sh", "-c", f'cd {directory} && exec "$@"', "sh"))
    return served, served.connect()


@case
def snapshot_relative_names_are_of_the_new_directory(t):
    """Row 82: disk and vsock socket are the clone's own; the first VM's directory is gone."""
    for name in ("one", "other"):
        os.mkdir(t.path(name))
    t.disk("one/disk")
    served, client = serve_in(t, "one")
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 32})
    client.drive("d")
    client.put("/vsock", {"guest_cid": 3, "uds_path": "v"})
    client.boot(os.path.relpath(guest("disk_numbers"), t.path("one")))
    counts(served)
    client.state("Paused")
    create(client)
    config = client.get("/vm/config")
    last = numbers(served.vm.out)[-1]
    served.stop()
    for name in ("state", "memory", "disk"):
        os.rename(t.path(f"one/{name}"), t.path(f"other/{name}"))
    shutil.rmtree(t.path("one"))
    served, client = serve_in(t, "other")
    client.put("/snapshot/load", load_body(resume_vm=True))
    seen = goes_on(served, last)
    equal("GET /vm/config", config, client.get("/vm/config"))
    contains("open files", t.path("other/disk"),
             [os.readlink(f"/proc/{served.pid}/fd/{fd}") for fd in os.listdir(f"/proc/{served.pid}/fd")])
    with open(t.path("other/disk"), "rb") as disk:
        written = int.from_bytes(os.pread(disk.fileno(), 4, 8 * 512), "little")
    equal("number on the other disk", True, written >= seen[-1])
    with socket.socket(socket.AF_UNIX) as stream:
        stream.connect(t.path("other/v"))
    served.stop()
