# SPDX-License-Identifier: Apache-2.0
"""Drives, logger, metrics, serial, paths and ids through the API. Rows of clients.md are named where a case covers
them."""

import fcntl
import os
import socket
import stat
import time

from api import AFTER_START, Served, drive, read_metrics
from native import case, contains, equal, guest, lacks, messages, skip, wait_until

CREATE_DRIVE = "Drive config error: Unable to create the virtio block device: "
OPEN_DRIVE = CREATE_DRIVE + "Virtio backend error: Error manipulating the backing file: "
PATCH_DRIVE = "Drive config error: Unable to patch the block device: Block: Virtio backend error: Error manipulating the "
NO_FILE = "No such file or directory (os error 2)"
ALREADY = ("Metrics error: Cannot initialize the metrics system due to bad user input: Reinitialization of metrics not "
           "allowed.")
KERNEL = "Boot source error: The kernel file cannot be opened: "
BAD_ID = "API Resource IDs can only contain alphanumeric characters and underscores."
OTHER_ID = "The id from the path does not match the id from the body!"


def drives(client):
    return client.get("/vm/config")["drives"]


def capacities(served):
    """What the guest has seen, in sectors."""
    return [int(line, 16) for line in served.vm.out.splitlines() if len(line) == 8]


def await_capacity(served, sectors):
    wait_until(f"{sectors} sectors in the guest", lambda: capacities(served)[-1:] == [sectors])


@case
def api_patch_drive_while_running_and_paused(t):
    """Rows 36, 52, 53: a placeholder of no sectors is swapped, the same path is read again, all while paused too."""
    t.write("placeholder", "")
    t.disk("small", sectors=100)
    t.disk("large", sectors=300)
    served = Served(t, "--metrics-path", "metrics")
    client = served.connect()
    client.drive("d", path_on_host="placeholder", is_read_only=True)
    client.boot(guest("capacity"))
    await_capacity(served, 0)
    client.patch("/drives/d", {"drive_id": "d", "path_on_host": "small"})
    await_capacity(served, 100)
    equal("path shown", "small", drives(client)[0]["path_on_host"])
    os.truncate(t.path("small"), 200 * 512)
    client.patch("/drives/d", {"drive_id": "d", "path_on_host": "small"})
    await_capacity(served, 200)
    client.state("Paused")
    client.patch("/drives/d", {"drive_id": "d", "path_on_host": "large"})
    equal("path shown while paused", "large", drives(client)[0]["path_on_host"])
    equal("capacities while paused", [0, 100, 200], capacities(served))
    client.refused("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": "none"},
                   PATCH_DRIVE + f"backing file: {NO_FILE} none Please verify the request arguments.")
    client.refused("PATCH", "/drives/d", {"drive_id": "d", "path_on_host": "/dev/zero"},
                   PATCH_DRIVE + "backing file: " + NO_DISK.format("/dev/zero", "a character device")
                   + " Please verify the request arguments.")
    equal("path shown after a refusal", "large", drives(client)[0]["path_on_host"])
    client.state("Resumed")
    await_capacity(served, 300)
    client.action("FlushMetrics")
    equal("update_count", 3, sum(line["block_d"]["update_count"] for line in read_metrics(t)))
    equal("read-only stays", True, drives(client)[0]["is_read_only"])
    served.stop()


@case
def api_patch_drive_limiters(t):
    """Rows 39 and 53: buckets are replaced one by one, a zero bucket goes, an empty limiter is accepted."""
    t.disk()
    bandwidth = {"size": 1000, "one_time_burst": 5, "refill_time": 100}
    ops = {"size": 10, "one_time_burst": None, "refill_time": 50}
    served = Served(t)
    client = served.connect()
    client.drive("d", rate_limiter={"bandwidth": bandwidth})
    equal("limiter", {"bandwidth": bandwidth, "ops": None}, drives(client)[0]["rate_limiter"])
    client.boot(guest("halt"))
    client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"ops": ops}})
    equal("limiter with ops", {"bandwidth": bandwidth, "ops": ops}, drives(client)[0]["rate_limiter"])
    client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"bandwidth": None}})
    equal("limiter after null", {"bandwidth": bandwidth, "ops": ops}, drives(client)[0]["rate_limiter"])
    client.state("Paused")
    none = {"size": 0, "refill_time": 0}
    client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"bandwidth": none}})
    equal("limiter without bandwidth", {"bandwidth": None, "ops": ops}, drives(client)[0]["rate_limiter"])
    client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {"ops": none}})
    equal("no limiter", None, drives(client)[0]["rate_limiter"])
    client.patch("/drives/d", {"drive_id": "d", "rate_limiter": {}})
    served.stop()


