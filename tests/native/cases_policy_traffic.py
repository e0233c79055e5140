# SPDX-License-Identifier: Apache-2.0
"""The network policy between kernels' own stacks: a guest's namespace, a peer's, a bridge between them; the guest's
port is a TAP or an end of a veth pair (traffic_tools.py). What passes arrives as it was sent; what does not is counted,
and nobody sees it."""

import socket
import time

from native import case, equal
from policy_tools import GUEST, GUEST6, OTHER, arp, ether, in_namespace, ipv4, mac, udp
from traffic_tools import (PEER, PEER6, Background, Bridged, Tapped, can_connect, connect, datagrams, exchange, ping)

ETH_P_ALL = 3
TCP_PORT, UDP_PORT, DENIED_PORT = 7000, 7001, 7002


def ports(default="deny", peer=PEER, **allowed):
    """Rules that allow ports of protocols: tcp=7000."""
    return {"default": default, "rules": [
        {"peer": peer, "verdict": "allow", "protocol": protocol, **({"ports": str(port)} if port else {})}
        for protocol, port in allowed.items()]}


def traffic(function):
    """A case of each kind of port."""
    for make, name in ((Bridged, "veth"), (Tapped, "tap")):
        def run(net, function=function):
            function(net)
        run.__name__ = f"{function.__name__}_{name}"
        case(in_namespace(run, make))


def until(seconds):
    end = time.monotonic() + seconds
    return lambda *_: time.monotonic() > end


@traffic
def policy_lets_whole_flows_pass_over_a(net):
    before = net.seen_at_the_port()
    net.attach(egress=ports(tcp=TCP_PORT, udp=UDP_PORT, icmp=None), ingress=ports(tcp=TCP_PORT, icmp=None))
    for client, server, address in ((net.guest, net.peer, PEER), (net.peer, net.guest, GUEST)):
        exchange(*connect(client, server, address, TCP_PORT), 2 << 20)
        equal("pings", [True] * 3, [ping(client, address, size=size) for size in (0, 56, 1472)])
    datagrams(net.guest, net.peer, PEER, UDP_PORT, lambda sent: sent >= 500)
    seen, counted = net.seen_at_the_port(), net.counters()
    equal("dropped", {}, net.dropped())
    equal("frames and bytes of the guest", tuple(now - then for now, then in zip(seen, before)),
          (counted["out_packets"], counted["out_bytes"]))


@traffic
def policy_of_ipv6_lets_whole_flows_pass_over_a(net):
    """The neighbours find each other by themselves."""
    net.attach(egress=ports(peer=PEER6, tcp=TCP_PORT, udp=UDP_PORT), ingress=ports(peer=PEER6, tcp=TCP_PORT))
    net.with_ipv6()
    for client, server, address in ((net.guest, net.peer, PEER6), (net.peer, net.guest, GUEST6)):
        exchange(*connect(client, server, address, TCP_PORT, socket.AF_INET6), 1 << 20)
    datagrams(net.guest, net.peer, PEER6, UDP_PORT, lambda sent: sent >= 200, socket.AF_INET6)
    equal("dropped", {}, net.dropped())


@traffic
def policy_lets_nobody_see_what_is_spoofed_over_a(net):
    other_mac = "02:00:00:00:00:99"
    net.attach()
    net.guest.ip(f"addr add {OTHER}/24 dev eth0")
    watcher = net.peer.socket(socket.SOCK_RAW, socket.AF_PACKET, socket.htons(ETH_P_ALL))
    wire = net.guest.socket(socket.SOCK_RAW, socket.AF_PACKET)
    wire.bind(("eth0", 0))
    listener = net.peer.socket(socket.SOCK_STREAM, bind=("", TCP_PORT))
    listener.listen()
    equal("connection from its own address", True, can_connect(net.guest, PEER, TCP_PORT))
    equal("dropped", {}, net.dropped())
    equal("connection from another's", False, can_connect(net.guest, PEER, TCP_PORT, source=OTHER))
    first = net.dropped()
    equal("dropped for its source", True, first.get("source", 0) >= 1 and set(first) <= {"source", "arp"})
    with net.guest.socket(socket.SOCK_DGRAM, bind=(OTHER, 0)) as sock:
        for _ in range(10):
            sock.sendto(b"spoofed", (PEER, UDP_PORT))
    for frame in (ether(0x0800, ipv4(udp(b"spoofed")), source=other_mac), ether(0x0806, arp(sender=OTHER)),
                  ether(0x0806, arp(sender=PEER, operation=2)), ether(0x0806, arp(sender_mac=other_mac))):
        wire.send(frame)
    wanted = {"source": first["source"] + 10, "mac": 1, "arp": first.get("arp", 0) + 3}
    end = time.monotonic() + 2
    while net.dropped() != wanted and time.monotonic() < end:
        time.sleep(0.01)
    equal("dropped in all", wanted, net.dropped())
    exchange(*connect(net.guest, net.peer, PEER, DENIED_PORT), 1 << 16)  # all that was sent before has come
    watcher.settimeout(0.01)
    bad = []
    try:
        while True:
            frame = watcher.recv(1 << 16)
            if (socket.inet_aton(OTHER) in (frame[26:30], frame[28:32]) or b"spoofed" in frame
                    or mac(other_mac) in frame):
                bad.append(frame.hex())
    except TimeoutError:
        pass
    equal("what the peer saw of it", [], bad)


