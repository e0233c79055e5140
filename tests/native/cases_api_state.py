# SPDX-License-Identifier: Apache-2.0
"""What a VM may be asked in which state (api.md 5), and what its life looks like through the API: start, pause,
resume, end. Rows of clients.md are named where a case covers them."""

import os
import resource
import signal
import time

import yaml

from api import AFTER_START, BEFORE_START, NO_PCI, OWN_NETWORK, Served, drive, read_metrics
from native import ROOT, case, contains, equal, guest, is_static_build, lacks, messages, skip, wait_until

DONE = None  # 200 or 204
UNSUPPORTED = "The requested operation is not supported: "
NOT_FOUND = "Failed perform action on device: Device not found"
VERIFY = " Please verify the request arguments."
NOT_YET = " not yet supported by this build."
LOAD_FAILED = ("Load snapshot error: Failed to restore from snapshot: Failed to get snapshot state from file: "
               "Failed to open snapshot file: No such file or directory (os error 2) (s)")
NO_STORE = "MMDS error: The MMDS data store is not initialized."
LATCHED = ("Load snapshot error: Loading a microVM snapshot not allowed after configuring boot-specific resources.")
RUNNING = ("Create snapshot error: Cannot save the microVM state: Operation not allowed: save/restore unavailable "
           "while running")
NO_MODEL = " is not part of this VMM's device model"
BALLOON_UPDATE = "Balloon update error: " + NOT_FOUND

BOOT = {"kernel_image_path": guest("count"), "boot_args": ""}
MACHINE = {"vcpu_count": 1, "mem_size_mib": 128}
NIC = {"iface_id": "n", "host_dev_name": "tap0"}
CREATE = {"snapshot_path": "s", "mem_file_path": "m"}
LOAD = {"snapshot_path": "s", "mem_backend": {"backend_path": "m", "backend_type": "File"}}
BALLOON = {"amount_mib": 1, "deflate_on_oom": True}

