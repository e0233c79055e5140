# SPDX-License-Identifier: Apache-2.0
"""Metrics of a VM that is driven through the API: what a flushed line says (cli.md F)."""

import os
import pathlib
import socket

from api import Client, Served, drive
from native import case, contains, equal, guest, wait_until


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
              last["latencies_us"][name] >= last["latencies_us"]["vmm_" + name])
    equal("latencies_us.pause_vm", True, last["latencies_us"]["pause_vm"] > 0)
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


def samples(text):
    """The samples of a Prometheus text; every one must be of the family that was announced last."""
    found = {}
    family = None
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            family = line.split(" ")[2]
            continue
        name, value = line.rsplit(" ", 1)
        equal(f"the family of {name}", family, name.split("{")[0])
        found[name] = int(value)
    return found


def phases(text, name):
    """How long each phase of the start took, in their order."""
    reached = {phase: samples(text).get(f'mayfly_startup_us{{id="{name}",phase="{phase}"}}')
               for phase in ("socket", "config", "first_run", "boot_timer")}
    times = [us for us in reached.values() if us is not None]
    equal("phases, in the order of their times", sorted(times), times)
    return [phase for phase, us in reached.items() if us is not None]


@case
def prometheus_file_holds_counters_that_only_grow(t):
    t.config("boot_timer", drives=[])
    t.expect_end(t.run_vm("--boot-timer", "--id", "vm-7", "--metrics-path", "metrics",
                          "--prometheus-path", "vm.prom", may_leave={"vm.prom"}))
    text = t.read("vm.prom")
    first, last = t.metrics()
    written = samples(text)['mayfly_uart_write_count_total{id="vm-7"}']
    equal("bytes written to the console", first["uart"]["write_count"] + last["uart"]["write_count"], written)
    equal("the guest has written", True, written > 0)
    equal("phases without an API", ["config", "first_run", "boot_timer"], phases(text, "vm-7"))


@case
def prometheus_socket_answers_scrapes_only(t):
    served = Served(t, "--prometheus-path", "unix:metrics.sock", may_leave={"metrics.sock"})
    scraper = Client(t.path("metrics.sock"))
    client = served.connect()
    before = scraper.ask("GET", "/metrics")
    equal("status line", "HTTP/1.1 200 ", before.status_line)
    equal("content type", True, "Content-Type: text/plain; version=0.0.4; charset=utf-8" in before.headers)
    equal("phases before the start", ["socket"], phases(before.body, "anonymous-instance"))
    client.boot(guest("halt"))
    wait_until("the guest's first words", lambda: "halted" in served.vm.out)
    client.state("Paused")
    after = scraper.ask("GET", "/metrics?x=1").body
    equal("phases of a paused VM", ["socket", "config", "first_run"], phases(after, "anonymous-instance"))
    equal("actions", 1, samples(after)['mayfly_put_api_requests_actions_count_total{id="anonymous-instance"}'])
    for method, path in (("GET", "/"), ("PUT", "/actions"), ("GET", "/metricsx")):
        reply = scraper.ask(method, path)
        equal(f"{method} {path}", (404, "Only GET /metrics is answered on this socket.\n"), (reply.status, reply.body))
    threads = [(task / "comm").read_text() for task in pathlib.Path(f"/proc/{served.pid}/task").iterdir()]
    equal("threads for scrapes", 1, threads.count("fc_metrics\n"))
    served.stop()


@case
def prometheus_socket_and_api_do_not_use_up_each_other(t):
    """Ten connections each."""
    served = Served(t, "--prometheus-path", "unix:metrics.sock", may_leave={"metrics.sock"})
    scrapers = [Client(t.path("metrics.sock")) for _ in range(10)]
    for scraper in scrapers:
        equal("a scrape", 200, scraper.ask("GET", "/metrics").status)
    client = served.connect()
    eleventh = Client(t.path("metrics.sock"))
    equal("the eleventh scraper", "HTTP/1.1 503", eleventh.receive().status_line)
    client.get("/version")
    served.stop()


@case
def prometheus_paths_that_cannot_be(t):
    t.config("hello")
    t.write("file", "")
    for path, sentence in (
            ("none/x", "Cannot write the Prometheus metrics to none/x: No such file or directory (os error 2)"),
            ("/dev/null", "Cannot write the Prometheus metrics: /dev/null is there and no regular file (a socket is "
                          "asked for by unix:PATH)"),
            ("unix:file", "--prometheus-path: Failed to open the metrics socket at: file. Check that it is not "
                          "already used.")):
        end = t.run_vm("--prometheus-path", path)
        equal("status and stderr", (1, f"Error: {sentence}\n"), (end.status, end.err))


@case
def prometheus_scrapers_trouble_neither_log_nor_end(t):
    """Refused and unread scrapes: not a line in the log, and the VM's end waits for none of them."""
    served = Served(t, "--prometheus-path", "unix:metrics.sock", may_leave={"metrics.sock"})
    wait_until("start of the server", lambda: "API server started." in t.log)
    before = t.read("log")
    scraper = Client(t.path("metrics.sock"))
    scraper.send("GET /metrics HTTP/1.1\r\nContent-Length: 1\r\n\r\nx" * 100)
    reply = scraper.receive()
    equal("a body", (400, "Request payload with size 1 is larger than the limit of 0 allowed by server.\n"),
          (reply.status, reply.body))
    greedy = Client(t.path("metrics.sock"))
    greedy.send("GET /metrics HTTP/1.1\r\n\r\n" * 100)
    wait_until("an answer that is not read", lambda: len(greedy.socket.recv(1, socket.MSG_PEEK)) == 1)
    equal("log", before, t.read("log"))
    client = served.connect()
    client.boot(guest("power_off"))
    t.expect_end(served.vm.wait())
    greedy.close()


@case
def prometheus_wrong_path_leaves_no_socket(t):
    """The second try must say the same as the first."""
    os.mkdir(t.path("taken"))
    for _ in range(2):
        end = t.run("--api-sock", "api.sock", "--prometheus-path", "taken")
        equal("stderr", "Error: Cannot write the Prometheus metrics: taken is there and no regular file (a socket is asked "
                        "for by unix:PATH)\n", end.err)
