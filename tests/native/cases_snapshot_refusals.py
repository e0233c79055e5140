# SPDX-License-Identifier: Apache-2.0
"""What a person reads when a load was asked for wrongly (snapshot.md 4; docs/snapshots.md), and what such a load leaves:
nothing."""

import json
import os

from cases_snapshot_devices import NETWORK, with_nics, with_vsock
from native import case, contains, equal, lacks
from snapshot_tools import (DEVICES_FAILED, LEFT, STATE_FAILED, create_body, goes_on, load, load_body, load_fails, saved,
                            serve)

NOT_JSON = "An error occurred when deserializing the json body of a request: "
MAY_LEAVE = (*LEFT, "load")


def run_load(t, content, *args):
    """A load by the command line, which is refused. content: of FILE; None: as it is."""
    if content is not None:
        t.write("load", content if isinstance(content, str) else json.dumps(content))
    return t.run("--no-api", "--load-snapshot", "load", "--log-path", "log", *args, may_leave=MAY_LEAVE)


@case
def snapshot_that_nobody_could_resume_is_not_loaded(t):
    """Without the API and without resume the VM would wait for ever."""
    saved(t)
    end = run_load(t, load_body())
    t.expect_error(end, "--load-snapshot load: with --no-api nobody can resume the VM, which would wait for ever. Add "
                        "--resume to the command line, or \"resume_vm\": true to the file; or leave out --no-api and "
                        "resume it by PATCH /vm.")
    end = t.run("--no-api", "--resume", "--log-path", "log", may_leave=MAY_LEAVE)
    contains("stderr", "Argument 'load-snapshot' required, but not found.", end.err)
    equal("status", 153, end.status)


@case
def snapshot_loaded_paused_by_the_command_line_waits_for_the_api(t):
    last = saved(t)
    t.write("load", json.dumps(load_body()))
    served, client = serve(t, "--load-snapshot", "load")
    equal("state", "Paused", client.get("/")["state"])
    client.state("Resumed")
    goes_on(served, last)
    served.stop()


@case
def snapshot_loaded_by_the_command_line_has_the_metadata_of_its_file(t):
    """docs/mayfly.1: --metadata goes with --load-snapshot; a CPU template that came before a load has no effect."""
    def configure(client):
        with_nics("a")(client)
        client.put("/mmds/config", {"network_interfaces": ["a"]})
    last = saved(t, configure=configure, **NETWORK)
    t.write("load", json.dumps(load_body(resume_vm=True)))
    t.write("state2", '{"a": "b"}')
    served, client = serve(t, "--load-snapshot", "load", "--metadata", "state2", **NETWORK)
    equal("metadata", {"a": "b"}, client.get("/mmds"))
    goes_on(served, last)
    served.stop()
    served, client = serve(t, **NETWORK)
    client.put("/cpu-config", {"cpuid_modifiers": [{"leaf": "0xfffffff0", "subleaf": "0x0", "flags": 0, "modifiers": []}]})
    client.put("/mmds", {"c": "d"})
    client.put("/snapshot/load", load_body(resume_vm=True))
    equal("metadata", {"c": "d"}, client.get("/mmds"))
    goes_on(served, last)
    served.stop()


@case
def snapshot_state_file_in_place_of_the_request_is_named_so(t):
    """Ours and the reference's; and a memory file, which is too large for a request."""
    saved(t)
    body = '{"snapshot_path": "state", "mem_backend": {"backend_type": "File", "backend_path": "memory"}}'
    with open(t.path("load"), "wb") as file:
        file.write(open(t.path("state"), "rb").read())
    for content in (None, b"\0\0\x64\x86\x84\x19\x10\x07 and so on"):
        if content:
            with open(t.path("load"), "wb") as file:
                file.write(content)
        end = run_load(t, None, "--resume")
        t.expect_error(end, "--load-snapshot load: that is a snapshot's state file; FILE holds the JSON body of PUT "
                            f"/snapshot/load, as in {body}. Name a file with such a body")
    end = t.run("--no-api", "--load-snapshot", "", "--resume", "--log-path", "log", may_leave=MAY_LEAVE)
    t.expect_error(end, f"--load-snapshot: the path is empty; FILE holds the JSON body of PUT /snapshot/load, as in {body}")
    end = t.run("--describe-snapshot", "", may_leave=MAY_LEAVE)
    contains("stderr", "(os error 2) (the path is empty: name a state file)", end.err)
    os.truncate(t.path("load"), 0)
    os.truncate(t.path("load"), 1 << 20)
    end = run_load(t, None, "--resume")
    t.expect_error(end, "--load-snapshot: Cannot read load: it is larger than the limit of 65536 bytes; FILE holds the "
                        f"JSON body of PUT /snapshot/load, as in {body}")


@case
def snapshot_request_file_with_a_fault_tells_its_place(t):
    """Lines from 1; columns in bytes, as the reference counts them, at the end of the word that is wrong."""
    end = run_load(t, '{\n  "snapshot_path": "\u00e9tat",\n  "mem_backend": 7\n}\n', "--resume")
    t.expect_error(end, "--load-snapshot load: invalid type: integer `7`, expected struct MemBackendConfig at line 3 "
                        "column 18")
    end = run_load(t, '{\n  "snapshot_path": "\u00e9\u00e9" "x"\n}\n', "--resume")
    contains("stderr", "expected `,` or `}` at line 2 column 29", end.err)
    equal("status", 1, end.status)