# method, path, body, answers before the start, while it runs, while it is paused
MATRIX = [
    ("GET", "/", None, DONE, DONE, DONE),
    ("GET", "/version", None, DONE, DONE, DONE),
    ("GET", "/machine-config", None, DONE, DONE, DONE),
    ("GET", "/vm/config", None, DONE, DONE, DONE),
    ("PATCH", "/mmds", {"a": 1}, NO_STORE, DONE, DONE),
    ("GET", "/mmds", None, DONE, DONE, DONE),
    ("PUT", "/mmds", {"a": 1}, DONE, DONE, DONE),
    ("PATCH", "/mmds", {"a": 1}, DONE, DONE, DONE),
    ("PUT", "/logger", {"level": "Info"}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/metrics", {"metrics_path": "metrics"}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/serial", {}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/cpu-config", {}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/boot-source", BOOT, DONE, AFTER_START, AFTER_START),
    ("PUT", "/machine-config", MACHINE, DONE, AFTER_START, AFTER_START),
    ("PATCH", "/machine-config", MACHINE, DONE, AFTER_START, AFTER_START),
    ("PUT", "/drives/d", drive("d"), DONE, NO_PCI, NO_PCI),
    ("PUT", "/network-interfaces/n", NIC, DONE, NO_PCI, NO_PCI),
    ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v"}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/mmds/config", {"network_interfaces": ["n"], "version": "V2"}, DONE, AFTER_START, AFTER_START),
    ("PUT", "/mmds/config", {"network_interfaces": ["x"], "version": "V2"},
     "MMMDS config error: The list of network interface IDs provided contains at least one ID that does not "
     "correspond to any existing network interface.", AFTER_START, AFTER_START),
    ("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": "disk"}, BEFORE_START, DONE, DONE),
    ("PATCH", "/drives/d", {"drive_id": "d", "rate_limiter": {}}, BEFORE_START, DONE, DONE),
    ("PATCH", "/drives/x", {"drive_id": "x", "path_on_host": "disk"}, BEFORE_START,
     *2 * ("Drive config error: Unable to patch the block device: " + NOT_FOUND + VERIFY,)),
    ("PATCH", "/drives/d", {"drive_id": "d"}, BEFORE_START,
     *2 * ("Drive config error: Unable to patch the block device: Block: Running method expected different backend."
           + VERIFY,)),
    ("PATCH", "/network-interfaces/n", {"iface_id": "n"}, BEFORE_START, DONE, DONE),
    ("PATCH", "/network-interfaces/n", {"iface_id": "n", "rx_rate_limiter": {"ops": {"size": 9, "refill_time": 9}}},
     BEFORE_START, DONE, DONE),
    ("PATCH", "/network-interfaces/x", {"iface_id": "x"}, BEFORE_START,
     *2 * ("Network config error: Unable to update the net device: " + NOT_FOUND,)),
    ("DELETE", "/drives/d", None, BEFORE_START, NO_PCI, NO_PCI),
    ("DELETE", "/network-interfaces/n", None, BEFORE_START, NO_PCI, NO_PCI),
    ("DELETE", "/pmem/p", None, BEFORE_START, NO_PCI, NO_PCI),
    ("PUT", "/actions", {"action_type": "FlushMetrics"}, BEFORE_START, DONE, DONE),
    ("PUT", "/actions", {"action_type": "SendCtrlAltDel"}, BEFORE_START, DONE, DONE),
    ("PUT", "/snapshot/create", CREATE, BEFORE_START, RUNNING, DONE),
    ("PUT", "/snapshot/load", LOAD, LATCHED, AFTER_START, AFTER_START),
    # Devices that Mayfly does not have (deltas.md 2).
    ("PUT", "/balloon", BALLOON, UNSUPPORTED + "virtio-balloon" + NO_MODEL + ".", AFTER_START, AFTER_START),
    ("GET", "/balloon", None, "Balloon config error: No balloon device found.",
     *2 * ("Internal VMM error: " + NOT_FOUND,)),
    ("GET", "/balloon/statistics", None, BEFORE_START, *2 * ("Internal VMM error: " + NOT_FOUND,)),
    ("GET", "/balloon/hinting/status", None, BEFORE_START, BALLOON_UPDATE, BALLOON_UPDATE),
    ("PATCH", "/balloon", {"amount_mib": 1}, BEFORE_START, BALLOON_UPDATE, BALLOON_UPDATE),
    ("PATCH", "/balloon/statistics", {"stats_polling_interval_s": 1}, BEFORE_START, BALLOON_UPDATE, BALLOON_UPDATE),
    ("PATCH", "/balloon/hinting/start", {}, BEFORE_START, BALLOON_UPDATE, BALLOON_UPDATE),
    ("PATCH", "/balloon/hinting/stop", None, BEFORE_START, BALLOON_UPDATE, BALLOON_UPDATE),
    ("PUT", "/entropy", {}, UNSUPPORTED + "virtio-rng" + NO_MODEL + "; guests should use RDRAND/RDSEED and VMGenID.",
     AFTER_START, AFTER_START),
    ("PUT", "/pmem/p", {"id": "p", "path_on_host": "disk"}, UNSUPPORTED + "virtio-pmem" + NO_MODEL + ".", NO_PCI,
     NO_PCI),
    ("PATCH", "/pmem/p", {"id": "p"}, BEFORE_START,
     *2 * ("Pmem config error: Unable to patch the pmem device: " + NOT_FOUND + VERIFY,)),
    ("PUT", "/hotplug/memory", {"total_size_mib": 128}, UNSUPPORTED + "memory hotplug (virtio-mem)" + NO_MODEL + ".",
     AFTER_START, AFTER_START),
    ("GET", "/hotplug/memory", None, BEFORE_START, *2 * ("Internal VMM error: " + NOT_FOUND,)),
    ("PATCH", "/hotplug/memory", {"requested_size_mib": 1}, BEFORE_START,
     *2 * ("Memory hotplug update error: " + NOT_FOUND,)),
]