@traffic
def policy_refuses_a_denied_port_over_a(net):
    net.attach(egress=ports(tcp=TCP_PORT), ingress=ports(tcp=TCP_PORT))
    for client, server, address, reason in ((net.guest, net.peer, PEER, "egress"), (net.peer, net.guest, GUEST, "ingress")):
        listeners = {}
        for port in (TCP_PORT, DENIED_PORT):
            listeners[port] = server.socket(socket.SOCK_STREAM, bind=("", port))
            listeners[port].listen()
        equal("the allowed port", True, can_connect(client, address, TCP_PORT, 5))
        before = net.dropped().get(reason, 0)
        equal("the denied port", False, can_connect(client, address, DENIED_PORT))
        after = net.dropped().get(reason, 0)
        equal("its frames were dropped", True, after > before)
        listeners[DENIED_PORT].settimeout(0)
        try:
            listeners[DENIED_PORT].accept()
            equal("connections at the denied port", "none", "one")
        except BlockingIOError:
            pass
        with client.socket(socket.SOCK_DGRAM) as sock:
            sock.sendto(b"x", (address, TCP_PORT))
        equal("ping", False, ping(client, address, 0.1))
        equal("a datagram and a ping were dropped", after + 2, net.dropped()[reason])
        for listener in listeners.values():
            listener.close()


@traffic
def policy_updates_under_load_lose_nothing_over_a(net):
    """Each policy allows the flows, by other rules: the order, the limits and what else there is change."""
    flows = {"tcp": TCP_PORT, "udp": UDP_PORT}
    egress = [ports(**flows), ports(default="allow"), ports(peer="10.0.0.0/8", **flows)]
    net.attach(egress=egress[0], ingress=ports())
    enough = until(1.2)
    updates = 0
    sent = {}

    def stream():
        sent["bytes"] = exchange(*connect(net.guest, net.peer, PEER, TCP_PORT), 1 << 19, enough)

    def small():
        sent["datagrams"] = datagrams(net.guest, net.peer, PEER, UDP_PORT, enough)
    threads = [Background(stream), Background(small)]
    while not enough():
        updates += 1
        net.update(egress=egress[updates % 3], ingress=ports(),
                   **({"limits": {"packets_per_second": 10 ** 9}} if updates % 2 else {}))
    for thread in threads:
        thread.join()
    equal("dropped", {}, net.dropped())
    equal("updates meanwhile", True, updates >= 5)
    print(f"  {sent['bytes'] >> 10} KiB, {sent['datagrams']} datagrams there and back, {updates} updates")


@traffic
def policy_that_is_updated_stops_a_flow_and_lets_it_go_on_over_a(net):
    allowed, denied = ports(tcp=TCP_PORT), ports()
    net.attach(egress=allowed, ingress=denied)
    ours, theirs = connect(net.guest, net.peer, PEER, TCP_PORT)
    ours.sendall(b"before")
    equal("before", b"before", theirs.recv(100))
    net.update(egress=denied, ingress=denied)
    ours.sendall(b"meanwhile")
    theirs.settimeout(0.1)
    try:
        equal("meanwhile", "nothing", theirs.recv(100))
    except TimeoutError:
        pass
    equal("dropped", True, net.dropped()["egress"] >= 1)
    net.update(egress=allowed, ingress=denied)
    theirs.settimeout(5)
    equal("sent again", b"meanwhile", theirs.recv(100))
    exchange(ours, theirs, 1 << 18)
