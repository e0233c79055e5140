# SPDX-License-Identifier: Apache-2.0
"""Network interfaces as the API and the config file make them (api.md 7; devices.md 4): the TAP and every way in which
it cannot be opened, replacing, limits, what GET /vm/config shows. Frames: tests/unit/net and tests/lab."""

import ctypes
import fcntl
import os
import socket
import struct
import threading

from api import BEFORE_START, OWN_NETWORK, Served
from native import TIMEOUT_S, case, equal, guest, skip

PUT_FAILED = "Network config error: Could not create the network device: "
TAP_FAILED = PUT_FAILED + "Open tap device failed: "
BACKEND = ("Error while creating ifreq structure: {}. Invalid TUN/TAP Backend provided by {}. Check our documentation on "
           "setting up the network devices. ({})")
MAC = "06:00:ac:10:00:02"
TUNSETIFF = 0x400454CA
CLONE_NEWNET = 0x40000000
SOL_PACKET, PACKET_STATISTICS = 263, 6
SO_RCVBUFFORCE = 33
LOCAL_EXPERIMENTAL = 0x88B5  # the ethertype of guests/net_spoof.S
IFF_TUN, IFF_TAP, IFF_NO_PI, IFF_VNET_HDR, IFF_MULTI_QUEUE = 1, 2, 0x1000, 0x4000, 0x100


def in_network(command):
    """A prefix: the monitor runs after a shell command in a network of its own."""
    return (*OWN_NETWORK, "sh", "-c", command + ' && exec "$@"', "sh")


def nic(name, tap, **fields):
    return {"iface_id": name, "host_dev_name": tap, **fields}


def put(client, name, tap, **fields):
    client.put(f"/network-interfaces/{name}", nic(name, tap, **fields))


def refused(client, name, tap, sentence, **fields):
    client.refused("PUT", f"/network-interfaces/{name}", nic(name, tap, **fields), sentence)


def shown(client):
    """(iface_id, host_dev_name) of GET /vm/config."""
    return [(entry["iface_id"], entry["host_dev_name"]) for entry in client.get("/vm/config")["network-interfaces"]]


def tap_fds(pid):
    return sum(os.readlink(f"/proc/{pid}/fd/{fd}") == "/dev/net/tun" for fd in os.listdir(f"/proc/{pid}/fd"))


@case
def net_interface_is_shown_as_asked(t):
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    limiter = {"bandwidth": {"size": 1000, "one_time_burst": None, "refill_time": 100}, "ops": None}
    put(client, "eth0", "tap0", guest_mac=MAC, mtu=9000, rx_rate_limiter=limiter)
    equal("interfaces", [{"iface_id": "eth0", "host_dev_name": "tap0", "guest_mac": MAC, "mtu": 9000,
                          "rx_rate_limiter": limiter, "tx_rate_limiter": None}],
          client.get("/vm/config")["network-interfaces"])
    put(client, "eth1", "tap%d")
    equal("a name of the kernel's choice", ("eth1", "tap1"), shown(client)[1])
    served.stop()


@case
def net_refused_interface_changes_nothing(t):
    served = Served(t, prefix=in_network("ip tuntap add many mode tap multi_queue && ip tuntap add ip mode tun"))
    client = served.connect()
    put(client, "eth0", "tap0", guest_mac=MAC)
    before, fds = client.get("/vm/config"), tap_fds(served.pid)
    refused(client, "b", "tap1", f"Network config error: The MAC address is already in use: {MAC}", guest_mac=MAC)
    refused(client, "b", "tap1", PUT_FAILED + "MTU 67 is out of range [68, 65535]", mtu=67)
    refused(client, "b", "a123456789012345", TAP_FAILED + "Invalid interface name")
    for tap, errno_text, advice in (
            ("tap0", "Resource busy (os error 16)", "another process has it open: give each VM a tap of its own"),
            ("lo", "Invalid argument (os error 22)", "there is an interface of that name and it is no tap: ip tuntap "
                                                     "add mode tap"),
            ("many", "Invalid argument (os error 22)", "it was made with multi_queue: make it without"),
            ("ip", "Invalid argument (os error 22)", "it is a tun, which carries no Ethernet: ip tuntap add mode tap"),
            ("a/b", "Invalid argument (os error 22)", "no interface may have this name; an inherited tap is fd:N, a number"),
            ("fd:99", "Bad file descriptor (os error 9)", "no tap was inherited under this number"),
            ("fd:0", "Not a tty (os error 25)", "no tap was inherited under this number")):
        refused(client, "b", tap, TAP_FAILED + BACKEND.format(errno_text, tap, advice))
    equal("configuration", before, client.get("/vm/config"))
    equal("open TAPs", fds, tap_fds(served.pid))
    served.stop()


@case
def net_same_id_again_takes_the_same_tap(t):
    """The old one goes first, and is gone when the new one fails (api.md 7)."""
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    for index in range(3):
        put(client, f"eth{index}", f"tap{index}")
    put(client, "eth0", "tap0", mtu=1400)
    equal("order", [("eth2", "tap2"), ("eth1", "tap1"), ("eth0", "tap0")], shown(client))
    equal("open TAPs", 3, tap_fds(served.pid))
    client.refused_like("PUT", "/network-interfaces/eth1", nic("eth1", "lo"), TAP_FAILED)
    equal("after a failure", [("eth2", "tap2"), ("eth0", "tap0")], shown(client))
    equal("open TAPs", 2, tap_fds(served.pid))
    served.stop()


