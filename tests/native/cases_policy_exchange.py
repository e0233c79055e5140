# SPDX-License-Identifier: Apache-2.0
"""What belongs to an exchange that the network policy has allowed, and what only looks like it (docs/network-policy.md)."""

import errno
import fcntl
import os
import socket
import struct
import subprocess

from jail_tools import JAILER
from native import case, contains, equal
from policy_tools import (GUEST, GUEST6, GUEST_MAC, HOST, HOST6, HOST_MAC, ID, PIN_DIR, PinnedMap, arp, arrives, checksum, ether,
                          in_namespace, ip, ipv4, ipv6, udp)
from traffic_tools import open_tap

DENY = {"default": "deny"}
UDP_6000 = {"default": "deny", "rules": [{"peer": HOST, "verdict": "allow", "protocol": "udp", "ports": "6000"}]}


def icmp(kind, rest, payload=b"x" * 8):
    whole = struct.pack("!BBHI", kind, 0, 0, rest) + payload
    return whole[:2] + struct.pack("!H", checksum(whole)) + whole[4:]


def to_guest(frame):
    """Has the host send it as it is, by the TAP. What is dropped there is an error of the sender's."""
    with socket.socket(socket.AF_PACKET, socket.SOCK_RAW) as sender:
        sender.bind(("tap0", 0))
        try:
            sender.send(frame)
        except OSError as error:
            if error.errno != errno.ENOBUFS:
                raise


def from_host(packet, kind=0x0800):
    return ether(kind, packet, source=HOST_MAC, target=GUEST_MAC)


def comes(net, mark):
    return net.receive(lambda frame: mark in frame, 0.2) is not None


@case
@in_namespace
def policy_lets_the_answer_to_a_ping_in_and_not_the_peer_s_own(net):
    net.attach(ingress=DENY)
    number = 0x1234 << 16
    net.send(ether(0x0800, ipv4(icmp(8, number, b"question"), protocol=1)))
    equal("the kernel's answer", True, comes(net, b"question"))
    net.send(ether(0x0800, ipv4(icmp(13, number), protocol=1)))
    net.send(ether(0x0800, ipv4(icmp(8, 8 << 24, b"of 8...."), protocol=1)))
    equal("the answer to number 8", True, comes(net, b"of 8...."))
    for kind, rest, what in ((8, number, "a ping of the same number"), (0, 0x4321 << 16, "an answer to another"),
                             (8, 8 << 24, "a ping of number 8"), (13, number, "a timestamp's request"), (5, 0, "a redirect")):
        before = net.dropped().get("ingress", 0)
        to_guest(from_host(ipv4(icmp(kind, rest, b"unasked."), protocol=1, source=HOST, target=GUEST)))
        equal(f"{what} comes", False, comes(net, b"unasked."))
        equal(f"{what} is counted", before + 1, net.dropped().get("ingress", 0))


@case
@in_namespace
def policy_lets_the_answer_to_a_ping_of_ipv6_in_and_not_the_peer_s_own(net):
    net.with_ipv6()
    net.attach(ingress=DENY)

    def echo(kind, source, target, data):
        packet = struct.pack("!BBHHH", kind, 0, 0, 7, 1) + data
        pseudo = socket.inet_pton(socket.AF_INET6, source) + socket.inet_pton(socket.AF_INET6, target)
        total = checksum(pseudo + struct.pack("!II", len(packet), 58) + packet)
        return ipv6(packet[:2] + struct.pack("!H", total) + packet[4:], following=58, source=source, target=target)
    net.send(ether(0x86DD, echo(128, GUEST6, HOST6, b"question")))
    equal("the kernel's answer", True, comes(net, b"question"))
    to_guest(from_host(echo(128, HOST6, GUEST6, b"unasked."), 0x86DD))
    equal("the peer's own", False, comes(net, b"unasked."))


@case
@in_namespace
def policy_lets_errors_in_about_what_the_guest_has_sent(net):
    """Nobody listens: the host's kernel says so. Then what nobody asked for, about other packets."""
    net.attach(egress=UDP_6000, ingress=DENY)
    sent = ipv4(udp(b"to nobody"))
    net.send(ether(0x0800, sent))
    equal("port unreachable", True, comes(net, sent[20:28]))
    for quoted, passes in ((sent, True), (ipv4(udp(b"never", source_port=5001)), False), (ipv4(udp(b"never"), target="10.9.0.1"), False),
                           (ipv4(udp(b"never"), source=HOST, target=GUEST), False), (b"\x45", False)):
        mark = os.urandom(8)
        to_guest(from_host(ipv4(icmp(3, 0, quoted[:28] + mark), protocol=1, source="10.0.0.7", target=GUEST)))
        equal(f"an error about {quoted.hex()}", passes, comes(net, mark))