def ask_all(client, state, column):
    for row in MATRIX:
        method, path, body = row[:3]
        answer = row[3 + column]
        reply = client.ask(method, path, body)
        what = f"{state}: {method} {path} {body}"
        if answer is DONE:
            equal(what, 200 if method == "GET" else 204, reply.status)
        else:
            equal(what, (400, answer), (reply.status, reply.json.get("fault_message")))
        equal(f"state after {what}", state, client.get("/")["state"])


@case
def api_state_matrix(t):
    """Rows 28, 29, 44, 45, 46, 49, 50, 51, 57."""
    t.disk()
    served = Served(t, prefix=OWN_NETWORK, may_leave=("v", "s", "m"))
    client = served.connect()
    ask_all(client, "Not started", 0)
    client.action("InstanceStart")
    client.refused("PUT", "/actions", {"action_type": "InstanceStart"}, AFTER_START)
    ask_all(client, "Running", 1)
    client.state("Paused")
    client.refused("PUT", "/actions", {"action_type": "InstanceStart"}, AFTER_START)
    ask_all(client, "Paused", 2)
    client.state("Resumed")
    equal("state", "Running", client.get("/")["state"])
    served.stop()


# What sets the latch, also when it fails, and what does not (api.md 5, deltas.md 7).
LATCHING = [
    ("PUT", "/boot-source", BOOT),
    ("PUT", "/boot-source", {"kernel_image_path": "none"}),
    ("PUT", "/drives/d", drive("d")),
    ("PUT", "/drives/d", drive("d", path_on_host="none")),
    ("PUT", "/machine-config", MACHINE),
    ("PUT", "/machine-config", {"vcpu_count": 0, "mem_size_mib": 1}),
    ("PATCH", "/machine-config", {"vcpu_count": 2}),
    ("PATCH", "/machine-config", {"vcpu_count": 0}),
    ("PUT", "/network-interfaces/n", NIC),
    ("PUT", "/network-interfaces/n", {**NIC, "host_dev_name": "lo"}),
    ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v"}),
    ("PUT", "/vsock", {"guest_cid": 3, "uds_path": "none/v"}),
    ("PUT", "/mmds/config", {"network_interfaces": ["n"], "version": "V2"}),
]
HARMLESS = [
    ("GET", "/vm/config", None),
    ("PUT", "/logger", {}),
    ("PUT", "/serial", {}),
    ("PUT", "/cpu-config", {}),
    ("PUT", "/metrics", {"metrics_path": "metrics"}),
    ("PUT", "/mmds", {}),
    ("PUT", "/entropy", {}),
    ("PUT", "/balloon", BALLOON),
    ("PUT", "/drives/a-b", drive("a-b")),
    ("PUT", "/boot-source", {"kernel_image": "x"}),
    ("PATCH", "/machine-config", {}),
    ("PATCH", "/drives/d", {"drive_id": "d"}),
    ("PUT", "/actions", {"action_type": "InstanceStart"}),
]


@case
def api_boot_path_latch(t):
    """Row 72: what has set it lets no snapshot be loaded; the process lives."""
    t.disk()
    for index, (method, path, body) in enumerate(LATCHING):
        served = Served(t, name=f"{index}.sock", prefix=OWN_NETWORK, may_leave=("v",))
        client = served.connect()
        client.ask(method, path, body)
        client.refused("PUT", "/snapshot/load", LOAD, LATCHED)
        client.refused("PUT", "/snapshot/load", LOAD, LATCHED)
        served.stop()


@case
def api_boot_path_latch_is_not_set_by_others(t):
    """The load is tried, and its failure ends the process with the reason."""
    served = Served(t)
    client = served.connect()
    for method, path, body in HARMLESS:
        client.ask(method, path, body)
    client.refused("PUT", "/snapshot/load", LOAD, LOAD_FAILED)
    served.vm.wait()
    t.expect_error(served.vm, "RunWithApiError error: Failed to build MicroVM: Loading snapshot failed..")


