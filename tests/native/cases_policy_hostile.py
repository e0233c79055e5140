# SPDX-License-Identifier: Apache-2.0
"""What a guest of ill will tries: to be somebody else to its neighbours, to have the host make many frames of one, and
with a helper outside to speak to whom it may not."""

import os
import socket
import struct
import subprocess
import time

from native import case, contains, equal, wait_until
from policy_tools import (GUEST, GUEST6, GUEST_MAC, HOST, HOST6, OTHER, POLICY, arp, ether, in_namespace, ip, ipv4, ipv6, tcp, udp,
                          udp6)
from traffic_tools import open_tap

LINK_LOCAL = "fe80::ff:fe00:2"  # by the guest's MAC
NOBODY, NOBODY6 = "0.0.0.0", "::"
SYN, ACK = 2, 16
DENY = {"default": "deny"}


def solicit(target, source, extra=b""):
    """A question of neighbour discovery."""
    return ether(0x86DD, ipv6(bytes([135, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, target) + extra, following=58,
                              source=source, target="ff02::1:ff00:9", hops=255))


def judged(net, frames, reason):
    """(what it is, frame, whether it passes): each passes, or is dropped for the reason."""
    for what, frame, passes in frames:
        before = net.counters()
        net.send(frame)
        after = net.counters()
        equal(f"passed, dropped: {what}", (int(passes), int(not passes)),
              tuple(after[name] - before[name] for name in ("out_packets", f"dropped_{reason}")))


@case
@in_namespace
def policy_drops_routes_and_adverts_that_are_not_the_guest_s(net):
    net.attach()
    own = socket.inet_pton(socket.AF_INET6, "fd00::2")
    other = socket.inet_pton(socket.AF_INET6, "fd00::9")

    def advert(kind, target):
        return ether(0x86DD, ipv6(bytes([kind, 0, 0, 0, 0, 0, 0, 0]) + target, following=58, source=LINK_LOCAL, hops=255))
    for frame, reason in ((advert(134, other), "source"), (advert(137, other), "source"), (advert(136, other), "source"),
                          (ether(0x0800, ipv4(udp(b"x"), options=b"\x83\x07\x04\x0a\x09\x00\x01\0")), "kind"),
                          (ether(0x0800, ipv4(udp(b"x"), options=b"\x01\x89\x07\x04\x0a\x09\x00\x01")), "kind")):
        before = net.dropped().get(reason, 0)
        net.send(frame)
        equal(f"dropped: {frame[14:60].hex()}", before + 1, net.dropped().get(reason, 0))
    before = net.dropped()
    net.send(advert(136, own))
    equal("its own advertisement", before, net.dropped())

    def report(kind, target, hops):
        return ether(0x86DD, ipv6(bytes([kind, 0, 0, 0, 0, 0, 0, 1]) + b"\0" * 20, following=58, source=LINK_LOCAL, target=target, hops=hops))
    net.send(report(143, "ff02::16", 1))
    equal("its report of groups", before, net.dropped())
    for frame in (report(130, "ff02::1", 1), report(143, "ff05::16", 1), report(143, "ff02::16", 64), report(143, HOST6, 1)):
        net.send(frame)
    equal("a router's query, and reports that are none", {**before, "source": before["source"] + 4}, net.dropped())


@case
@in_namespace
def policy_drops_forged_adverts_whatever_is_known(net):
    """An echo's number that looks like an advertisement's type: no exchange covers those."""
    net.attach()
    for number in (136, 136 << 8):
        net.send(ether(0x86DD, ipv6(struct.pack("!BBHHH", 128, 0, 0, number, 1) + b"x" * 8, following=58)))
    net.send(ether(0x86DD, ipv6(bytes([136, 0, 0, 0, 0, 0, 0, 0]) + socket.inet_pton(socket.AF_INET6, "fd00::9"), following=58, hops=255)))
    equal("dropped", {"source": 1}, net.dropped())


@case
@in_namespace
def policy_lets_the_guest_ask_for_its_own_addresses_alone(net):
    """Whoever asks for an address that somebody else is about to take keeps that one from it."""
    net.attach()
    judged(net, (("its own", solicit(GUEST6, NOBODY6), True), ("its link-local one", solicit(LINK_LOCAL, NOBODY6), True),
                 ("another's", solicit("fd00::9", NOBODY6), False), ("another's link-local one", solicit("fe80::9", NOBODY6), False),
                 ("where another is, as itself", solicit("fd00::9", GUEST6), True)), "source")
    judged(net, (("its own, IPv4", ether(0x0806, arp(sender=NOBODY, target=GUEST)), True),
                 ("another's, IPv4", ether(0x0806, arp(sender=NOBODY, target=OTHER)), False),
                 ("where another is, as itself, IPv4", ether(0x0806, arp(target=OTHER)), True)), "arp")


@case
@in_namespace
def policy_knows_the_guest_s_link_local_address(net):
    """By its MAC, for neighbour discovery: another one is somebody's, the router's as a rule. One that is listed is the guest's
    for all purposes."""
    net.attach(addresses=[GUEST])
    judged(net, (("its own", solicit("fe80::1", LINK_LOCAL), True), ("the router's", solicit("fd00::9", "fe80::1"), False),
                 ("its own, for more", ether(0x86DD, ipv6(udp6(b"x", LINK_LOCAL, "fe80::9"), source=LINK_LOCAL, target="fe80::9")), False),
                 ("the router's, for more", ether(0x86DD, ipv6(udp6(b"x", "fe80::1", "fe80::9"), source="fe80::1", target="fe80::9")),
                  False)), "source")
    net.update(addresses=[GUEST, "fe80::1"])
    judged(net, (("one that is listed", solicit("fd00::9", "fe80::1"), True),), "source")
    for listed in (LINK_LOCAL, "fe80::/10"):
        net.update(addresses=[GUEST, listed])
        judged(net, (("its own, listed, for more", ether(0x86DD, ipv6(udp6(b"x", LINK_LOCAL, "fe80::9"), source=LINK_LOCAL,
                                                                     target="fe80::9")), True),), "source")


@case
@in_namespace
def policy_opens_no_connection_to_a_peer_that_may_be_forged(net):
    """Who forges a denied peer's packet to an allowed port does not open the way to that peer."""
    net.attach(egress=DENY, ingress={"default": "deny", "rules": [
        {"peer": HOST, "verdict": "allow", "protocol": "tcp", "ports": "443"}]})
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as peer:
        peer.setblocking(False)
        peer.bind((HOST, 6379))
        peer.connect_ex((GUEST, 443))
        asked = net.receive(lambda frame: frame[12:14] == b"\x08\0" and frame[23] == 6)
        equal("it came", True, asked is not None)
        judged(net, (("an answer", ether(0x0800, ipv4(tcp(SYN | ACK, 443, 6379), 6)), True),
                     ("data", ether(0x0800, ipv4(tcp(ACK, 443, 6379), 6)), True),
                     ("a question", ether(0x0800, ipv4(tcp(SYN, 443, 6379), 6)), False),
                     ("a question, with options of IPv4", ether(0x0800, ipv4(tcp(SYN, 443, 6379), 6, options=b"\x01" * 4)), False)), "egress")
    net.update(egress={"default": "allow"}, ingress=DENY)
    judged(net, (("a question that it may ask", ether(0x0800, ipv4(tcp(SYN, 443, 6379), 6)), True),), "egress")


@case
@in_namespace
def policy_lets_no_guest_be_a_router_of_ipv4(net):
    net.attach()

    def message(protocol, kind):
        return ether(0x0800, ipv4(bytes([kind]) + b"\0" * 7, protocol, target="224.0.0.1"))
    judged(net, (("a redirect", message(1, 5), False), ("a router's advertisement", message(1, 9), False),
                 ("a query for groups", message(2, 0x11), False), ("a report of groups", message(2, 0x16), True),
                 ("a multicast router's advertisement", message(2, 0x30), False)), "source")


def attached_tap(net, **limits):
    """A TAP with virtio-net's heads, as the monitor has it; egress is open."""
    tap = open_tap("tap1")
    ip("link set tap1 up", "addr add 10.8.0.1/24 dev tap1")
    net.write({"mac": GUEST_MAC, "addresses": [GUEST], "egress": {"default": "allow"}, "ingress": DENY, "limits": limits})
    equal("attached", 0, net.command("--attach", "--tap", "tap1", "--file", "policy.json").returncode)
    return tap


def to_be_cut(size, segment):
    """A frame of TCP that the host is to cut into segments of that size, behind its head."""
    frame = ether(0x0800, ipv4(tcp(ACK, 5000, 443) + b"x" * size, 6))
    return struct.pack("<BBHHHH", 1, 1, 54, segment, 34, 16) + frame


BURST_S = 0.25


def most(rate, begin, cost):
    """How many may have passed since `begin` that cost so much of `rate` a second each."""
    return int((BURST_S + time.monotonic() - begin) * rate / cost) + 1


@case
@in_namespace
def policy_counts_all_that_the_host_cuts_a_frame_into(net):
    """100 packets a second: a frame of 45 segments passes when one is free, and owes the others."""
    tap = attached_tap(net, packets_per_second=100)
    begin = time.monotonic()
    for _ in range(100):
        os.write(tap, to_be_cut(45 * 1400, 1400))
    passed = net.counters()["out_packets"]
    equal(f"{passed} of 100 passed", True, 1 <= passed <= most(100, begin, 45))
    os.close(tap)


@case
@in_namespace
def policy_counts_the_heads_of_what_the_host_cuts(net):
    """A million bytes a second; 1,000 segments of 8 bytes are 62,000, of which each frame has 8,054."""
    tap = attached_tap(net, bytes_per_second=10 ** 6)
    begin = time.monotonic()
    for _ in range(100):
        os.write(tap, to_be_cut(8000, 8))
    passed = net.counters()["out_packets"]
    equal(f"{passed} of 100 passed", True, 3 <= passed <= most(10 ** 6, begin, 62000))
    os.close(tap)


@case
@in_namespace
def policy_forgets_what_is_owed_to_limits_before_it(net):
    """A thousand packets at one a second are owed for 17 minutes; at 50,000 for a moment."""
    tap = attached_tap(net, packets_per_second=1)
    os.write(tap, to_be_cut(60000, 60))
    os.write(tap, to_be_cut(100, 100))
    equal("passed, of two", 1, net.counters()["out_packets"])
    net.write({"mac": GUEST_MAC, "addresses": [GUEST], "egress": {"default": "allow"}, "ingress": DENY,
               "limits": {"packets_per_second": 50000}})
    equal("changed", 0, net.command("--file", "policy.json").returncode)

    def passes():
        os.write(tap, to_be_cut(100, 100))
        return net.counters()["out_packets"] > 1
    wait_until("one that passes", passes, 5)
    os.close(tap)


@case
@in_namespace
def policy_drops_what_would_be_thousands_of_frames(net):
    tap = attached_tap(net)
    for segment, passed, kind in ((1400, 1, 0), (64, 2, 0), (8, 2, 1), (1, 2, 2)):
        os.write(tap, to_be_cut(60000, segment))
        counters = net.counters()
        equal(f"passed, dropped, with segments of {segment}", (passed, kind), (counters["out_packets"], counters["dropped_kind"]))
    os.close(tap)


@case
@in_namespace
def policy_whose_program_was_taken_off_is_not_changed(net):
    """What is put in force without anybody who judges by it would look like a policy."""
    net.attach()
    for kill in ("tc filter del dev tap0 ingress", "ip link del tap0"):
        equal("status", 0, subprocess.run(kill.split(), check=False).returncode)
        net.write({**POLICY, "egress": DENY})
        # The kernel lets a program go a moment later.
        done = wait_until("a refusal", lambda: next((done for done in [net.command("--file", "policy.json")] if done.returncode), None))
        contains("stderr", "that of vm-1 is attached to nothing any more, or one way only", done.stderr)


@case
@in_namespace
def policy_limits_what_is_denied_as_well(net):
    """Judging takes the host's time; and what is not sent begins no exchange."""
    net.attach(egress=DENY, limits={"packets_per_second": 100})
    begin = time.monotonic()
    for port in range(300):
        net.send(ether(0x0800, ipv4(udp(b"x", target_port=1 + port))))
    counters = net.counters()
    judged_too = counters["dropped_egress"]
    equal(f"{judged_too} of 300 were judged", True, 25 <= judged_too <= most(100, begin, 1))
    equal("not judged", 300 - counters["dropped_egress"], counters["dropped_rate"])