@case
def snapshot_request_with_an_empty_path_names_the_field(t):
    """An unset variable of somebody's script. The process lives, and may still load."""
    last = saved(t)
    served, client = serve(t)
    vsock = {"vsock_override": {"uds_path": ""}}
    nic = {"network_overrides": [{"iface_id": "a", "host_dev_name": ""}]}
    for body, sentence in (
            (load_body(""), "`snapshot_path` is empty: name the snapshot's state file"),
            (load_body(memory=""), "`backend_path` of `mem_backend` is empty: name the snapshot's memory file"),
            (load_body(memory="", backend="Uffd"),
             "`backend_path` of `mem_backend` is empty: name the socket of the page-fault handler"),
            ({"snapshot_path": "state", "mem_file_path": ""},
             "`mem_file_path` is empty: name the snapshot's memory file"),
            (load_body(**vsock), "`uds_path` of `vsock_override` is empty: name the path of a socket that is to be made"),
            (load_body(**nic), "`host_dev_name` of `a` in `network_overrides` is empty: name the TAP device that the "
                               "interface gets here"),
            (load_body(network_overrides=[{"iface_id": "", "host_dev_name": "tap0"}]),
             "`iface_id` of an element of `network_overrides` is empty: name an interface of the snapshot")):
        client.refused("PUT", "/snapshot/load", body, f"{NOT_JSON}{sentence}.")
    client.put("/snapshot/load", load_body(resume_vm=True))
    goes_on(served, last)
    client.state("Paused")
    for body, field, what in ((create_body("", "memory"), "snapshot_path", "snapshot"),
                              (create_body("state", ""), "mem_file_path", "memory")):
        client.refused("PUT", "/snapshot/create", body,
                       f"Create snapshot error: Cannot perform open on the {what} backing file: No such file or directory "
                       f"(os error 2): `{field}` is empty: name a file")
    served.stop()


@case
def snapshot_load_that_fails_leaves_no_socket(t):
    """The disk is found to be another after the vsock's socket was bound: the next try finds the place free."""
    t.disk()

    def configure(client):
        client.drive("d")
        with_vsock(client)
    last = saved(t, configure=configure)
    os.unlink(t.path("v"))
    t.disk(sectors=1024)
    for _ in range(2):
        load_fails(t, load_body(), DEVICES_FAILED + "block device d: its file has 524288 bytes", part=True)
        equal("the vsock's socket", False, os.path.exists(t.path("v")))
    t.disk()
    served, _ = load(t)
    goes_on(served, last)
    served.stop()


@case
def config_file_whose_vm_fails_leaves_no_socket(t):
    t.write("vmlinux", b"no kernel".decode())
    t.config("vmlinux", vsock={"guest_cid": 3, "uds_path": "v"})
    for _ in range(2):
        end = t.run_vm(may_leave=MAY_LEAVE)
        equal("status", 1, end.status)
        lacks("stderr", "Address in use", end.err)
        equal("the vsock's socket", False, os.path.exists(t.path("v")))


@case
def snapshot_paths_longer_than_a_socket_may_have(t):
    saved(t, configure=with_vsock)
    os.unlink(t.path("v"))
    load_fails(t, load_body(vsock_override={"uds_path": "x" * 108}),
               f"{DEVICES_FAILED}VsockUnixBackend: Error binding to the host-side Unix socket: path must be shorter than "
               f"SUN_LEN: uds_path has 108 bytes, and 107 fit ({'x' * 108})")
    load_fails(t, load_body(memory="x" * 110, backend="Uffd"), "path must be shorter than SUN_LEN: backend_path has 110 "
               f"bytes, and 107 fit ({'x' * 110})", part=True)


@case
def snapshot_overrides_of_unknown_or_repeated_interfaces(t):
    last = saved(t, configure=with_nics("a", "b"), **NETWORK)
    load_fails(t, load_body(network_overrides=[{"iface_id": "eth9", "host_dev_name": "tap0"}]),
               STATE_FAILED + "Unknown Network Device. network_overrides names the interface eth9; the snapshot has: a, b",
               options=NETWORK)
    served, client = load(t, options=NETWORK, network_overrides=[{"iface_id": "a", "host_dev_name": "first"},
                                                                 {"iface_id": "a", "host_dev_name": "second"}])
    taps = {nic["iface_id"]: nic["host_dev_name"] for nic in client.get("/vm/config")["network-interfaces"]}
    equal("TAPs", {"a": "second", "b": "tap_b"}, taps)
    contains("log", "network_overrides names the interface a more than once: the later one, second, is taken", t.log)
    goes_on(served, last)
    served.stop()


@case
def snapshot_decides_about_the_irqchip(t):
    last = saved(t, "--irqchip", "full")
    ignored = "--irqchip split is ignored: the snapshot's guest has the full irqchip and keeps it"
    for args, expected in (((), 0), (("--irqchip", "full"), 0), (("--irqchip", "split"), 1)):
        served, _ = load(t, *args)
        goes_on(served, last)
        equal(f"warnings with {args}", expected, t.log.count(ignored))
        served.stop()


@case
def text_that_cannot_be_printed_is_a_failure(t):
    saved(t)
    for args in (("--describe-snapshot", "state"), ("--version",), ("--snapshot-version",), ("--help",), ("--probe",),
                 ("--check-host",)):
        with open("/dev/full", "w", encoding="utf-8") as full:
            end = t.run(*args, stdout=full, may_leave=MAY_LEAVE)
        equal(f"stderr of {args}", "Error: Cannot write to standard output: No space left on device (os error 28) "
              "(ENOSPC): what was asked for is not printed whole. See where standard output goes, and run it again.\n",
              end.err)
        equal(f"status of {args}", 1, end.status)