@case
def api_failed_start_is_fixed_and_started(t):
    """Every way to fail leaves the VM to be configured anew in the same process."""
    t.write("text", "this is no kernel\n" * 100)
    served = Served(t)
    client = served.connect()

    def start_fails(part):
        client.refused_like("PUT", "/actions", {"action_type": "InstanceStart"}, "Start microvm error: ")
        client.refused_like("PUT", "/actions", {"action_type": "InstanceStart"}, part)
        equal("state", "Not started", client.get("/")["state"])

    start_fails("Cannot start microvm without kernel configuration.")
    client.put("/boot-source", {"kernel_image_path": "text", "boot_args": ""})
    start_fails("Invalid Elf magic number")
    client.put("/boot-source", {"kernel_image_path": "."})
    start_fails("is a directory")
    client.put("/boot-source", BOOT)
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 1 << 40})
    start_fails("Invalid Memory Configuration: Cannot create mmap region: Out of memory (os error 12)")
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 1})
    start_fails("raise mem_size_mib")
    client.put("/machine-config", MACHINE)
    client.put("/boot-source", {**BOOT, "boot_args": "a" * 2040})
    start_fails("Invalid kernel command line: Inserting string would make command line too long.")
    client.put("/boot-source", BOOT)
    client.put("/serial", {"serial_out_path": "none/serial"})
    start_fails("No such file or directory (os error 2)")
    client.put("/serial", {})
    client.action("InstanceStart")
    served.vm.await_output("counting")
    equal("state", "Running", client.get("/")["state"])
    served.stop()


@case
def api_start_without_room_is_tried_again(t):
    """Wherever the host has no more address space, also when some vCPU threads run already: nothing is left of the
    attempt, and with room it starts."""
    if not is_static_build():
        skip("sanitizers need address space themselves")
    served = Served(t, log_path="/dev/null")
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 32, "mem_size_mib": 128})
    client.put("/boot-source", BOOT)
    with open(f"/proc/{served.pid}/statm", encoding="ascii") as file:
        used = int(file.read().split()[0]) * 4096
    faults = []
    room = 64 << 20
    while True:
        resource.prlimit(served.pid, resource.RLIMIT_AS, (used + room, resource.RLIM_INFINITY))
        reply = client.ask("PUT", "/actions", {"action_type": "InstanceStart"})
        if reply.status == 204:
            break
        faults.append(reply.fault)
        equal("state", "Not started", client.get("/")["state"])
        equal("threads after a failed start", 2, len(served.vm.threads()))
        room += 32 << 20 if room < 128 << 20 else 96 << 10
    for part in ("Cannot create mmap region: Out of memory", "starting a vCPU thread: "):
        contains("faults", part, " ".join(faults))
    served.vm.await_output("counting")
    equal("vCPU threads", 32, sum(name.startswith("fc_vcpu ") for _, name in served.vm.threads()))
    client.state("Paused")
    equal("guest stands still", True, stands_still(served))
    served.stop()


def stands_still(served):
    """Does the guest print nothing for a while?"""
    before = len(served.vm.out)
    time.sleep(0.15)
    return len(served.vm.out) == before


def goes_on(served):
    before = len(served.vm.out)
    wait_until("output of the guest", lambda: len(served.vm.out) > before)


