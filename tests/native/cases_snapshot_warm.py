# SPDX-License-Identifier: Apache-2.0
"""--warm: a VM that is made before its snapshot is known takes one of its shape; any other is loaded as ever."""

import json
import os

from cases_snapshot_uffd import handler
from native import case, contains, equal, guest, lacks, wait_until
from snapshot_tools import (DEVICES_FAILED, LOST, boot, counts, create, goes_on, load_body, numbers, saved, serve)

GIVEN_UP = "The VM that --warm made is given up, and another is made: "


def shape(t, mem=32, vcpus=1, **more):
    t.write("shape", json.dumps({"vcpu_count": vcpus, "mem_size_mib": mem, **more}))
    return "--warm", "shape"


def threads(served):
    """Names and numbers of the vCPUs' threads; KVM may have one, too."""
    tasks = f"/proc/{served.pid}/task"
    names = [(open(f"{tasks}/{task}/comm", encoding="ascii").read().strip(), int(task)) for task in os.listdir(tasks)]
    return sorted((name, task) for name, task in names if name.startswith("fc_vcpu"))


def warm(t, *args, **fields):
    """A monitor whose VM is made."""
    served, client = serve(t, *shape(t, **fields), *args)
    wait_until("the vCPUs' threads", lambda: served.vm.process.poll() is not None or
               len(threads(served)) == fields.get("vcpus", 1))
    return served, client


def into_warm(t, body=None, *args, **fields):
    served, client = warm(t, *args, **fields)
    before = threads(served)
    client.put("/snapshot/load", body or load_body(resume_vm=True))
    return served, client, before


@case
def warm_vm_takes_a_snapshot_of_its_shape(t):
    """Its threads are those that waited, and it can be saved and loaded again."""
    last = saved(t)
    for _ in range(3):
        served, client, before = into_warm(t)
        last = goes_on(served, last)[-1]
        equal("threads", before, threads(served))
        client.state("Paused")
        create(client)
        last = numbers(served.vm.out)[-1]
        served.stop()
    lacks("log", GIVEN_UP, t.log)


@case
def warm_vm_with_two_vcpus_and_dirty_tracking(t):
    """A Diff of what was loaded into it keeps only what changed."""
    served, client = boot(t, vcpus=2, track_dirty_pages=True)
    counts(served)
    client.state("Paused")
    create(client)
    last = numbers(served.vm.out)[-1]
    served.stop()
    served, client, before = into_warm(t, load_body(resume_vm=True, track_dirty_pages=True), vcpus=2, track_dirty_pages=True)
    goes_on(served, last)
    equal("threads", before, threads(served))
    client.state("Paused")
    create(client, "state2", "memory2", "Diff")
    equal("data of the diff is small", True, os.stat(t.path("memory2")).st_blocks * 512 < 1 << 20)
    served.stop()
    lacks("log", GIVEN_UP, t.log)


@case
def warm_vm_of_the_kernels_irqchip(t):
    last = saved(t, "--irqchip", "full")
    served, _, _ = into_warm(t, None, "--irqchip", "full")
    goes_on(served, last)
    served.stop()
    lacks("log", GIVEN_UP, t.log)


@case
def warm_vm_of_another_shape_makes_way(t):
    """Same reply, and the log says what differs."""
    last = saved(t)
    body = load_body(resume_vm=True)
    for why, fields, args in (("the snapshot has another vcpu_count", {"vcpus": 2}, ()),
                              ("the snapshot has another mem_size_mib", {"mem": 64}, ()),
                              ("the load asks for another track_dirty_pages", {"track_dirty_pages": True}, ()),
                              ("the snapshot has the other --irqchip", {}, ("--irqchip", "full"))):
        served, _, before = into_warm(t, body, *args, **fields)
        goes_on(served, last)
        equal("vCPU threads", ["fc_vcpu 0"], [name for name, _ in threads(served)])
        equal("threads that waited and are there still", set(), set(before) & set(threads(served)))
        contains("log", GIVEN_UP + why, t.log)
        served.stop()


@case
def warm_vm_is_filled_by_a_handler(t):
    last = saved(t)
    with handler(t):
        served, _, _ = into_warm(t, load_body(memory="v", backend="Uffd", resume_vm=True))
        goes_on(served, last)
        served.stop()
    lacks("log", GIVEN_UP, t.log)


@case
def warm_vm_makes_way_for_a_boot(t):
    served, client = warm(t)
    client.boot(guest("numbers"))
    counts(served)
    contains("log", GIVEN_UP + "one is booted", t.log)
    served.stop()


@case
def warm_vm_waits_unseen(t):
    """Nothing has started as far as a client can tell, and it is told to end as any other."""
    served, client = warm(t)
    equal("state", "Not started", client.get("/")["state"])
    equal("a pause", 400, client.ask("PATCH", "/vm", {"state": "Paused"}).status)
    equal("output", "", served.vm.out)
    served.stop()


@case
def warm_vm_is_lost_with_a_failed_load(t):
    """As with any other: the sentence, then the end."""
    saved(t)
    for body in (load_body("none"), load_body(memory="none"), load_body(memory="state")):
        served, client = warm(t)
        equal(f"status of {body}", 400, client.ask("PUT", "/snapshot/load", body).status)
        t.expect_end(served.vm.wait(), 1)
        contains("stderr", LOST, served.vm.err)


@case
def warm_vm_whose_devices_cannot_be_opened(t):
    """The memory is mapped by then."""
    t.write("disk", b"\0" * 4096)
    drive = {"drive_id": "d", "path_on_host": "disk", "is_root_device": False}
    saved(t, configure=lambda client: client.put("/drives/d", drive))
    os.unlink(t.path("disk"))
    served, client = warm(t)
    reply = client.ask("PUT", "/snapshot/load", load_body())
    contains("fault", DEVICES_FAILED + "Block: ", reply.fault)
    t.expect_end(served.vm.wait(), 1)


@case
def warm_vm_whose_shape_is_none(t):
    """Each refusal names the file and what is wrong; nothing is left behind."""
    for text, sentence in (("{", "--warm shape: "),
                           ("[]", "--warm shape: "),
                           ('{"vcpu_count":1}', "--warm shape: missing field `mem_size_mib`"),
                           ('{"vcpu_count":0,"mem_size_mib":32}', "--warm shape: The number of vCPUs must be "),
                           ('{"vcpu_count":1,"mem_size_mib":0}', "--warm shape: The memory size (MiB) is "),
                           ('{"vcpu_count":1,"mem_size_mib":32,"huge_pages":"2M"}', "--warm shape: huge_pages: "),
                           ('{"vcpu_count":1,"mem_size_mib":32,"more":1}', "--warm shape: unknown field `more`")):
        t.write("shape", text)
        vm = t.start("--api-sock", "api.sock", "--warm", "shape")
        t.expect_end(vm.wait(), 1)
        contains(f"stderr of {text}", sentence, vm.err)
        equal("socket", False, os.path.exists(t.path("api.sock")))
    for args, sentence in ((("--warm", "none"), "--warm: "),
                           (("--warm", "shape", "--config-file", "x"), "cannot be used together with"),
                           (("--warm", "shape", "--load-snapshot", "x"), "cannot be used together with")):
        vm = t.start("--api-sock", "api.sock", *args)
        equal(f"status of {args} is a failure", True, vm.wait() != 0)
        contains(f"stderr of {args}", sentence, vm.err)
