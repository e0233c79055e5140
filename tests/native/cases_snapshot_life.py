# SPDX-License-Identifier: Apache-2.0
"""The life of snapshots (snapshot.md 2, 4, 9; clients.md 71-82): when they may be taken and loaded, and what a VM is
after it."""

import os
import shutil
import time

from api import AFTER_START, OWN_NETWORK
from native import case, contains, equal, guest, lacks, messages, wait_until
from snapshot_tools import (MIB, boot, counts, create, create_body, goes_on, load, load_body, load_fails, numbers,
                            saved, serve, sha)

RUNNING = ("Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable "
           "while running")
LATCHED = "Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources."


@case
def snapshot_of_a_running_vm_is_refused(t):
    served, client = boot(t)
    counts(served)
    for kind in ("Full", "Diff"):
        client.refused("PUT", "/snapshot/create", create_body(kind=kind), RUNNING)
    equal("state", "Running", client.get("/")["state"])
    equal("files", [False, False], [os.path.exists(t.path(name)) for name in ("state", "memory")])
    counts(served)
    served.stop()


@case
def snapshot_leaves_the_vm_paused_and_whole(t):
    served, client = boot(t)
    counts(served)
    client.state("Paused")
    last = numbers(served.vm.out)[-1]
    create(client)
    equal("state", "Paused", client.get("/")["state"])
    time.sleep(0.1)
    equal("numbers while paused", last, numbers(served.vm.out)[-1])
    client.state("Resumed")
    counts(served)
    served.stop()


@case
def snapshot_load_without_resume_waits_for_the_client(t):
    last = saved(t)
    served, client = serve(t)
    client.put("/snapshot/load", load_body())
    equal("state", "Paused", client.get("/")["state"])
    time.sleep(0.1)
    equal("output of the new process", [], numbers(served.vm.out))
    client.state("Resumed")
    equal("state", "Running", client.get("/")["state"])
    goes_on(served, last)
    served.stop()


@case
def snapshot_load_resumes_when_asked(t):
    last = saved(t)
    served, client = load(t)
    equal("state", "Running", client.get("/")["state"])
    goes_on(served, last)
    served.stop()


@case
def snapshot_of_a_loaded_vm_that_never_ran(t):
    """Paused is paused: it may be saved again at once."""
    last = saved(t)
    served, client = serve(t)
    client.put("/snapshot/load", load_body())
    create(client, "state2", "memory2")
    served.stop()
    served, _ = load(t, state="state2", memory="memory2")
    goes_on(served, last)
    served.stop()


@case
def snapshot_vm_config_is_the_same_afterwards(t):
    """Row 47, and api.md 8: every device with every setting."""
    t.disk()
    limiter = {"bandwidth": {"size": 1000000, "one_time_burst": 5, "refill_time": 100},
               "ops": {"size": 1000, "one_time_burst": None, "refill_time": 7}}

    def configure(client):
        client.drive("root", is_root_device=True, is_read_only=True, cache_type="Writeback")
        client.drive("data", rate_limiter=limiter, io_engine="Async")
        client.put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "tap0", "mtu": 1400,
                                                "guest_mac": "06:00:ac:10:00:02", "rx_rate_limiter": limiter})
        client.put("/network-interfaces/eth1", {"iface_id": "eth1", "host_dev_name": "tap1"})
        client.put("/vsock", {"guest_cid": 52, "uds_path": "v"})
        client.put("/mmds/config", {"network_interfaces": ["eth0"], "version": "V2", "ipv4_address": "169.254.1.2"})

    served, client = boot(t, configure=configure, prefix=OWN_NETWORK)
    counts(served)
    client.state("Paused")
    before = client.ask("GET", "/vm/config").body
    machine = client.get("/machine-config")
    create(client)
    equal("GET /vm/config of the paused VM", before, client.ask("GET", "/vm/config").body)
    served.stop()
    os.unlink(t.path("v"))
    served, client = load(t, options={"prefix": OWN_NETWORK})
    equal("GET /vm/config of the loaded VM", before, client.ask("GET", "/vm/config").body)
    equal("GET /machine-config", machine, client.get("/machine-config"))
    counts(served)
    served.stop()


