# SPDX-License-Identifier: Apache-2.0
"""Metrics of a VM that is driven through the API: what a flushed line says (cli.md F)."""

from api import Served, drive
from native import case, contains, equal, guest


@case
def metrics_of_an_api_conversation(t):
    served = Served(t)
    client = served.connect()
    client.put("/metrics", {"metrics_path": "metrics"})
    client.get("/version")
    client.get("/machine-config")
    client.refused_like("PATCH", "/machine-config", {"vcpu_count": 0}, "vCPU")
    client.refused("PUT", "/drives/a", drive("b"), "The id from the path does not match the id from the body!")
    equal("lines before the start", [], t.metrics())
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    client.boot(guest("halt"))
    client.action("FlushMetrics")
    client.state("Paused")
    client.state("Resumed")
    client.action("FlushMetrics")
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
    served.stop()


@case
def metrics_labels_by_api_and_by_file(t):
    document = {"metrics_path": "metrics", "emit_id": True, "properties": {"zone": "b\"1", "app": "x"}}
    served = Served(t, "--id", "vm-7")
    client = served.connect()
    client.refused_like("PUT", "/metrics", {**document, "properties": {"zone": 1}},
                        "invalid type: integer `1`, expected a string")
    client.put("/metrics", document)
    client.refused_like("PUT", "/metrics", {"metrics_path": "other", "properties": {"app": "y"}},
                        "Reinitialization of metrics not allowed")
    client.boot(guest("halt"))
    head = '"id":"vm-7","properties":{"app":"x","zone":"b\\"1"},"api_server":{'
    contains("the line by the API", head, t.read("metrics"))
    served.stop()
    t.write("metrics", "")
    t.config("hello", metrics=document)
    t.expect_end(t.run_vm("--id", "vm-7"))
    equal("lines by the file", 2, len(t.metrics()))
    for line in t.read("metrics").splitlines():
        contains("a line by the file", head, line)