@case
def api_pause_stops_the_guest(t):
    """Row 51: idempotent both ways, exact, as often as asked."""
    served = Served(t, "--metrics-path", "metrics")
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 2, "mem_size_mib": 128})
    client.boot(guest("count"))
    served.vm.await_output("..")
    client.state("Resumed")
    for _ in range(3):
        client.state("Paused")
        equal("guest stands still", True, stands_still(served))
        client.state("Paused")
        equal("guest stands still after a second pause", True, stands_still(served))
        equal("state", "Paused", client.get("/")["state"])
        client.state("Resumed")
        goes_on(served)
        client.state("Resumed")
        goes_on(served)
        equal("state", "Running", client.get("/")["state"])
    for _ in range(50):
        client.state("Paused")
        client.state("Resumed")
    goes_on(served)
    client.action("FlushMetrics")
    last = read_metrics(t)[-1]["latencies_us"]
    for name in ("pause_vm", "vmm_pause_vm", "resume_vm", "vmm_resume_vm"):
        if last[name] > 1_000_000:  # less than a microsecond is 0
            equal(f"latencies_us.{name}", "at most a second", last[name])
    served.stop()
    for sentence in ("'pause vm' API request took ", "'pause vm' VMM action took ", "'resume vm' API request took ",
                     "'resume vm' VMM action took "):
        contains("log", sentence, t.log)


@case
def api_send_ctrl_alt_del(t):
    """Rows 22 and 50: the guest reads the codes of three keys and resets; the process ends well."""
    served = Served(t)
    client = served.connect()
    client.boot(guest("keys"))
    served.vm.await_output("ready")
    client.action("SendCtrlAltDel")
    served.vm.wait()
    t.expect_end(served.vm)
    equal("scan codes", "ready\n00000014\n00000011\n000000e0\n00000071\n", served.vm.out)
    ours = ["Vmm is stopping.", "Killing vCPU threads", "Firecracker exiting successfully. exit_code=0"]
    equal("end of the log, but for the API's lines", ours, [line for line in messages(t.log) if line in ours])
    equal("connection at its end", True, client.at_end())


@case
def api_send_ctrl_alt_del_until_full(t):
    """The guest reads nothing: the buffer fills, and a full one is an error, not a loss."""
    served = Served(t)
    client = served.connect()
    client.boot(guest("halt"))
    statuses = [client.ask("PUT", "/actions", {"action_type": "SendCtrlAltDel"}).status for _ in range(12)]
    equal("first", 204, statuses[0])
    client.refused("PUT", "/actions", {"action_type": "SendCtrlAltDel"},
                   "Internal VMM error: I8042 error: i8042 internal buffer full.")
    served.stop()


@case
def api_flush_metrics(t):
    """Row 62: nothing before the start, a line at the start, one a flush, counters are deltas."""
    served = Served(t)
    client = served.connect()
    client.put("/metrics", {"metrics_path": "metrics"})
    client.put("/boot-source", {"kernel_image_path": guest("halt")})
    equal("lines before the start", 0, len(read_metrics(t)))
    client.action("InstanceStart")
    equal("lines at the start", 1, len(read_metrics(t)))
    client.action("FlushMetrics")
    client.get("/version")
    client.action("FlushMetrics")
    lines = read_metrics(t)
    equal("lines", 3, len(lines))
    equal("actions_count", [1, 1, 1], [line["put_api_requests"]["actions_count"] for line in lines])
    equal("vmm_version_count", [0, 0, 1], [line["get_api_requests"]["vmm_version_count"] for line in lines])
    equal("boot_source_count", [1, 0, 0], [line["put_api_requests"]["boot_source_count"] for line in lines])
    served.stop()
    equal("file ends in a whole line", "\n", t.read("metrics")[-1:])


@case
def api_flush_metrics_without_metrics(t):
    served = Served(t)
    client = served.connect()
    client.boot(guest("halt"))
    client.action("FlushMetrics")
    equal("metrics file", False, os.path.exists(t.path("metrics")))
    served.stop()