@case
def snapshot_track_dirty_pages_is_the_loads(t):
    """api.md 7: by either of its names, and not what the snapshot had."""
    saved(t, track_dirty_pages=True)
    for fields, tracked in (({}, False), ({"track_dirty_pages": True}, True), ({"enable_diff_snapshots": True}, True)):
        served, client = load(t, **fields)
        equal(f"track_dirty_pages of {fields}", tracked, client.get("/machine-config")["track_dirty_pages"])
        served.stop()


@case
def snapshot_serial_output_goes_where_the_new_process_says(t):
    """snapshot.md 4, step 7; row 72: /serial is one of the calls that may precede."""
    last = saved(t)
    served, client = serve(t)
    client.put("/serial", {"serial_out_path": "memory2"})
    client.put("/snapshot/load", load_body(resume_vm=True))
    wait_until("numbers in the file", lambda: len(numbers(t.read("memory2"))) > 3)
    equal("the first number", True, numbers(t.read("memory2"))[0] in (last + 1, last + 2))
    equal("stdout", [], numbers(served.vm.out))
    served.stop()


@case
def snapshot_of_a_restore_ten_times_over(t):
    """Each generation over the very files that it is mapped from."""
    last = saved(t)
    for _ in range(10):
        served, client = load(t)
        goes_on(served, last)
        client.state("Paused")
        create(client)
        last = numbers(served.vm.out)[-1]
        client.state("Resumed")
        counts(served)
        served.stop()


@case
def snapshot_cloned_twice_at_once(t):
    """Row 80: neither sees the other, and the file stays as it is."""
    last = saved(t)
    before = sha(t, "memory"), sha(t, "state")
    clones = [load(t)[0] for _ in range(2)]
    for clone in clones:
        goes_on(clone, last)
    for clone in clones:
        counts(clone)
        clone.stop()
    equal("the files", before, (sha(t, "memory"), sha(t, "state")))


@case
def snapshot_files_may_be_read_only_and_unlinked(t):
    """No right to write is used, not even root's; the VM needs no path once it is loaded (snapshot.md 5)."""
    last = saved(t)
    for name in ("state", "memory"):
        os.chmod(t.path(name), 0o444)
    os.chmod(t.dir, 0o777)
    served, client = load(t, options={"prefix": ("setpriv", "--bounding-set=-dac_override,-dac_read_search",
                                                 "--inh-caps=-dac_override,-dac_read_search")})
    for name in ("state", "memory"):
        os.unlink(t.path(name))
    goes_on(served, last)
    client.state("Paused")
    create(client)
    served.stop()
    served, _ = load(t)
    counts(served)
    served.stop()


@case
def snapshot_by_absolute_relative_and_longer_paths(t):
    """Rows 24 and 79: a path means the same as to any program; what is in the snapshot stays as it was given."""
    os.mkdir(t.path("v"))
    served, client = boot(t)
    counts(served)
    client.state("Paused")
    create(client, "v/state", "v/../v/./memory")
    create(client, t.path("state"), t.path("memory"))
    last = numbers(served.vm.out)[-1]
    served.stop()
    for state, memory in (("v/state", t.path("v/memory")), ("./state", "memory")):
        served, _ = load(t, state=state, memory=memory)
        goes_on(served, last)
        served.stop()
    shutil.rmtree(t.path("v"))


@case
def snapshot_with_the_irqchip_in_the_kernel(t):
    """The state says which it was; the loading process need not be told."""
    last = saved(t, "--irqchip", "full")
    for args in ((), ("--irqchip", "split"), ("--irqchip", "full")):
        served, _ = load(t, *args)
        goes_on(served, last)
        served.stop()


def pairs(text):
    """(count of the first vCPU, of the second) of guests/numbers_smp.S."""
    lines = [line.split(" ") for line in text.replace("\r", "").split("\n")[:-1]]
    return [(int(line[0], 16), int(line[1], 16)) for line in lines if len(line) == 2 and len(line[0] + line[1]) == 16]