@case
@in_namespace
def policy_lets_errors_of_ipv6_in_about_what_the_guest_has_sent(net):
    net.with_ipv6()
    net.attach(ingress=DENY)
    sent = ipv6(udp(b"too big for the path"))
    net.send(ether(0x86DD, sent))
    for quoted, passes in ((sent, True), (ipv6(udp(b"never", target_port=7)), False)):
        mark = os.urandom(8)
        to_guest(from_host(ipv6(icmp(2, 1280, quoted[:48] + mark), following=58, source="fd00::7", target=GUEST6), 0x86DD))
        equal(f"an error about {quoted.hex()}", passes, comes(net, mark))


@case
@in_namespace
def policy_lets_errors_in_that_the_rules_allow(net):
    net.attach(ingress={"default": "deny", "rules": [{"peer": "10.0.0.0/24", "verdict": "allow", "protocol": "icmp"}]})
    to_guest(from_host(ipv4(icmp(3, 0, b"about nothing"), protocol=1, source=HOST, target=GUEST)))
    equal("comes", True, comes(net, b"about nothing"))


@case
@in_namespace
def policy_lets_no_fragment_of_ipv6_past_a_rule_of_its_protocol(net):
    net.attach(egress={"default": "allow", "rules": [{"peer": HOST6, "verdict": "deny", "protocol": "udp", "ports": "6000"}]})

    def fragment(carried, head=b""):
        return ether(0x86DD, ipv6(head + bytes([carried, 0, 0, 1]) + b"\0\0\0\1" + udp(b"x" * 16), following=60 if head else 44))
    net.send(fragment(17))
    equal("whole in one fragment", {"egress": 1}, net.dropped())
    net.send(fragment(17, b"\x2c\0" + b"\x01\x04" + b"\0" * 4))
    equal("behind options", {"egress": 2}, net.dropped())
    for carried in (0, 43, 44, 60):
        net.send(fragment(carried))
    equal("with more heads inside", {"egress": 2, "kind": 4}, net.dropped())
    net.send(fragment(6))
    equal("of another protocol", {"egress": 2, "kind": 4}, net.dropped())


@case
@in_namespace
def policy_of_what_the_host_began_lets_the_guest_answer_as_itself_alone(net):
    """An exchange is known; but its end is another's address, or its peer one that the guest may not send to."""
    net.attach()
    for host, guest, reason in ((HOST, "10.0.0.9", "source"), ("169.254.169.254", GUEST, "metadata")):
        to_guest(from_host(ipv4(udp(b"question", source_port=6000, target_port=5000), source=host, target=guest)))
        equal(f"from {host} to {guest}", True, comes(net, b"question"))
        net.send(ether(0x0800, ipv4(udp(b"answer"), source=guest, target=host)))
        equal(f"the answer of {guest} to {host}", 1, net.dropped().get(reason, 0))


@case
@in_namespace
def policy_has_no_fragment_in_an_exchange(net):
    """What has ports 0 and 0 looks like one to a table of exchanges."""
    net.attach(egress={"default": "allow", "rules": [{"peer": HOST, "verdict": "deny", "protocol": "udp", "ports": "53"}]}, ingress=DENY)
    net.send(ether(0x0800, ipv4(udp(b"x", source_port=0, target_port=0))))
    equal("ports 0 and 0", {}, net.dropped())
    net.send(ether(0x0800, ipv4(udp(b"x" * 16, target_port=53), fragment=0x2000)))
    equal("a fragment to the denied port", {"egress": 1}, net.dropped())
    net.update(egress={"default": "allow"}, ingress=DENY)
    net.send(ether(0x0800, ipv4(udp(b"x" * 16), fragment=0x2000)))
    to_guest(from_host(ipv4(udp(b"unasked." * 2, source_port=6000, target_port=22), source=HOST, target=GUEST, fragment=0x2000)))
    equal("one from its target comes", False, comes(net, b"unasked."))
    equal("dropped", {"egress": 1, "ingress": 1}, net.dropped())


