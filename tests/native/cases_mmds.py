# SPDX-License-Identifier: Apache-2.0
"""The metadata service as the API, the config file and the command line make it (api.md 7, /mmds and /mmds/config;
cli.md A.2, B), and as the host's own TCP sees it. Frame by frame: tests/unit/mmds; a Linux guest: tests/lab."""

import json
import os
import subprocess
import sys

from api import OWN_NETWORK, Served
from native import BINARY, CONFIGURATION, ROOT, case, contains, equal, guest, messages

CONFIG = "MMMDS config error: "
NO_STORE = "MMDS error: The MMDS data store is not initialized."
TOO_LARGE = "The MMDS patch request doesn't fit."
UNKNOWN = CONFIG + ("The list of network interface IDs provided contains at least one ID that does not correspond to any "
                    "existing network interface.")
EMPTY = CONFIG + "The list of network interface IDs that allow forwarding MMDS requests is empty."
NOT_LOCAL = CONFIG + "The MMDS IPv4 address is not link local."
LOADED = "Successfully added metadata to mmds from file"
JSON_BODY = "An error occurred when deserializing the json body of a request: "


def nic(client, name):
    client.put(f"/network-interfaces/{name}", {"iface_id": name, "host_dev_name": "tap" + name})


def configure(client, *names, **fields):
    client.put("/mmds/config", {"network_interfaces": list(names), "version": "V2", **fields})


def shown(client):
    return client.get("/vm/config")["mmds-config"]


def as_shown(*names, **fields):
    return {"version": "V2", "network_interfaces": list(names), "ipv4_address": "169.254.169.254", "imds_compat": False,
            **fields}


@case
def mmds_config_is_shown_and_replaced(t):
    """Row 55."""
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    for name in "abc":
        nic(client, name)
    equal("without", None, shown(client))
    configure(client, "c", "a", "c")
    equal("in the interfaces' order", as_shown("a", "c"), shown(client))
    configure(client, "b", ipv4_address="169.254.1.2", imds_compat=True)
    equal("replaced", as_shown("b", ipv4_address="169.254.1.2", imds_compat=True), shown(client))
    reply = client.ask("PUT", "/mmds/config", {"network_interfaces": ["a", "b"]})
    equal("version 1", (204, True), (reply.status, "Deprecation: true" in reply.headers))
    equal("version 1", as_shown("a", "b", version="V1"), shown(client))
    nic(client, "b")
    equal("an interface put again", as_shown("a", version="V1"), shown(client))
    nic(client, "a")
    equal("the last one put again", None, shown(client))
    served.stop()


@case
def mmds_config_refused_changes_nothing(t):
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    nic(client, "a")
    configure(client, "a")
    for names, address, sentence in (
            (["a"], "1.2.3.4", NOT_LOCAL), (["a"], "169.254.0.1", NOT_LOCAL), (["a"], "169.254.255.1", NOT_LOCAL),
            ([], "1.2.3.4", NOT_LOCAL), ([], "169.254.1.1", EMPTY), (["a", "x"], "169.254.1.1", UNKNOWN)):
        client.refused("PUT", "/mmds/config", {"network_interfaces": names, "ipv4_address": address, "version": "V1"},
                       sentence)
        equal("configuration", as_shown("a"), shown(client))
    served.stop()


@case
def mmds_data_is_put_merged_and_shown(t):
    served = Served(t)
    client = served.connect()
    equal("nothing", "{}", client.ask("GET", "/mmds").body)
    client.refused("PATCH", "/mmds", {"a": 1}, NO_STORE)
    client.put("/mmds", ' { "b": {"y": [1, 2.50], "x": "\\u00e4\\/"}, "a": null } ')
    equal("compact, keys sorted", '{"a":null,"b":{"x":"\u00e4/","y":[1,2.5]}}', client.ask("GET", "/mmds").body)
    client.patch("/mmds", {"b": {"x": None, "z": {"n": None}}, "c": True})
    equal("merged", {"a": None, "b": {"y": [1, 2.5], "z": {}}, "c": True}, client.get("/mmds"))
    client.put("/mmds", "[]")
    equal("any value", "[]", client.ask("GET", "/mmds").body)
    client.put("/mmds", "null")
    equal("null", "{}", client.ask("GET", "/mmds").body)
    equal("state", "Not started", client.get("/")["state"])
    served.stop()