def both_count(served):
    before = (pairs(served.vm.out) or [(0, 0)])[-1]
    wait_until("both vCPUs counting", lambda: (pairs(served.vm.out) or [(0, 0)])[-1][1] > before[1])
    seen = pairs(served.vm.out)
    equal("numbers of the first", list(range(seen[0][0], seen[0][0] + len(seen))), [first for first, _ in seen])
    equal("numbers of the second only grow", sorted(second for _, second in seen), [second for _, second in seen])
    lacks("output", "!", served.vm.out)
    return seen


def smp(irqchip):
    def run(t):
        served, client = boot(t, "--irqchip", irqchip, kernel="numbers_smp", vcpus=2)
        both_count(served)
        for _ in range(3):
            both_count(served)
            client.state("Paused")
            create(client)
            last = pairs(served.vm.out)[-1]
            served.stop()
            served, client = load(t)
            seen = both_count(served)
            equal("vcpu_count", 2, client.get("/machine-config")["vcpu_count"])
            equal("the first line", True, seen[0][0] in (last[0] + 1, last[0] + 2) and seen[0][1] >= last[1])
        served.stop()
    run.__name__ = f"snapshot_of_two_vcpus_{irqchip}"
    return run


for _irqchip in ("split", "full"):
    case(smp(_irqchip))


@case
def snapshot_of_memory_on_both_sides_of_the_gap(t):
    """3 GiB and what is above 4 GiB follow each other in the file (snapshot.md 1)."""
    last = saved(t, mem=3200)
    equal("length of the memory file", 3200 * MIB, os.path.getsize(t.path("memory")))
    served, client = load(t)
    goes_on(served, last)
    equal("mem_size_mib", 3200, client.get("/machine-config")["mem_size_mib"])
    served.stop()


@case
def snapshot_times_are_logged_and_measured(t):
    """Rows 64 and 81: orchestrators read them from the log and from the metrics."""
    served, client = boot(t, "--metrics-path", "metrics", track_dirty_pages=True)
    counts(served)
    client.state("Paused")
    create(client)
    create(client, "state2", "memory2", kind="Diff")
    client.action("FlushMetrics")
    last = t.metrics()[-1]["latencies_us"]
    for name in ("full_create_snapshot", "vmm_full_create_snapshot", "diff_create_snapshot",
                 "vmm_diff_create_snapshot"):
        equal(f"latencies_us.{name}", True, 0 < last[name] < 10_000_000)
    served.stop()
    for kind in ("full", "diff"):
        for who in ("VMM action", "API request"):
            contains("log", f"'create {kind} snapshot' {who} took ", t.log)
    equal("warnings about the preview", 1, sum("developer preview" in line for line in messages(t.log)))
    os.unlink(t.path("log"))
    os.unlink(t.path("metrics"))
    served, client = load(t, "--metrics-path", "metrics")
    client.action("FlushMetrics")
    for name in ("load_snapshot", "vmm_load_snapshot"):
        equal(f"latencies_us.{name}", True, any(0 < line["latencies_us"][name] < 10_000_000 for line in t.metrics()))
    served.stop()
    contains("log", "'load snapshot' VMM action took ", t.log)
    contains("log", "'load snapshot' API request took ", t.log)


@case
def snapshot_load_is_the_only_one(t):
    """A loaded VM is a started VM: no second load, no configuration, no start (snapshot.md 4)."""
    saved(t)
    t.disk()
    for resume in (False, True):
        served, client = load(t, body=load_body(resume_vm=resume))
        client.refused("PUT", "/snapshot/load", load_body(), AFTER_START)
        for path, body in (("/boot-source", {"kernel_image_path": guest("count")}),
                           ("/machine-config", {"vcpu_count": 1, "mem_size_mib": 32}),
                           ("/vsock", {"guest_cid": 3, "uds_path": "v"}), ("/logger", {}), ("/serial", {}),
                           ("/cpu-config", {}), ("/actions", {"action_type": "InstanceStart"}),
                           ("/mmds/config", {"network_interfaces": ["n"]})):
            client.refused("PUT", path, body, AFTER_START)
        equal("state", "Running" if resume else "Paused", client.get("/")["state"])
        served.stop()


