# SPDX-License-Identifier: Apache-2.0
"""Metrics of a VM that is driven through the API: what a flushed line says (cli.md F)."""

import http.client
import json
import signal
import socket
import time

from native import case, contains, equal, guest, wait_until


class Api(http.client.HTTPConnection):
    """HTTP over the monitor's socket; remembers nothing."""

    def __init__(self, path):
        super().__init__("localhost", timeout=10)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(10)
        self.sock.connect(self.path)

    def ask(self, method, target, body=None, status=204):
        self.request(method, target, None if body is None else json.dumps(body))
        reply = self.getresponse()
        text = reply.read().decode()
        equal(f"status of {method} {target} ({text})", status, reply.status)
        return text


def start(t, *args):
    vm = t.start("--api-sock", "api.socket", "--log-path", "log", *args, may_leave=("api.socket",))
    api = Api(t.path("api.socket"))

    def answers():
        try:
            api.ask("GET", "/", status=200)
            return True
        except OSError:
            api.close()
            return False

    wait_until("answer to GET /", answers)
    return vm, api


def boot(api):
    api.ask("PUT", "/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    api.ask("PUT", "/boot-source", {"kernel_image_path": guest("halt")})
    api.ask("PUT", "/actions", {"action_type": "InstanceStart"})


@case
def metrics_of_an_api_conversation(t):
    vm, api = start(t)
    api.ask("PUT", "/metrics", {"metrics_path": "metrics"})
    api.ask("GET", "/version", status=200)
    api.ask("GET", "/machine-config", status=200)
    api.ask("PATCH", "/machine-config", {"vcpu_count": 0}, status=400)
    api.ask("PUT", "/drives/a", {"drive_id": "b", "is_root_device": False, "path_on_host": "x"}, status=400)
    equal("lines before the start", [], t.metrics())
    boot(api)
    api.ask("PUT", "/actions", {"action_type": "FlushMetrics"})
    api.ask("PATCH", "/vm", {"state": "Paused"})
    api.ask("PATCH", "/vm", {"state": "Resumed"})
    api.ask("PUT", "/actions", {"action_type": "FlushMetrics"})
    equal("lines", 3, len(t.metrics()))
    for group, name, count in (
            ("get_api_requests", "vmm_version_count", 1), ("get_api_requests", "machine_cfg_count", 1),
            ("put_api_requests", "metrics_count", 1), ("put_api_requests", "metrics_fails", 0),
            ("put_api_requests", "machine_cfg_count", 1), ("put_api_requests", "boot_source_count", 1),
            ("put_api_requests", "drive_count", 1), ("put_api_requests", "drive_fails", 1),
            ("put_api_requests", "actions_count", 3), ("patch_api_requests", "machine_cfg_count", 1)):
        equal(f"{group}.{name} over all lines", count, t.total(group, name))
    first, last = t.metrics()[0], t.metrics()[-1]
    equal("put_api_requests.actions_count is a delta", 1, last["put_api_requests"]["actions_count"])
    for name in ("pause_vm", "resume_vm"):
        equal(f"latencies_us.{name} before the first", 0, first["latencies_us"][name])
        equal(f"latencies_us.{name} of the API holds the VM's own", True,
              last["latencies_us"][name] >= last["latencies_us"]["vmm_" + name] > 0)
    lacking = [key for key in ("id", "properties") if key in first]
    equal("labels nobody asked for", [], lacking)
    vm.signal(signal.SIGTERM)
    vm.wait()


@case
def metrics_labels_by_api_and_by_file(t):
    document = {"metrics_path": "metrics", "emit_id": True, "properties": {"zone": "b\"1", "app": "x"}}
    vm, api = start(t, "--id", "vm-7")
    api.ask("PUT", "/metrics", {**document, "properties": {"zone": 1}}, status=400)
    api.ask("PUT", "/metrics", document)
    contains("second PUT /metrics", "Reinitialization of metrics not allowed",
             api.ask("PUT", "/metrics", {"metrics_path": "other", "properties": {"app": "y"}}, status=400))
    boot(api)
    head = '"id":"vm-7","properties":{"app":"x","zone":"b\\"1"},"api_server":{'
    contains("the line by the API", head, t.read("metrics"))
    vm.signal(signal.SIGTERM)
    vm.wait()
    t.write("metrics", "")
    t.config("hello", metrics=document)
    t.expect_end(t.run_vm("--id", "vm-7"))
    equal("lines by the file", 2, len(t.metrics()))
    for line in t.read("metrics").splitlines():
        contains("a line by the file", head, line)


@case
def metrics_tell_the_time_since_the_jailer_began(t):
    before_us = time.monotonic_ns() // 1000
    vm, api = start(t, "--metrics-path", "metrics", "--start-time-us", str(before_us - 5000000),
                    "--start-time-cpu-us", "1", "--parent-cpu-time-us", "7000000")
    boot(api)
    spent_us = time.monotonic_ns() // 1000 - before_us
    group = t.metrics()[0]["api_server"]
    equal("wall time in its bounds", True, 5000000 < group["process_startup_time_us"] < 5000000 + spent_us)
    equal("CPU time in its bounds", True, 7000000 < group["process_startup_time_cpu_us"] < 7000000 + spent_us)
    vm.signal(signal.SIGTERM)
    vm.wait()