@case
def api_patch_drive_fields(t):
    t.disk()
    served = Served(t)
    client = served.connect()
    client.drive("d")
    client.boot(guest("halt"))
    for name, value in (("is_read_only", True), ("io_engine", "Sync"), ("is_root_device", False)):
        client.refused_like("PATCH", "/drives/d", {"drive_id": "d", name: value}, f"unknown field `{name}`")
    client.refused("PATCH", "/drives/d", {"drive_id": "e", "path_on_host": "disk"}, OTHER_ID)
    served.stop()


@case
def api_put_drive_again_replaces_it(t):
    """Rows 36 and 54: in its place; the old one stays when the new one cannot be opened."""
    t.disk("one")
    t.disk("two")
    served = Served(t, "--metrics-path", "metrics")
    client = served.connect()
    for name in ("a", "b", "c"):
        client.drive(name, path_on_host="one")
    client.drive("b", path_on_host="two")
    equal("drives", [("a", "one"), ("b", "two"), ("c", "one")],
          [(entry["drive_id"], entry["path_on_host"]) for entry in drives(client)])
    before = drives(client)
    client.refused("PUT", "/drives/b", drive("b", path_on_host="none"), f"{OPEN_DRIVE}{NO_FILE} none")
    equal("drives after a refusal", before, drives(client))
    client.drive("c", path_on_host="two", is_root_device=True)
    equal("the root is first", "c", drives(client)[0]["drive_id"])
    before = drives(client)
    client.refused("PUT", "/drives/a", drive("a", path_on_host="one", is_root_device=True),
                   "Drive config error: A root block device already exists!")
    equal("drives after a second root", before, drives(client))
    client.drive("c", path_on_host="one", is_root_device=True)
    client.drive("c", path_on_host="one")
    client.drive("a", path_on_host="one", is_root_device=True)
    equal("roots", ["a"], [entry["drive_id"] for entry in drives(client) if entry["is_root_device"]])
    client.boot(guest("halt"))
    client.action("FlushMetrics")
    equal("metrics groups", {"block_a", "block_b", "block_c"},
          {key for key in read_metrics(t)[-1] if key.startswith("block_")})
    served.stop()


@case
def api_guest_sees_drives_in_put_order(t):
    """Row 54: the first PUT is the first device, but a root goes before all."""
    for sectors in (100, 200):
        t.disk(f"of{sectors}", sectors=sectors)
    for index, (root, first) in enumerate(((False, 100), (True, 200))):
        served = Served(t, name=f"{index}.sock")
        client = served.connect()
        client.drive("b", path_on_host="of100")
        client.drive("a", path_on_host="of200", is_root_device=root)
        client.boot(guest("capacity"))
        await_capacity(served, first)
        served.stop()


@case
def api_drive_files_may_be_unlinked_after_put(t):
    """Files are opened by the PUT (api.md 9)."""
    t.disk()
    os.symlink(guest("count"), t.path("kernel"))
    served = Served(t)
    client = served.connect()
    client.drive("d")
    client.put("/boot-source", {"kernel_image_path": "kernel", "boot_args": ""})
    os.unlink(t.path("disk"))
    os.unlink(t.path("kernel"))
    client.action("InstanceStart")
    served.vm.await_output("counting")
    served.stop()


@case
def api_drive_sentences(t):
    """Row 38: null where it may be; what is refused names its reason."""
    t.disk()
    served = Served(t)
    client = served.connect()
    client.drive("d", rate_limiter=None, partuuid=None, is_read_only=None, io_engine=None, socket=None)
    client.refused_like("PUT", "/drives/d", drive("d", cache_type=None), "An error occurred when deserializing")
    client.refused("PUT", "/drives/d", drive("d", path_on_host=None), CREATE_DRIVE + "Invalid block config.")
    client.refused("PUT", "/drives/d", drive("d", socket="s"), CREATE_DRIVE + "Invalid block config.")
    client.refused("PUT", "/drives/d", drive("d", path_on_host=None, socket="s"), CREATE_DRIVE + "vhost-user block "
                   "devices are not supported by this VMM; use path_on_host.")
    client.refused_like("PUT", "/drives/d", {"drive_id": "d", "path_on_host": "disk"}, "missing field `is_root_device`")
    client.refused_like("PUT", "/drives/d", drive("d", foo=1), "unknown field `foo`")
    client.refused_like("PUT", "/drives/d", drive("d", io_engine="sync"), "unknown variant `sync`, expected `Sync` or "
                        "`Async`")
    served.stop()