@case
@in_namespace
def policy_drops_frames_whose_checksum_would_be_written_into_what_was_judged(net):
    """The guest says in virtio-net's head where; a device that sends the frame on writes it there: into a port, say."""
    tap = open_tap("tap1")
    ip("link set tap1 up", "addr add 10.8.0.1/24 dev tap1")
    net.write({"mac": GUEST_MAC, "addresses": [GUEST, GUEST6], "egress": {"default": "allow"}, "ingress": DENY})
    equal("attached", 0, net.command("--attach", "--tap", "tap1", "--file", "policy.json").returncode)
    four, six = ether(0x0800, ipv4(udp(b"x" * 32))), ether(0x86DD, ipv6(udp(b"x" * 32)))
    options = ether(0x86DD, ipv6(b"\x11\0\x01\x04\0\0\0\0" + udp(b"x" * 32), following=60))
    for frame, start, offset, passes in (
            (four, 34, 6, True), (four, 34, 4, True), (four, 34, 2, False), (four, 34, 0, False), (four, 20, 16, False), (four, 14, 12, False),
            (six, 54, 6, True), (six, 54, 2, False), (six, 14, 24, False), (options, 62, 6, True), (options, 54, 10, False),
            (options, 58, 6, False)):
        before = net.counters()
        try:
            os.write(tap, struct.pack("<BBHHHH", 1, 0, 0, 0, start, offset) + frame)
            refused = False
        except OSError:  # newer kernels take none that begin ahead of the transport's head
            refused = True
        after = net.counters()
        equal(f"{start} + {offset} of {frame[12:14].hex()} passes", (passes, not passes),
              (after["out_packets"] > before["out_packets"], refused or after["dropped_kind"] > before["dropped_kind"]))
    before = net.counters()
    try:
        os.write(tap, struct.pack("<BBHHHH", 1, 0, 0, 0, 14, 14) + ether(0x0806, arp()))
    except OSError:
        pass  # as above
    equal("into an ARP's sender passes", before["out_packets"], net.counters()["out_packets"])
    os.write(tap, struct.pack("<BBHHHH", 0, 0, 0, 0, 34, 2) + four)
    equal("without a checksum that is asked for", after["out_packets"] + 1, net.counters()["out_packets"])
    os.close(tap)


@case
@in_namespace
def policy_that_turns_around_lets_the_other_side_begin(net):
    """What the guest began is denied; what the peer begins by the same ports is allowed."""
    net.attach(egress={"default": "allow"}, ingress=DENY)
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"ask"))))
    _, address = listener.recvfrom(100)
    net.update(egress=DENY, ingress={"default": "allow"})
    listener.sendto(b"turned", address)
    equal("the peer's", True, comes(net, b"turned"))
    net.send(ether(0x0800, ipv4(udp(b"answer"))))
    equal("the answer to it", b"answer", arrives(listener))