@case
def net_without_the_right_to_make_a_tap(t):
    served = Served(t, prefix=(*in_network("ip tuntap add theirs mode tap user 1"), "setpriv", "--inh-caps=-net_admin",
                               "--bounding-set=-net_admin"))
    client = served.connect()
    for tap in ("none", "theirs"):
        refused(client, "e", tap, TAP_FAILED + BACKEND.format(
            "Operation not permitted (os error 1)", tap, "it belongs to another user, or there is none and making one "
            "needs CAP_NET_ADMIN: ip tuntap add mode tap user UID"))
    served.stop()


def inherited(flags):
    """A TAP's descriptor as whoever sets up the network hands it over."""
    fd = os.open("/dev/net/tun", os.O_RDWR)
    fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", b"mayflytap%d", flags))
    os.set_inheritable(fd, True)
    return fd


@case
def net_inherited_tap(t):
    try:
        fd = inherited(IFF_TAP | IFF_NO_PI | IFF_VNET_HDR)
        bad = inherited(IFF_TAP | IFF_NO_PI)
    except PermissionError:
        skip("TAPs cannot be made here")
    served = Served(t, pass_fds=(fd, bad))
    client = served.connect()
    refused(client, "e", f"fd:{bad}", TAP_FAILED + BACKEND.format(
        "Invalid argument (os error 22)", f"fd:{bad}", "TUNSETIFF has to ask for IFF_TAP, IFF_NO_PI and IFF_VNET_HDR"))
    for _ in range(2):
        put(client, "e", f"fd:{fd}")
        equal("shown", [("e", f"fd:{fd}")], shown(client))
    equal("open TAPs", 3, tap_fds(served.pid))
    client.boot(guest("halt"))
    equal("state", "Running", client.get("/")["state"])
    served.stop()
    os.close(fd)
    os.close(bad)


@case
def net_limits_of_a_running_vm(t):
    served = Served(t, prefix=OWN_NETWORK)
    client = served.connect()
    put(client, "e", "tap0", rx_rate_limiter={"ops": {"size": 5, "refill_time": 7}})
    patch = {"iface_id": "e", "rx_rate_limiter": {"bandwidth": {"size": 9, "refill_time": 8}},
             "tx_rate_limiter": {"ops": {"size": 3, "refill_time": 4}}}
    client.refused("PATCH", "/network-interfaces/e", patch, BEFORE_START)
    client.boot(guest("halt"))
    client.patch("/network-interfaces/e", patch)
    client.patch("/network-interfaces/e", {"iface_id": "e"})
    entry = client.get("/vm/config")["network-interfaces"][0]
    equal("receiving", ({"size": 9, "one_time_burst": None, "refill_time": 8},
                        {"size": 5, "one_time_burst": None, "refill_time": 7}),
          (entry["rx_rate_limiter"]["bandwidth"], entry["rx_rate_limiter"]["ops"]))
    equal("sending", {"size": 3, "one_time_burst": None, "refill_time": 4}, entry["tx_rate_limiter"]["ops"])
    served.stop()


@case
def net_interface_of_a_config_file(t):
    t.config("hello", network_interfaces=[nic("eth0", "tap0", guest_mac=MAC)])
    t.expect_end(t.run_vm("--metrics-path", "metrics", prefix=OWN_NETWORK))
    equal("metrics of the interface", True, "net_eth0" in t.metrics()[-1])


def listen_on(pid, tap):
    """A packet socket in the process' network: what a TAP there gets from its guest with our ethertype."""
    opened = []

    def inside():  # the thread's network, not the process'
        libc = ctypes.CDLL(None, use_errno=True)
        with open(f"/proc/{pid}/ns/net", "rb") as network:
            if libc.setns(network.fileno(), CLONE_NEWNET) == 0:
                opened.append(socket.socket(socket.AF_PACKET, socket.SOCK_RAW, 0))

    thread = threading.Thread(target=inside)
    thread.start()
    thread.join()
    equal("sockets in the monitor's network", 1, len(opened))
    listener = opened[0]
    listener.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, 64 << 20)
    listener.bind((tap, LOCAL_EXPERIMENTAL))
    listener.setblocking(False)
    return listener


def frames_of(listener):
    """All frames that have come; none may have been lost."""
    frames = []
    try:
        while True:
            frames.append(listener.recv(65536))
    except BlockingIOError:
        pass
    _, lost = struct.unpack("II", listener.getsockopt(SOL_PACKET, PACKET_STATISTICS, 8))
    equal("frames that the test itself lost", 0, lost)
    return frames


@case
def net_source_address_is_judged_on_the_bytes_that_are_sent(t):
    """A second vCPU flips the address while frames are sent (unit tests do the same with a thread)."""
    served = Served(t, "--metrics-path", "metrics",
                    prefix=in_network("ip tuntap add tap0 mode tap && ip link set tap0 up"))
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 2, "mem_size_mib": 128})
    put(client, "eth0", "tap0", guest_mac=MAC)
    with listen_on(served.pid, "tap0") as listener:
        client.boot(guest("net_spoof"))
        t.expect_end(served.vm.wait(TIMEOUT_S))
        sources = [frame[6:12].hex(":") for frame in frames_of(listener)]
    foreign = sum(source != MAC for source in sources)
    equal("frames: counted, seen", (4096, 4096), (t.total("net_eth0", "tx_packets_count"), len(sources)))
    equal("frames with a foreign source address", foreign, t.total("net_eth0", "tx_spoofed_mac_count"))
    if foreign in (0, len(sources)):
        skip(f"{foreign} of {len(sources)} frames were foreign: the vCPUs never ran at the same time")