@case
def api_logger_rules(t):
    """Rows 59, 60, 61: may be set again; an omitted level is Info again; a refusal changes nothing."""
    served = Served(t, log=False, may_leave=("a", "b"))
    client = served.connect()
    client.put("/logger", {"log_path": "a", "level": "Error", "show_level": True})
    client.get("/version")
    equal("log at level Error", "", t.read("a"))
    client.put("/logger", {"show_log_origin": True})
    client.get("/version")
    contains("log", 'INFO:src/api/', t.read("a"))
    contains("log", 'The API server received a Get request on "/version".', t.read("a"))
    contains("log", "The request was executed successfully. Status code: 200 OK.", t.read("a"))
    for path, reason in (("none/log", NO_FILE), (".", "Is a directory (os error 21)"), ("", NO_FILE)):
        client.refused("PUT", "/logger", {"log_path": path, "level": "Off"},
                       f"Logger error: Failed to open target file: {reason}")
    before = t.read("a")
    client.get("/version")
    if t.read("a") == before:
        equal("log after a refusal", "goes on", "stands still")
    client.put("/logger", {"log_path": "b", "show_level": False, "show_log_origin": False})
    client.put("/cpu-config", {})
    client.refused_like("PUT", "/vsock", {"x": 1}, "unknown field")
    contains("log", 'received a Put request on "/cpu-config". To view the CPU template received by the API, configure '
             "log-level to DEBUG.", t.read("b"))
    contains("log", '[anonymous-instance:fc_api] The API server received a Put request on "/vsock" with body '
             '"{\\"x\\": 1}".', t.read("b"))
    contains("log", "Received Error. Status code: 400 Bad Request. Message: ", t.read("b"))
    client.boot(guest("halt"))
    client.refused("PUT", "/logger", {}, AFTER_START)
    served.stop()
    contains("stdout before the logger was set", "API server started.", served.vm.out)


@case
def api_logger_of_the_command_line_may_be_changed(t):
    """Row 13."""
    served = Served(t, "--level", "Warning", may_leave=("other",))
    client = served.connect()
    client.get("/version")
    lacks("log at level Warning", "received", t.log)
    client.put("/logger", {"log_path": "other", "level": "Debug"})
    client.get("/version")
    contains("log", "received a Get request", t.read("other"))
    served.stop()


@case
def api_metrics_once(t):
    """Row 57: one way to set it, once; a refused one does not count; row 13: the command line's counts."""
    served = Served(t, may_leave=("other",))
    client = served.connect()
    client.refused("PUT", "/metrics", {"metrics_path": "none/m"},
                   f"Metrics error: Cannot initialize the metrics system due to bad user input: {NO_FILE}")
    client.put("/metrics", {"metrics_path": "metrics", "unknown": 1})
    client.refused("PUT", "/metrics", {"metrics_path": "other"}, ALREADY)
    client.refused("PUT", "/metrics", {"metrics_path": "metrics"}, ALREADY)
    served.stop()
    served = Served(t, "--metrics-path", "metrics", name="second.sock")
    served.connect().refused("PUT", "/metrics", {"metrics_path": "other"}, ALREADY)
    served.stop()
    equal("other file", False, os.path.exists(t.path("other")))