@case
def snapshot_load_after_configuration_is_refused_and_the_process_lives(t):
    """Row 72: the only failed load that does not end it. The VM that was configured starts."""
    saved(t)
    served, client = serve(t)
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 32})
    client.refused("PUT", "/snapshot/load", load_body(), LATCHED)
    client.boot(guest("numbers"))
    equal("the first number", 1, counts(served)[0])
    served.stop()


@case
def snapshot_load_may_follow_what_is_no_boot_resource(t):
    """Row 72: logger, metrics, serial, CPU configuration and metadata, which a snapshot does not hold."""
    def configure(client):
        client.put("/network-interfaces/n", {"iface_id": "n", "host_dev_name": "tap0"})
        client.put("/mmds/config", {"network_interfaces": ["n"], "version": "V2"})
        client.put("/mmds", {"old": 1})

    last = saved(t, configure=configure, prefix=OWN_NETWORK)
    served, client = serve(t, prefix=OWN_NETWORK)
    client.put("/logger", {"level": "Info"})
    client.put("/metrics", {"metrics_path": "metrics"})
    client.put("/serial", {})
    client.put("/cpu-config", {})
    client.put("/mmds", {"a": 1})
    client.put("/snapshot/load", load_body(resume_vm=True))
    equal("GET /mmds", {"a": 1}, client.get("/mmds"))
    client.patch("/mmds", {"b": 2})
    equal("GET /mmds after PATCH", {"a": 1, "b": 2}, client.get("/mmds"))
    goes_on(served, last)
    served.stop()


@case
def snapshot_load_refused_as_json_leaves_the_process(t):
    """api.md 7: which load was meant, nobody knows; the next may be right."""
    last = saved(t)
    served, client = serve(t)
    for body, part in (
            ({"mem_file_path": "memory"}, "missing field `snapshot_path`"),
            ({"snapshot_path": "state"}, "missing field: either `mem_backend` or `mem_file_path` is required"),
            ({**load_body(), "mem_file_path": "memory"},
             "too many fields: either `mem_backend` or `mem_file_path` exclusively is required"),
            (load_body(backend="foo"), "unknown variant `foo`, expected `File` or `Uffd`"),
            ({"snapshot_path": "state", "mem_backend": {"backend_type": "File"}}, "missing field `backend_path`"),
            ({"snapshot_path": "state", "mem_backend": {"backend_path": "x"}}, "missing field `backend_type`"),
            (load_body(foo=1), "foo")):
        client.refused_like("PUT", "/snapshot/load", body, part)
    client.put("/snapshot/load", load_body(resume_vm=True))
    goes_on(served, last)
    served.stop()


@case
def snapshot_load_by_the_deprecated_field(t):
    """Row 74: nomad-driver-firecracker and old SDKs; the header also on a failure."""
    last = saved(t)
    served, client = serve(t)
    reply = client.ask("PUT", "/snapshot/load",
                       {"snapshot_path": "state", "mem_file_path": "memory", "resume_vm": True})
    equal("mem_file_path", (204, True), (reply.status, "Deprecation: true" in reply.headers))
    goes_on(served, last)
    served.stop()
    served, client = serve(t)
    reply = client.ask("PUT", "/snapshot/load", load_body())
    equal("mem_backend", (204, False), (reply.status, "Deprecation: true" in reply.headers))
    served.stop()
    reply = load_fails(t, {"snapshot_path": "none", "mem_file_path": "memory"}, "No such file", part=True)
    equal("a failure", True, "Deprecation: true" in reply.headers)


@case
def snapshot_clock_realtime_is_accepted(t):
    last = saved(t)
    served, _ = load(t, clock_realtime=True)
    goes_on(served, last)
    served.stop()
