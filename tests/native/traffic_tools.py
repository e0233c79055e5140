# SPDX-License-Identifier: Apache-2.0
"""Three namespaces: a guest's, a peer's, and the host's with a bridge between them; `tap0` is the bridge's port of the
guest. Flows of TCP, UDP and ICMP between two of them, by the kernel's own stacks, are checked at both ends."""

import contextlib
import ctypes
import fcntl
import hashlib
import os
import random
import select
import signal
import socket
import struct
import subprocess
import threading
import time

from native import Mismatch, equal
from policy_tools import CLONE_NEWNET, GUEST, GUEST_MAC, IFF_NO_PI, IFF_TAP, TUNSETIFF, Net, checksum, ip, no_ipv6

PEER, PEER6, PEER_MAC = "10.0.0.1", "fd00::1", "02:00:00:00:00:01"
TUNSETOFFLOAD, TUN_OFFLOADS = 0x400454D0, 1 | 2 | 4  # checksum, segmentation of TCP over IPv4 and IPv6
IFF_VNET_HDR = 0x4000
PR_SET_PDEATHSIG = 1
FRAME_MAX = 1 << 17
WINDOW = 32  # datagrams on the way: fewer than any queue has room for
PATIENCE_S = 10  # for what has to come

libc = ctypes.CDLL(None, use_errno=True)


def checked(result, what):
    if result < 0:
        raise OSError(ctypes.get_errno(), what)


class Space:
    """One network namespace: held by a descriptor, entered by one thread for a while."""

    def __init__(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        checked(libc.unshare(CLONE_NEWNET), "unshare")
        self.fd = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        no_ipv6()
        checked(libc.setns(before, CLONE_NEWNET), "setns")
        os.close(before)
        self.path = f"/proc/{os.getpid()}/fd/{self.fd}"

    @contextlib.contextmanager
    def entered(self):
        before = os.open("/proc/thread-self/ns/net", os.O_RDONLY)
        checked(libc.setns(self.fd, CLONE_NEWNET), "setns")
        try:
            yield
        finally:
            checked(libc.setns(before, CLONE_NEWNET), "setns")
            os.close(before)

    def ip(self, *lines):
        with self.entered():
            ip(*lines)

    def socket(self, kind, family=socket.AF_INET, protocol=0, bind=None):
        """A socket of this namespace, whoever uses it."""
        with self.entered():
            found = socket.socket(family, kind, protocol)
        found.settimeout(PATIENCE_S)
        if bind is not None:
            found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            found.bind(bind)
        return found


class Bridged(Net):
    """The guest's port is an end of a veth pair: frames are as long as TCP's segments before they are cut."""

    def __init__(self, directory):  # pylint: disable=super-init-not-called
        self.dir = directory
        no_ipv6()
        self.guest, self.peer = Space(), Space()
        ip("link add br0 type bridge mcast_snooping 0",  # or it sends reports of its own
           f"link add peer0 type veth peer name eth0 netns {self.peer.path}")
        self.connect_guest()
        ip(*(f"link set {name} master br0 up" for name in ("tap0", "peer0")), "link set br0 up")
        for space, address, mac in ((self.guest, GUEST, GUEST_MAC), (self.peer, PEER, PEER_MAC)):
            space.ip("link set lo up", f"link set eth0 address {mac}", "link set eth0 up",
                     f"addr add {address}/24 dev eth0")

    def connect_guest(self):
        ip(f"link add tap0 type veth peer name eth0 netns {self.guest.path}")

    def with_ipv6(self):
        for space, address in ((self.guest, "fd00::2"), (self.peer, PEER6)):
            with space.entered(), open("/proc/sys/net/ipv6/conf/eth0/disable_ipv6", "w", encoding="ascii") as file:
                file.write("0")
            space.ip(f"-6 addr add {address}/64 dev eth0 nodad")

    @staticmethod
    def seen_at_the_port():
        """Frames and bytes that the guest has sent, as the port counts them."""
        with open("/proc/thread-self/net/dev", encoding="ascii") as file:
            for line in file:
                name, _, numbers = line.partition(":")
                if name.strip() == "tap0":
                    size, count = (int(number) for number in numbers.split()[:2])
                    return count, size
        raise Mismatch("interfaces", "tap0", "none")


def open_tap(name):
    """As the monitor does: with heads that say what of a frame is still to be computed."""
    tap = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)
    fcntl.ioctl(tap, TUNSETIFF, struct.pack("16sH22x", name.encode(), IFF_TAP | IFF_NO_PI | IFF_VNET_HDR))
    fcntl.ioctl(tap, TUNSETOFFLOAD, TUN_OFFLOADS)
    return tap


def carry(one, other):
    """Frames from each TAP to the other one, until nobody is left who wants them."""
    while True:
        for fd, _ in select_ready(one, other):
            try:
                for _ in range(WINDOW):
                    frame = os.read(fd, FRAME_MAX)
                    with contextlib.suppress(OSError):  # the other end is not up yet
                        os.write(other if fd == one else one, frame)
            except BlockingIOError:
                pass


def select_ready(*fds):
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return poll.poll()


class Tapped(Bridged):
    """The guest's port is a TAP; a process carries frames between it and the guest's own, as a monitor does."""

    def connect_guest(self):
        ours = open_tap("tap0")
        with self.guest.entered():
            theirs = open_tap("eth0")
        if os.fork() == 0:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
            try:
                carry(ours, theirs)
            finally:
                os._exit(1)
        os.close(ours)
        os.close(theirs)