@case
def api_fifos_without_and_with_slow_readers(t):
    """Row 59: log and metrics go to fifos; a full one loses lines and counts them, nobody waits."""
    for name in ("log.fifo", "metrics.fifo"):
        os.mkfifo(t.path(name))
    served = Served(t, log=False)
    client = served.connect()
    client.put("/metrics", {"metrics_path": "metrics.fifo"})
    client.put("/logger", {"log_path": "log.fifo"})
    client.boot(guest("halt"))
    reader = os.open(t.path("log.fifo"), os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    start = time.monotonic()
    for _ in range(200):
        client.get("/version")
    if time.monotonic() - start > 5:
        equal("time of 200 requests", "less than 5 s", time.monotonic() - start)
    contains("fifo", "The API server received a ", os.read(reader, 65536).decode())
    metrics = os.open(t.path("metrics.fifo"), os.O_RDONLY | os.O_NONBLOCK)
    client.action("FlushMetrics")
    text = os.read(metrics, 1 << 20).decode()
    equal("end of the metrics", "\n", text[-1:])
    lacks("metrics", '"missed_log_count":0,', text.splitlines()[-1])
    os.close(reader)
    os.close(metrics)
    served.stop()


@case
def api_serial_to_a_file(t):
    """Only stored by the PUT, opened at the start; each PUT sets all."""
    served = Served(t, may_leave=("serial",))
    client = served.connect()
    client.put("/serial", {"serial_out_path": "serial"})
    equal("file before the start", False, os.path.exists(t.path("serial")))
    client.boot(guest("halt"))
    wait_until("output in the file", lambda: t.read("serial") == "halted\n")
    equal("stdout", "", served.vm.out)
    served.stop()


def make_strange_files(t):
    os.mkfifo(t.path("fifo"))
    os.mkdir(t.path("directory"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(t.path("socket"))
    t.disk("unreadable")
    os.chmod(t.path("unreadable"), 0)
    return listener


NO_DISK = "Invalid argument (os error 22) {}: a disk is a regular file or a block device, name one instead of {}."
STRANGE_DRIVES = [
    ("none", f"{NO_FILE} none"),
    ("", f"{NO_FILE} "),
    ("directory", "Is a directory (os error 21) directory"),
    ("fifo", NO_DISK.format("fifo", "a FIFO")),
    ("/dev/zero", NO_DISK.format("/dev/zero", "a character device")),
    ("socket", NO_DISK.format("socket", "a socket")),
    ("none/disk", f"{NO_FILE} none/disk"),
    ("fifo/disk", "Not a directory (os error 20) fifo/disk"),
    ("x" * 5000, "Filename too long (os error 36) "),
]
STRANGE_KERNELS = [
    ("none", NO_FILE), ("", NO_FILE), ("socket", "No such device or address (os error 6)"),
    ("fifo/k", "Not a directory (os error 20)"), ("x" * 5000, "Filename too long (os error 36)"),
]


@case
def api_strange_paths(t):
    """Paths to what no disk, kernel, log or metrics file can be: a sentence, and all stays as it was."""
    listener = make_strange_files(t)
    served = Served(t)
    client = served.connect()
    before = client.get("/vm/config")
    for path, reason in STRANGE_DRIVES:
        for read_only in (True, False):
            client.refused_like("PUT", "/drives/d", drive("d", path_on_host=path, is_read_only=read_only),
                                OPEN_DRIVE + reason)
    for path, reason in STRANGE_KERNELS:
        client.refused("PUT", "/boot-source", {"kernel_image_path": path}, KERNEL + reason)
        client.refused_like("PUT", "/boot-source", {"kernel_image_path": guest("halt"), "initrd_path": path}, reason)
    client.refused("PUT", "/boot-source", {"kernel_image_path": "a\0b"},
                   KERNEL + "file name contained an unexpected NUL byte")
    for path in ("socket", "directory", "fifo/log"):
        client.refused_like("PUT", "/logger", {"log_path": path}, "Logger error: Failed to open target file: ")
        client.refused_like("PUT", "/metrics", {"metrics_path": path}, "Metrics error: ")
    equal("GET /vm/config", before, client.get("/vm/config"))
    # Kernels that open but are none: told at the start, which can be tried again.
    for path in ("directory", "fifo", "/dev/zero"):
        client.put("/boot-source", {"kernel_image_path": path})
        client.refused_like("PUT", "/actions", {"action_type": "InstanceStart"}, "the kernel is ")
    client.boot(guest("halt"))
    served.stop()
    listener.close()


@case
def api_unreadable_files(t):
    if os.geteuid() != 0:
        skip("only root can run the monitor as somebody who may use /dev/kvm but not open the file")
    make_strange_files(t).close()
    bare = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    served = Served(t, prefix=bare)
    client = served.connect()
    denied = "Permission denied (os error 13)"
    client.refused("PUT", "/drives/d", drive("d", path_on_host="unreadable"), f"{OPEN_DRIVE}{denied} unreadable")
    client.refused("PUT", "/boot-source", {"kernel_image_path": "unreadable"}, KERNEL + denied)
    os.chmod(t.path("unreadable"), stat.S_IRUSR)
    client.refused("PUT", "/drives/d", drive("d", path_on_host="unreadable"), f"{OPEN_DRIVE}{denied} unreadable")
    client.drive("d", path_on_host="unreadable", is_read_only=True)
    client.refused_like("PUT", "/logger", {"log_path": "unreadable"}, denied)
    served.stop()


@case
def api_ids(t):
    """Rows 40 and 41: letters, digits and underscores of any script; the body's must be the path's."""
    t.disk()
    served = Served(t)
    client = served.connect()
    for name in ("a", "A_9", "0", "_", "x" * 65, "x" * 500):
        client.drive(name)
    equal("ids", ["a", "A_9", "0", "_", "x" * 65, "x" * 500], [entry["drive_id"] for entry in drives(client)])
    for name in ("a-b", "a.b", "..", "a b", "a%20b", "a?x=1", "a\\0", "%00"):
        path = "/drives/" + name.replace(" ", "+")
        client.refused("PUT", path, drive(name), BAD_ID)
        client.refused("PATCH", path, {"drive_id": name}, BAD_ID)
        client.refused("DELETE", path, None, BAD_ID)
    for path in ("/drives", "/drives/", "//drives//"):
        client.refused("PUT", path, drive("a"), "The ID cannot be empty.")
    client.drive("a", is_read_only=True)
    client.refused("PUT", "/drives/a", drive("b"), OTHER_ID)
    client.refused("PUT", "/drives/a", drive("a/b"), OTHER_ID)
    client.refused("PUT", "/drives/a", drive(""), OTHER_ID)
    client.refused_like("PUT", "/drives/a", drive("a\0b"), "NUL")
    client.put("/drives/a/surplus", drive("a"))
    equal("number of drives", 6, len(drives(client)))
    served.stop()


@case
def api_network_ids_show_both(t):
    served = Served(t)
    client = served.connect()
    client.refused("PUT", "/network-interfaces/a", {"iface_id": "b", "host_dev_name": "t"},
                   "The id from the path [a] does not match the id from the body [b]!")
    client.refused("PUT", "/network-interfaces/a-b", {"iface_id": "a-b", "host_dev_name": "t"}, BAD_ID)
    served.stop()


@case
def api_deprecated_fields(t):
    """Rows 42 and 43."""
    served = Served(t, "--metrics-path", "metrics", may_leave=("v",))
    client = served.connect()
    reply = client.ask("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128, "cpu_template": "None"})
    equal("PUT /machine-config", (204, True), (reply.status, "Deprecation: true" in reply.headers))
    reply = client.ask("PUT", "/vsock", {"guest_cid": 3, "uds_path": "v", "vsock_id": "x"})
    equal("PUT /vsock", (204, True), (reply.status, "Deprecation: true" in reply.headers))
    reply = client.ask("PUT", "/mmds/config", {"network_interfaces": ["n"]})
    equal("PUT /mmds/config", (400, True), (reply.status, "Deprecation: true" in reply.headers))
    reply = client.ask("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128, "ht_enabled": False})
    equal("ht_enabled", (400, False), (reply.status, "Deprecation: true" in reply.headers))
    contains("ht_enabled", "unknown field `ht_enabled`", reply.fault)
    client.boot(guest("halt"))
    equal("deprecated_http_api_calls", 3, read_metrics(t)[-1]["deprecated_api"]["deprecated_http_api_calls"])
    contains("log", "PUT /machine-config: cpu_template field is deprecated.", messages(t.log))
    served.stop()


@case
def api_parallel_configuration(t):
    """Row 35: several connections configure at once."""
    t.disk()
    served = Served(t)
    clients = [served.connect() for _ in range(8)]
    for index, client in enumerate(clients):
        body = drive(f"d{index}")
        client.send_request("PUT", f"/drives/d{index}", body)
    equal("statuses", [204] * 8, [client.receive().status for client in clients])
    equal("drives", {f"d{index}" for index in range(8)}, {entry["drive_id"] for entry in drives(clients[0])})
    served.stop()


@case
def api_refused_drives_cost_nothing(t):
    """A client that tries a hundred ids in vain can still add its drive."""
    t.disk("disk", sectors=8)
    served = Served(t)
    client = served.connect()
    for i in range(100):
        client.refused("PUT", f"/drives/d{i}", drive(f"d{i}", path_on_host="none"), f"{OPEN_DRIVE}{NO_FILE} none")
    client.drive("d", path_on_host="disk")
    equal("drives", ["d"], [entry["drive_id"] for entry in drives(client)])
    served.stop()
