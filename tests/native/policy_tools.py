# SPDX-License-Identifier: Apache-2.0
"""A network namespace of a test's own with a TAP in it: the test is the guest behind the TAP and the host before it. The
case runs in a child, which alone is in the namespaces (network, and mounts for a bpf file system of its own)."""

import ctypes
import fcntl
import json
import os
import socket
import struct
import subprocess
import sys
import time
import traceback

from jail_tools import JAILER
from native import Mismatch, equal

CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
TUNSETIFF = 0x400454CA
IFF_TAP, IFF_NO_PI = 2, 0x1000
ID = "vm-1"
PIN_DIR = "/sys/fs/bpf/mayfly"
GUEST_MAC, HOST_MAC = "02:00:00:00:00:02", "02:00:00:00:00:01"
GUEST, HOST, OTHER = "10.0.0.2", "10.0.0.1", "10.0.0.9"
GUEST6, HOST6 = "fd00::2", "fd00::1"
POLICY = {"mac": GUEST_MAC, "addresses": [GUEST, GUEST6], "egress": {"default": "allow"},
          "ingress": {"default": "allow"}}


def mac(text):
    return bytes.fromhex(text.replace(":", ""))


def checksum(data):
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF


def ether(kind, payload, source=GUEST_MAC, target=HOST_MAC):
    return mac(target) + mac(source) + struct.pack("!H", kind) + payload


def ipv4(payload, protocol=17, source=GUEST, target=HOST, fragment=0, options=b""):
    length = 5 + len(options) // 4
    head = struct.pack("!BBHHHBBH4s4s", 0x40 | length, 0, length * 4 + len(payload), 1, fragment, 64, protocol, 0,
                       socket.inet_aton(source), socket.inet_aton(target)) + options
    return head[:10] + struct.pack("!H", checksum(head)) + head[12:] + payload


def udp(data, source_port=5000, target_port=6000):
    return struct.pack("!HHHH", source_port, target_port, 8 + len(data), 0) + data


def tcp(flags, source_port, target_port):
    """A head without a checksum."""
    return struct.pack("!HHIIBBHHH", source_port, target_port, 1, 1, 0x50, flags, 1000, 0, 0)


def ipv6(payload, following=17, source=GUEST6, target=HOST6, hops=64):
    return struct.pack("!IHBB16s16s", 6 << 28, len(payload), following, hops, socket.inet_pton(socket.AF_INET6, source),
                       socket.inet_pton(socket.AF_INET6, target)) + payload


def udp6(data, source=GUEST6, target=HOST6, target_port=6000):
    packet = udp(data, target_port=target_port)
    pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target) + \
        struct.pack("!II", len(packet), 17)
    return packet[:6] + struct.pack("!H", checksum(pseudo + packet)) + packet[8:]


def arp(operation=1, sender=GUEST, sender_mac=GUEST_MAC, target=HOST):
    return struct.pack("!HHBBH6s4s6s4s", 1, 0x0800, 6, 4, operation, mac(sender_mac), socket.inet_aton(sender),
                       b"\0" * 6, socket.inet_aton(target))


class PinnedMap:
    """One of the policy's maps, by bpf(2)."""

    BPF, LOOKUP, UPDATE, NEXT_KEY, OBJ_GET = 321, 1, 2, 4, 7

    def __init__(self, name, key_size, value_size):
        self.key_size, self.value_size = key_size, value_size
        path = ctypes.create_string_buffer(os.path.join(PIN_DIR, ID, name).encode())
        self.fd = self.call(self.OBJ_GET, struct.pack("QII", ctypes.addressof(path), 0, 0))

    @classmethod
    def call(cls, command, attributes):
        buffer = ctypes.create_string_buffer(attributes, 128)
        result = ctypes.CDLL(None, use_errno=True).syscall(cls.BPF, command, buffer, 128)
        if result < 0:
            raise OSError(ctypes.get_errno(), "bpf")
        return result

    def on(self, command, key, value):
        """value: None: no key."""
        key = key and ctypes.create_string_buffer(key, self.key_size)
        self.call(command, struct.pack("IIQQQ", self.fd, 0, key and ctypes.addressof(key) or 0, ctypes.addressof(value), 0))
        return value.raw

    def keys(self):
        found, key = [], None
        while True:
            try:
                key = self.on(self.NEXT_KEY, key, ctypes.create_string_buffer(self.key_size))
            except FileNotFoundError:
                return found
            found.append(key)

    def read(self, key):
        return self.on(self.LOOKUP, key, ctypes.create_string_buffer(self.value_size))

    def write(self, key, value):
        self.on(self.UPDATE, key, ctypes.create_string_buffer(value, self.value_size))