def solicitation(source, target, of):
    return ipv6(bytes([135, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, of), following=58, source=source, target=target, hops=255)


@case
@in_namespace
def policy_has_neighbours_on_the_link_alone(net):
    """A router hands on what is said to an address beyond it; who has said something by the same hop limit is on the link."""
    net.attach(egress=DENY, ingress=DENY)
    for target, passes in (("fe80::1", True), ("ff02::1:ff00:1", True), ("2001:db8::1", False), (HOST6, False)):
        before = net.dropped().get("egress", 0)
        net.send(ether(0x86DD, solicitation(GUEST6, target, HOST6)))
        equal(f"a solicitation to {target} passes", passes, net.dropped().get("egress", 0) == before)
    to_guest(from_host(solicitation(HOST6, "ff02::1:ff00:2", GUEST6), 0x86DD))
    before = net.dropped()["egress"]
    net.send(ether(0x86DD, solicitation(GUEST6, HOST6, HOST6)))
    equal("to a neighbour that has spoken", before, net.dropped()["egress"])
    net.send(ether(0x86DD, solicitation(GUEST6, "2001:db8::1", HOST6)))
    equal("to one that has not", before + 1, net.dropped()["egress"])


@case
@in_namespace
def policy_with_dhcp_opens_no_way_to_others(net):
    net.attach(egress=DENY, ingress=DENY, dhcp=True)
    answer = from_host(ipv4(udp(b"an offer", source_port=67, target_port=68), source=HOST, target=GUEST))
    net.send(ether(0x0800, ipv4(udp(b"x", source_port=68, target_port=67))))
    equal("from its own address to a host", {"egress": 1}, net.dropped())
    net.send(ether(0x0800, ipv4(udp(b"x", source_port=68, target_port=67), source="0.0.0.0")))
    dropped = {"egress": 1, "source": 1}
    equal("from none to a host", dropped, net.dropped())
    to_guest(answer)
    dropped["ingress"] = 1
    equal("an offer that nobody asked for", dropped, net.dropped())
    net.send(ether(0x0800, ipv4(udp(b"x", source_port=68, target_port=67), source="0.0.0.0", target="255.255.255.255")))
    equal("a request", dropped, net.dropped())
    to_guest(answer)
    equal("the offer comes", True, comes(net, b"an offer"))


@case
@in_namespace
def policy_with_a_limit_of_one_lets_one_pass_and_of_bytes_the_largest_frame(net):
    frame_len = len(ether(0x0800, ipv4(udp(b"x" * 1400))))
    for limit, passes in (({"packets_per_second": 1}, 1), ({"connections_per_second": 1}, 1),
                          ({"bytes_per_second": 4000}, 65550 // frame_len)):
        net.attach(limits=limit)
        for port in range(5000, 5050):
            net.send(ether(0x0800, ipv4(udp(b"x" * 1400, source_port=port))))
        equal(f"passed of fifty, {limit}", passes, net.counters()["out_packets"])
        equal("removed", 0, net.command("--remove", "--tap", "tap0").returncode)


@case
@in_namespace
def policy_reads_six_extension_headers_and_no_more(net):
    net.attach(egress={"default": "allow", "rules": [{"peer": HOST6, "verdict": "deny", "protocol": "udp"}]})
    for count, reason in ((6, "egress"), (7, "kind")):
        heads = b"".join(bytes([60 if left else 17, 0, 1, 4, 0, 0, 0, 0]) for left in reversed(range(count)))
        net.send(ether(0x86DD, ipv6(heads + udp(b"x"), following=60)))
        equal(f"with {count} in front", 1, net.dropped().get(reason, 0))


@case
@in_namespace
def policy_is_not_kept_where_somebody_else_is_at_home(net):
    for mode, owner in ((0o777, 0), (0o700, 12345)):
        os.mkdir(PIN_DIR)
        os.chmod(PIN_DIR, mode)
        os.chown(PIN_DIR, owner, 0)
        net.write({"mac": GUEST_MAC, "addresses": [GUEST], "egress": DENY, "ingress": DENY})
        done = net.command("--attach", "--tap", "tap0", "--file", "policy.json")
        contains("stderr", f"{PIN_DIR} is not root's alone", done.stderr)
        equal("what is there", [], os.listdir(PIN_DIR))
        os.rmdir(PIN_DIR)


@case
@in_namespace
def policy_is_not_looked_for_where_somebody_else_is_at_home(net):
    """A link of theirs leads root's command to the pins of another program, which it would remove."""
    os.mkdir("/sys/fs/bpf/theirs")
    os.mkdir("/sys/fs/bpf/theirs/pins")
    os.mkdir(PIN_DIR)
    os.symlink("/sys/fs/bpf/theirs", os.path.join(PIN_DIR, ID))
    os.chown(PIN_DIR, 12345, 12345)
    net.write({"mac": GUEST_MAC, "addresses": [GUEST], "egress": DENY, "ingress": DENY})
    for words in (("--remove", "--tap", "tap0"), ("--show",), ("--file", "policy.json")):
        done = net.command(*words)
        equal(f"status, {words}", 1, done.returncode)
        contains(f"stderr, {words}", f"{PIN_DIR} is not root's alone", done.stderr)
    equal("what is there", ["pins"], os.listdir("/sys/fs/bpf/theirs"))


@case
@in_namespace
def policy_forgets_exchanges_that_are_idle_for_minutes(net):
    net.attach(egress=UDP_6000, ingress=DENY)
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"ask"))))
    _, address = listener.recvfrom(100)
    flows = PinnedMap("flows", 40, 12)

    def age(seconds):
        key, = flows.keys()
        generation, began, seen_ticks = struct.unpack("III", flows.read(key))
        flows.write(key, struct.pack("III", generation, began, (seen_ticks - seconds * 10**9 // (1 << 30)) % (1 << 32)))
    age(170)
    listener.sendto(b"in time", address)
    equal("after 170 s", True, comes(net, b"in time"))
    age(170)
    listener.sendto(b"again", address)
    equal("170 s after that", True, comes(net, b"again"))
    age(190)
    listener.sendto(b"too late", address)
    equal("after 190 s", False, comes(net, b"too late"))
    equal("connections", 1, net.counters()["connections"])
    net.send(ether(0x0800, ipv4(udp(b"ask"))))
    equal("the guest may ask again", b"ask", arrives(listener))
    equal("connections", 2, net.counters()["connections"])


@case
@in_namespace
def policy_updates_wait_for_one_another(net):
    net.attach(egress=DENY)
    net.write({"mac": GUEST_MAC, "addresses": [GUEST], "egress": {"default": "allow"}, "ingress": DENY})
    lock = os.open(os.path.join(PIN_DIR, ID), os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    listener = net.listener()
    with subprocess.Popen([JAILER, "policy", "--id", ID, "--file", "policy.json"], cwd=net.dir) as update:
        try:
            update.wait(0.3)
        except subprocess.TimeoutExpired:
            pass
        equal("status while another one is at it", None, update.poll())
        net.send(ether(0x0800, ipv4(udp(b"early"))))
        equal("in force while it waits", None, arrives(listener))
        os.close(lock)
        equal("status afterwards", 0, update.wait(5))
    net.send(ether(0x0800, ipv4(udp(b"late"))))
    equal("in force afterwards", b"late", arrives(listener))


@case
@in_namespace
def policy_of_an_id_that_is_taken_says_how_to_remove_it(net):
    net.attach()
    done = net.command("--attach", "--tap", "tap0", "--file", "policy.json")
    contains("stderr", f"mayfly-jailer policy --id {ID} --remove --tap TAP", done.stderr)