@case
def api_with_config_file(t):
    """Rows 8, 41, 47: the first answered state is Running, and what the file said is shown."""
    t.disk()
    t.config("count", drives=[{"drive_id": "/dev/a drive", "path_on_host": "disk", "is_root_device": False}])
    served = Served(t, "--config-file", "vm.json")
    client = served.connect()
    equal("state", "Running", client.get("/")["state"])
    equal("drives", ["/dev/a drive"], [entry["drive_id"] for entry in client.get("/vm/config")["drives"]])
    client.refused("PUT", "/actions", {"action_type": "InstanceStart"}, AFTER_START)
    client.refused("PUT", "/logger", {}, AFTER_START)
    client.state("Paused")
    equal("guest stands still", True, stands_still(served))
    client.state("Resumed")
    goes_on(served)
    served.stop()


@case
def api_with_a_bad_config_file(t):
    """The wrapper says that there was an API; the socket stays, as the reference leaves it (row 6)."""
    t.config("count", boot_source={"kernel_image_path": "none"})
    served = Served(t, "--config-file", "vm.json")
    served.vm.wait()
    t.expect_error(served.vm, "RunWithApiError error: Failed to build MicroVM from Json: Configuration for VMM from one "
                   "single json failed: Boot source error: The kernel file cannot be opened: No such file or directory "
                   "(os error 2)")
    equal("socket", True, os.path.exists(served.path))


@case
def api_config_file_is_what_vm_config_shows(t):
    """Row 47: the document of GET /vm/config is a config file."""
    t.disk()
    served = Served(t)
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 2, "mem_size_mib": 64, "track_dirty_pages": True})
    client.drive("a", is_read_only=True, cache_type="Writeback")
    client.drive("b", is_root_device=True, rate_limiter={"ops": {"size": 10, "refill_time": 100}})
    client.put("/boot-source", {"kernel_image_path": guest("count"), "boot_args": "x y"})
    shown = client.ask("GET", "/vm/config").body
    served.stop()
    t.write("vm.json", shown)
    served = Served(t, "--config-file", "vm.json", name="second.sock")
    equal("GET /vm/config", shown, served.connect().ask("GET", "/vm/config").body)
    served.stop()


@case
def api_signals_while_paused(t):
    """Rows 19 and 20: SIGTERM and SIGINT are not caught, SIGHUP ends with its code, also when all stands still."""
    for index, (number, status) in enumerate([(signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, -signal.SIGINT),
                                              (signal.SIGHUP, 156)]):
        served = Served(t, name=f"{index}.sock")
        client = served.connect()
        client.boot(guest("count"))
        client.state("Paused")
        served.vm.signal(number)
        served.vm.wait()
        equal(f"end by signal {number}", status, served.vm.status)
        equal("connection at its end", True, client.at_end())
        equal("socket stays", True, os.path.exists(served.path))


@case
def api_guest_ends_with_clients_connected(t):
    """Rows 6, 22, 23, 31: each way to end with idle clients; they see the end of their connection."""
    for index, (kernel, status) in enumerate([("hello", 0), ("power_off", 0), ("triple_fault", 1)]):
        served = Served(t, name=f"{index}.sock", log=False)
        idle = [served.connect() for _ in range(9)]
        client = served.connect()
        client.boot(guest(kernel))
        served.vm.wait()
        equal(f"exit status after {kernel}", status, served.vm.status)
        for connection in (client, *idle):
            equal("connection at its end", True, connection.at_end())
        contains("stdout", "Running Mayfly v", served.vm.out)
        contains("stdout", "Vmm is stopping.", served.vm.out)
        equal("clean end", status == 0, "Firecracker exiting successfully. exit_code=0" in served.vm.out)
        lacks("stdout", "panick", served.vm.out)


@case
def api_guest_ends_under_fire(t):
    """The guest ends while requests come: each is answered, or its connection ends; the process ends well."""
    for index in range(8):
        served = Served(t, name=f"{index}.sock")
        client = served.connect()
        client.boot(guest("hello"))
        try:
            for _ in range(10000):
                client.ask("GET", "/vm/config")
        except (EOFError, ConnectionResetError, BrokenPipeError):
            pass
        served.vm.wait()
        t.expect_end(served.vm)