def ip(*lines):
    for line in lines:
        done = subprocess.run(["ip", *line.split()], capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Mismatch(f"ip {line}", "status 0", done.stderr)


def no_ipv6():
    """For what is made from now on: or the host's own chatter (multicast listeners) would be counted as well."""
    with open("/proc/sys/net/ipv6/conf/default/disable_ipv6", "w", encoding="ascii") as file:
        file.write("1")


RTM_DELQDISC, RTM_GETQDISC, RTM_GETTFILTER = 37, 38, 46
NLM_F_REQUEST, NLM_F_ACK, NLM_F_DUMP = 1, 4, 0x300
CLSACT, CLSACT_INGRESS, CLSACT_EGRESS = 0xFFFFFFF1, 0xFFFFFFF2, 0xFFFFFFF3


def traffic_control(kind, flags, name, parent):
    """One request of rtnetlink about an interface: its answers, each (type, tcm_handle, tcm_parent, tcm_info)."""
    found = []
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as link:
        message = struct.pack("BxxxiIII", 0, socket.if_nametoindex(name), 0, parent, 0)
        link.send(struct.pack("IHHII", 16 + len(message), kind, NLM_F_REQUEST | flags, 1, 0) + message)
        while True:
            answer = link.recv(1 << 16)
            while answer:
                size, what = struct.unpack("IH", answer[:6])
                if what in (2, 3):  # NLMSG_ERROR, which an acknowledgement is as well; NLMSG_DONE
                    return found
                if struct.unpack("i", answer[20:24])[0] == socket.if_nametoindex(name):
                    found.append((what, *struct.unpack("III", answer[24:36])))
                answer = answer[(size + 3) // 4 * 4:]


def hooks(name):
    """None: the interface has no clsact. Else the (priority, handle) of the filters in each direction."""
    qdiscs = traffic_control(RTM_GETQDISC, NLM_F_DUMP, name, 0)
    if not any(parent == CLSACT for _, _, parent, _ in qdiscs):
        return None
    found = {}
    for way, parent in (("ingress", CLSACT_INGRESS), ("egress", CLSACT_EGRESS)):
        filters = traffic_control(RTM_GETTFILTER, NLM_F_DUMP, name, parent)
        found[way] = [(info >> 16, handle) for _, handle, _, info in filters]
    return found


def remove_clsact(name):
    traffic_control(RTM_DELQDISC, NLM_F_ACK, name, CLSACT)
    equal("hooks", None, hooks(name))


class Net:
    """The namespace from inside."""

    def __init__(self, directory):
        self.dir = directory
        no_ipv6()
        self.tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(self.tap, TUNSETIFF, struct.pack("16sH22x", b"tap0", IFF_TAP | IFF_NO_PI))
        ip("link set lo up", f"link set tap0 address {HOST_MAC}", "addr add 10.0.0.1/24 dev tap0",
           "addr add 10.9.0.1/24 dev tap0", "link set tap0 up", f"neigh add {GUEST} lladdr {GUEST_MAC} dev tap0")

    @staticmethod
    def with_ipv6():
        """The host has an address of IPv6, too."""
        with open("/proc/sys/net/ipv6/conf/tap0/disable_ipv6", "w", encoding="ascii") as file:
            file.write("0")
        ip("-6 addr add fd00::1/64 dev tap0 nodad", f"-6 neigh add {GUEST6} lladdr {GUEST_MAC} dev tap0")

    def command(self, *words):
        return subprocess.run([JAILER, "policy", "--id", ID, *words], cwd=self.dir, capture_output=True, text=True,
                              check=False)

    def write(self, policy):
        with open(os.path.join(self.dir, "policy.json"), "w", encoding="utf-8") as file:
            file.write(policy if isinstance(policy, str) else json.dumps(policy))

    def attach(self, **changed):
        self.write({**POLICY, **changed})
        done = self.command("--attach", "--tap", "tap0", "--file", "policy.json")
        if done.returncode != 0:
            raise Mismatch("attaching", "status 0", done.stderr)

    def update(self, **changed):
        self.write({**POLICY, **changed})
        done = self.command("--file", "policy.json")
        if done.returncode != 0:
            raise Mismatch("updating", "status 0", done.stderr)

    def counters(self):
        lines = self.command("--show").stdout.splitlines()
        return {name: int(number) for name, number in (line.rsplit(": ", 1) for line in lines)}

    def dropped(self):
        """Reason -> how many, of those that are not 0."""
        return {name[len("dropped_"):]: number for name, number in self.counters().items()
                if name.startswith("dropped_") and number}

    def send(self, frame):
        os.write(self.tap, frame)

    def receive(self, wanted, timeout_s=2):
        """The next frame to the guest that `wanted` takes, or None."""
        end = time.monotonic() + timeout_s
        while time.monotonic() < end:
            try:
                frame = os.read(self.tap, 65536)
            except BlockingIOError:
                time.sleep(0.002)
                continue
            if wanted(frame):
                return frame
        return None

    @staticmethod
    def listener(port=6000, family=socket.AF_INET, timeout_s=2):
        found = socket.socket(family, socket.SOCK_DGRAM)
        found.bind(("", port))
        found.settimeout(timeout_s)
        return found


def arrives(listener, timeout_s=0.3):
    listener.settimeout(timeout_s)
    try:
        return listener.recv(2048)
    except TimeoutError:
        return None


def in_namespace(function, make=Net):
    """As a case: `function(net)` in a child, the net made by `make(directory)`."""
    def run(t):
        reader, writer = os.pipe()
        pid = os.fork()
        if pid == 0:
            os.close(reader)
            code = 1
            try:
                if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
                    raise OSError(ctypes.get_errno(), "unshare")
                subprocess.run("mount --make-rprivate / && mount -t bpf bpf /sys/fs/bpf", shell=True, check=True)
                function(make(t.dir))
                code = 0
            except Mismatch as mismatch:
                os.write(writer, f"{mismatch.what}: expected {mismatch.expected}, saw {mismatch.seen}".encode())
            except BaseException:  # pylint: disable=broad-except
                os.write(writer, traceback.format_exc().encode())
            sys.stdout.flush()
            os._exit(code)
        os.close(writer)
        with os.fdopen(reader, encoding="utf-8") as file:
            text = file.read()
        _, status = os.waitpid(pid, 0)
        if status != 0:
            raise Mismatch("in the namespace", "no complaint", text)
    run.__name__ = function.__name__
    return run
