# SPDX-License-Identifier: Apache-2.0
"""firecracker-python starts the monitor itself, configures a VM with a drive and a network interface on a TAP that it
makes, and boots, pauses, resumes, saves, clones and deletes it. Stubbed are its look-up of the host's public address
and the Docker daemon, whose version it asks for although no image is involved.

usage: cases.py GUESTS      where tiny guests are; see run. Ends with 'N passed, N failed, N skipped'."""

import contextlib
import http.server
import json
import os
import re
import signal
import socketserver
import subprocess
import sys
import threading
import time
import traceback

import firecracker.microvm
from firecracker import MicroVM
from firecracker.exceptions import VMMError

DATA = "/var/lib/firecracker"
LIMIT_S = 10

firecracker.microvm.get_public_ip = lambda: "192.0.2.2"


class Mismatch(Exception):
    pass


class Docker(http.server.BaseHTTPRequestHandler):
    """A daemon that knows its version."""

    def do_GET(self):
        body = b'{"ApiVersion": "1.44"}'
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


def start_docker():
    path = os.path.join(DATA, "docker.sock")
    server = socketserver.UnixStreamServer(path, Docker)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    os.environ["DOCKER_HOST"] = "unix://" + path


def equal(what, expected, seen):
    if expected != seen:
        raise Mismatch(f"{what}: expected {expected!r}, saw {seen!r}")


def wait_until(what, condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        if time.monotonic() > end:
            raise Mismatch(f"{what}: not within {LIMIT_S} s")
        time.sleep(0.01)


def taps():
    shown = subprocess.run(["ip", "-json", "link", "show"], capture_output=True, text=True, check=True).stdout
    return [link["ifname"] for link in json.loads(shown) if link["ifname"].startswith("tap_")]


def kill(vm):
    """Ends a monitor that the client has left, by its socket; others' are not touched."""
    pid = vm._process._find_running_process(vm._microvm_id)
    if pid:
        os.kill(pid, signal.SIGKILL)
        with contextlib.suppress(ChildProcessError):  # another thread has waited
            os.waitpid(pid, 0)


class World:
    """One VM, as the client keeps it."""

    def __init__(self, guests):
        self.guests = guests
        self.root = os.path.join(DATA, "root")
        with open(self.root, "wb") as file:
            file.truncate(1 << 20)
        self.vm = MicroVM(name="tiny", kernel_file=os.path.join(guests, "numbers.elf"), base_rootfs=self.root, vcpu=1,
                          memory=128)
        self.id = self.vm._microvm_id
        self.pid = self.status = self.reaper = None

    def reap(self):
        """The client leaves its child to whoever waits for it."""
        self.status = os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])

    def state(self):
        return self.vm._vmm.get_vmm_state(self.id)

    def numbers(self, vm_id=None):
        """What the guest has counted."""
        with open(f"{DATA}/{vm_id or self.id}/firecracker.log", encoding="latin-1") as file:
            return [int(number, 16) for number in re.findall("^([0-9a-f]{8}) ?\r?\n", file.read(), re.MULTILINE)]


def boots(world):
    equal("create", f"VMM {world.id} created", world.vm.create())
    world.pid = world.vm.inspect()["State"]["Pid"]
    world.reaper = threading.Thread(target=world.reap, daemon=True)
    world.reaper.start()
    wait_until("the guest's output", lambda: world.numbers())
    equal("state", "Running", world.state())
    equal("status", f"VMM {world.id} is running", world.vm.status())
    equal("list", [(world.id, "Running")], [(vm["id"], vm["state"]) for vm in MicroVM.list()])