class Background(threading.Thread):
    """What runs beside; join() raises what it raised."""

    def __init__(self, function, *args):
        super().__init__(daemon=True)
        self.function, self.args, self.failure = function, args, None
        self.start()

    def run(self):
        try:
            self.function(*self.args)
        except BaseException as failure:  # pylint: disable=broad-except
            self.failure = failure

    def join(self, timeout=PATIENCE_S):
        super().join(timeout)
        if self.failure:
            raise self.failure
        equal("end of what runs beside", False, self.is_alive())


def connect(client, server, address, port, family=socket.AF_INET):
    """A connection of TCP from one namespace to a listener in the other: both ends."""
    with server.socket(socket.SOCK_STREAM, family, bind=("", port)) as listener:
        listener.listen()
        ours = client.socket(socket.SOCK_STREAM, family)
        ours.connect((address, port))
        theirs, _ = listener.accept()
        theirs.settimeout(PATIENCE_S)
        return ours, theirs


def send_and_close(sock, data, until=None):
    """until: data goes again and again, until that is true."""
    while True:
        sock.sendall(data)
        if until is None or until():
            break
    sock.shutdown(socket.SHUT_WR)


def digest_of(sock):
    """Of all that comes until its end, and how many bytes that is."""
    found, count = hashlib.sha256(), 0
    while data := sock.recv(1 << 18):
        found.update(data)
        count += len(data)
    return found.hexdigest(), count


def exchange(ours, theirs, size, until=None):
    """Both ends send at once, and each receives what the other one sent. size: of what is sent, or sent again until
    `until` is true. Returns how many bytes arrived."""
    blocks = [random.randbytes(size) for _ in range(2)]
    senders = [Background(send_and_close, sock, block, until) for sock, block in zip((ours, theirs), blocks)]
    received = [None, None]

    def receive(idx, sock):
        received[idx] = digest_of(sock)
    receivers = [Background(receive, idx, sock) for idx, sock in enumerate((theirs, ours))]
    for thread in senders + receivers:
        thread.join()
    for block, (digest, count) in zip(blocks, received):
        equal("whole blocks", 0, count % size)
        expected = hashlib.sha256()
        for _ in range(count // size):
            expected.update(block)
        equal("bytes, as they were sent", expected.hexdigest(), digest)
    ours.close()
    theirs.close()
    return sum(count for _, count in received)


def echo(sock, stop):
    """Sends every datagram back."""
    while not stop.is_set():
        try:
            data, address = sock.recvfrom(1 << 16)
        except TimeoutError:
            continue
        sock.sendto(data, address)


def datagrams(client, server, address, port, enough, family=socket.AF_INET):
    """Datagrams there and back, each once and as it was, WINDOW of them on the way at a time, until enough(how many).
    In any order: one that finds its neighbour known overtakes those that waited for ARP's answer."""
    theirs = server.socket(socket.SOCK_DGRAM, family, bind=("", port))
    theirs.settimeout(0.05)
    ours = client.socket(socket.SOCK_DGRAM, family)
    ours.settimeout(PATIENCE_S / 2)
    ours.connect((address, port))
    stop = threading.Event()
    thread = Background(echo, theirs, stop)
    sent, away = 0, set()
    filling = random.randbytes(1400)

    def datagram(number):
        return struct.pack("!I", number) + filling[:number * 7 % 1400]

    def receive():
        try:
            found = ours.recv(1 << 16)
        except TimeoutError:
            raise Mismatch(f"datagrams that are away, of {sent}", "none", sorted(away)) from None
        number = struct.unpack("!I", found[:4])[0]
        if number not in away:
            raise Mismatch("datagram", f"one of {sorted(away)}", number)
        equal(f"datagram {number}", datagram(number), found)
        away.remove(number)
    try:
        while not enough(sent) or away:
            while len(away) < WINDOW and not enough(sent):
                away.add(sent)
                ours.send(datagram(sent))
                sent += 1
            if away:
                receive()
    finally:
        stop.set()
        thread.join()
        ours.close()
        theirs.close()
    return sent


def ping(client, address, timeout_s=PATIENCE_S, size=56):
    """One echo request: is it answered, with the same data?"""
    with client.socket(socket.SOCK_RAW, protocol=socket.IPPROTO_ICMP) as sock:
        sock.connect((address, 0))
        data = random.randbytes(size)
        head = struct.pack("!BBHHH", 8, 0, 0, 77, 1)
        sock.send(head[:2] + struct.pack("!H", checksum(head + data)) + head[4:] + data)
        end = time.monotonic() + timeout_s
        while (left := end - time.monotonic()) > 0:
            sock.settimeout(left)
            try:
                packet = sock.recv(1 << 16)
            except TimeoutError:
                return False
            message = packet[(packet[0] & 15) * 4:]
            if message[0] == 0 and message[4:8] == head[4:8]:
                equal("data of the answer", data, message[8:])
                return True
    return False


def can_connect(client, address, port, timeout_s=0.25, source=None):
    with client.socket(socket.SOCK_STREAM, bind=source and (source, 0)) as sock:
        sock.settimeout(timeout_s)
        try:
            sock.connect((address, port))
            return True
        except TimeoutError:
            return False