@case
def mmds_data_too_large_or_too_deep_changes_nothing(t):
    """Row 15."""
    served = Served(t, "--mmds-size-limit", "100")
    client = served.connect()
    client.put("/mmds", json.dumps({"a": "x" * 92}))
    client.put("/mmds", " " * 1000 + json.dumps({"a": "x" * 92}))
    for method, document in (("PUT", {"a": "x" * 93}), ("PATCH", {"a": "x" * 93}), ("PATCH", {"b": 1})):
        reply = client.ask(method, "/mmds", document)
        equal(f"{method} {document}", ("HTTP/1.1 413 ", "MMDS limit exceeded error: " + TOO_LARGE),
              (reply.status_line, reply.fault))
    for method in ("PUT", "PATCH"):
        client.refused(method, "/mmds", "[" * 200 + "]" * 200,
                       JSON_BODY + "recursion limit exceeded at line 1 column 129.")
        client.refused_like(method, "/mmds", '{"a"', JSON_BODY + "EOF while parsing an object")
    equal("store", {"a": "x" * 92}, client.get("/mmds"))
    served.stop()


@case
def mmds_size_limit_is_the_payload_limit(t):
    served = Served(t, "--http-api-max-payload-size", "60")
    client = served.connect()
    client.put("/mmds", {"a": "x" * 40})
    reply = client.ask("PATCH", "/mmds", {"b": "x" * 40})
    equal("PATCH", 413, reply.status)
    client.patch("/mmds", {"a": None, "b": "x" * 40})
    served.stop()


@case
def mmds_data_of_a_running_vm(t):
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    nic(client, "a")
    configure(client, "a")
    client.boot(guest("halt"))
    client.refused("PATCH", "/mmds", {"a": 1}, NO_STORE)
    equal("nothing", {}, client.get("/mmds"))
    for state in ("Paused", "Resumed"):
        client.state(state)
        client.put("/mmds", {"a": {"b": 1}})
        client.patch("/mmds", {"a": {"c": 2}})
        equal("merged", {"a": {"b": 1, "c": 2}}, client.get("/mmds"))
    equal("configuration", as_shown("a"), shown(client))
    served.stop()


@case
def mmds_without_an_interface_a_running_vm_has_none(t):
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    nic(client, "a")
    client.put("/mmds", {"a": 1})
    client.boot(guest("halt"))
    for method, body in (("GET", None), ("PUT", {}), ("PATCH", {})):
        client.refused(method, "/mmds", body, NO_STORE)
    served.stop()


@case
def mmds_metadata_file(t):
    """Row 10."""
    t.write("metadata", ' {"b": 1, "a": {}} ')
    served = Served(t, "--metadata", "metadata")
    client = served.connect()
    equal("store", '{"a":{},"b":1}', client.ask("GET", "/mmds").body)
    equal("state", "Not started", client.get("/")["state"])
    contains("log", LOADED, messages(t.log))
    client.patch("/mmds", {"b": None})
    equal("store", {"a": {}}, client.get("/mmds"))
    client.refused_like("PUT", "/snapshot/load", {"snapshot_path": "s", "mem_backend": {
        "backend_path": "m", "backend_type": "File"}}, "Failed to open snapshot file")  # it was tried
    served.vm.wait()
    t.expect_end(served.vm, 1)


@case
def mmds_metadata_file_that_is_wrong(t):
    t.config("hello")
    t.write("bad", "{")
    t.write("large", json.dumps("x" * 99))
    of = " (large has 101 bytes without white space, of at most 100: --mmds-size-limit)"
    not_json = "MMDS error: metadata provided not valid json: EOF while parsing an object at line 1 column 1"
    for name, with_config, without in (
            ("bad", not_json, not_json),
            ("large", CONFIGURATION + "MMDS error: " + TOO_LARGE + of, "Populating MMDS from file failed: " + TOO_LARGE + of)):
        limit = ("--metadata", name, "--mmds-size-limit", "100")
        t.expect_error(t.run_vm(*limit), with_config)
        end = t.run(*limit, "--api-sock", "api.sock")
        equal("exit status", 1, end.status)
        equal("stderr", f"Error: {without}\n", end.err)


@case
def mmds_config_of_a_config_file(t):
    t.write("metadata", '{"a": 1}')
    t.config("halt", network_interfaces=[{"iface_id": "n", "host_dev_name": "tap0"}],
             mmds_config={"network_interfaces": ["n"], "version": "V2", "ipv4_address": "169.254.3.4"})
    served = Served(t, "--config-file", "vm.json", "--metadata", "metadata", prefix=OWN_NETWORK)
    client = served.connect()
    equal("state", "Running", client.get("/")["state"])
    equal("configuration", as_shown("n", ipv4_address="169.254.3.4"), shown(client))
    equal("store", {"a": 1}, client.get("/mmds"))
    served.stop()


@case
def mmds_answers_linux(t):
    """The host's own TCP as the guest, over a TAP and without a VM: many connections, large responses, losses."""
    program = os.path.join(os.path.dirname(BINARY), "tests/lib/mmds-tap")
    done = subprocess.run([*OWN_NETWORK, sys.executable, os.path.join(ROOT, "tests/native/mmds_guest.py"), program],
                          cwd=t.path("."), capture_output=True, text=True, check=False, timeout=50)
    equal("guest", (0, ""), (done.returncode, done.stderr))