def configures(world):
    config = world.vm.config()
    equal("kernel", os.path.join(world.guests, "numbers.elf"), config["boot-source"]["kernel_image_path"])
    equal("address in the kernel's arguments", world.vm._ip_addr, world.vm._vmm.get_vmm_ip_addr(world.id))
    equal("drives", [("rootfs", f"{DATA}/{world.id}/rootfs/root", True)],
          [(drive["drive_id"], drive["path_on_host"], drive["is_root_device"]) for drive in config["drives"]])
    equal("interfaces", [("eth0", f"tap_{world.id}")],
          [(nic["iface_id"], nic["host_dev_name"]) for nic in config["network-interfaces"]])
    equal("vCPUs and memory", (1, 128),
          (config["machine-config"]["vcpu_count"], config["machine-config"]["mem_size_mib"]))
    equal("TAPs", [f"tap_{world.id}"], taps())


def pauses_and_resumes(world):
    equal("pause", f"VMM {world.id} paused successfully", world.vm.pause())
    equal("state", "Paused", world.state())
    equal("resume", f"VMM {world.id} resumed successfully", world.vm.resume())
    equal("state", "Running", world.state())


def saves(world):
    world.vm.snapshot(action="create")  # pauses before and resumes after
    equal("state", "Running", world.state())
    equal("files", ["memory", "snapshot"], sorted(os.listdir(f"{DATA}/snapshots/{world.id}")))
    count = len(world.numbers())
    wait_until("more numbers", lambda: len(world.numbers()) > count)


def loads(world):
    """A second VM goes on where the first was saved, with a TAP of its own; the first is still there. The client asks
    for a start on top, which is refused as after every load."""
    folder = f"{DATA}/snapshots/{world.id}"
    clone = MicroVM(name="clone", kernel_file=world.vm._kernel_file, base_rootfs=world.root, ip_addr="172.30.0.2")
    try:
        said = clone.create(snapshot=True, memory_path=f"{folder}/memory", snapshot_path=f"{folder}/snapshot")
    except VMMError as error:
        said = str(error)
    try:
        if "not supported after starting the microVM" not in said:
            raise Mismatch(f"expected a start that is refused, saw {said!r}")
        clone_id = clone._microvm_id
        equal("state", "Running", world.vm._vmm.get_vmm_state(clone_id))
        wait_until("numbers", lambda: len(world.numbers(clone_id)) > 3)
        first = world.numbers(clone_id)[0]
        if not 1 < first <= len(world.numbers()):
            raise Mismatch(f"the clone counts from {first:#x}, and the first VM got to {len(world.numbers()):#x}")
        config = clone._vmm.get_vmm_config(clone_id)
        equal("interfaces", [("eth0", f"tap_{clone_id}")],
              [(nic["iface_id"], nic["host_dev_name"]) for nic in config["network-interfaces"]])
    finally:
        kill(clone)
        clone._network.cleanup(f"tap_{clone._microvm_id}")


def deletes(world):
    equal("delete", f"VMM {world.id} is deleted", world.vm.delete())
    world.reaper.join(LIMIT_S)
    equal("end of the monitor", -signal.SIGTERM, world.status)
    equal("TAPs", [], taps())
    equal("its directory", False, os.path.exists(f"{DATA}/{world.id}"))
    equal("list", [], MicroVM.list())


def passes_faults_on(world):
    """What the monitor says about a bad configuration is what the client's user reads."""
    vm = MicroVM(kernel_file=world.root, base_rootfs=world.root, vcpu=1, memory=128)
    try:
        said = vm.create()
    except VMMError as error:
        said = str(error)
    kill(vm)
    if "API fault: " not in said or "Kernel" not in said:
        raise Mismatch(f"expected an API fault about the kernel, saw {said!r}")


CASES = [boots, configures, pauses_and_resumes, saves, loads, deletes, passes_faults_on]


def main():
    start_docker()  # its folder was made when the client was imported
    world = World(sys.argv[1])
    passed = 0
    for case in CASES:
        try:
            case(world)
        except Exception:  # whatever the client raises: this case's
            print(f"not ok firecracker-python {case.__name__}: {traceback.format_exc()}")
            continue
        passed += 1
        print(f"ok firecracker-python {case.__name__}")
    kill(world.vm)
    print(f"{passed} passed, {len(CASES) - passed} failed, 0 skipped")
    return 0 if passed == len(CASES) else 1


if __name__ == "__main__":
    sys.exit(main())
