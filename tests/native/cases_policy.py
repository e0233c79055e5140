# SPDX-License-Identifier: Apache-2.0
"""The network policy with real frames: a TAP, the guest's end of which is the test's (docs/network-policy.md)."""

import ctypes
import json
import mmap
import os
import socket
import struct
import subprocess
import threading
import time

from api import Served
from jail_tools import JAILER, UID, Jail, listing
from native import BINARY, Mismatch, case, contains, equal, lacks
from policy_tools import (GUEST, HOST, HOST6, ID, OTHER, POLICY, arp, arrives, ether,
                          in_namespace, ip, ipv4, ipv6, udp, udp6)


def rules(*rows, default="deny"):
    names = ("peer", "verdict", "protocol", "ports")
    return {"default": default, "rules": [dict(zip(names, row)) for row in rows]}


@case
@in_namespace
def policy_lets_pass_what_is_the_guest_s(net):
    net.with_ipv6()
    net.attach()
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"one"))))
    equal("datagram", b"one", arrives(listener))
    six = net.listener(6001, socket.AF_INET6)
    net.send(ether(0x86DD, ipv6(udp6(b"six", target_port=6001))))
    equal("datagram of IPv6", b"six", arrives(six))
    net.send(ether(0x0806, arp(), target="ff:ff:ff:ff:ff:ff"))
    reply = net.receive(lambda frame: frame[12:14] == b"\x08\x06" and frame[20:22] == b"\0\x02")
    equal("ARP is answered", True, reply is not None)
    equal("dropped", {}, net.dropped())
    seen = net.counters()
    equal("counted", (3, 2), (seen["out_packets"], seen["connections"]))


@case
@in_namespace
def policy_drops_and_counts_what_is_spoofed(net):
    net.attach()
    listener = net.listener()
    for reason, frame in (
            ("mac", ether(0x0800, ipv4(udp(b"x")), source="02:00:00:00:00:99")),
            ("source", ether(0x0800, ipv4(udp(b"x"), source=OTHER))),
            ("source", ether(0x0800, ipv4(udp(b"x"), source="0.0.0.0"))),
            ("source", ether(0x86DD, ipv6(udp6(b"x", source="fd00::9"), source="fd00::9"))),
            ("source", ether(0x86DD, ipv6(udp6(b"x", source="fe80::9"), source="fe80::9"))),
            ("arp", ether(0x0806, arp(sender=OTHER))),
            ("arp", ether(0x0806, arp(sender_mac="02:00:00:00:00:99"))),
            ("arp", ether(0x0806, arp()[:20])),
            ("kind", ether(0x8100, b"\0\x05\x08\0" + ipv4(udp(b"x")))),
            ("kind", ether(0x88CC, b"x" * 40)),
            ("kind", ether(0x0800, ipv4(udp(b"x"))[:19])),
            ("kind", ether(0x0800, b"\x44" + ipv4(udp(b"x"))[1:])),
            ("kind", ether(0x0800, b"\x65" + ipv4(udp(b"x"))[1:])),
            ("kind", ether(0x86DD, ipv6(b"\x11\0" + b"\0" * 6 + udp6(b"x"), following=43))),
            ("metadata", ether(0x0800, ipv4(udp(b"x"), target="169.254.169.254")))):
        before = net.dropped().get(reason, 0)
        net.send(frame)
        equal(f"dropped for {reason}: {frame[12:40].hex()}", before + 1, net.dropped().get(reason, 0))
    equal("nothing came", None, arrives(listener, 0.05))


@case
@in_namespace
def policy_judges_by_the_longest_prefix_protocol_and_port(net):
    net.attach(egress=rules(("10.0.0.0/8", "allow"), ("10.0.0.0/24", "allow", "udp", "6000-6001"),
                            ("10.9.0.1", "deny"), ("fd00::/16", "allow", "tcp")))
    listeners = {port: net.listener(port) for port in (6000, 6001, 6002)}
    for target, port, passes in ((HOST, 6000, True), (HOST, 6001, True), (HOST, 6002, False), ("10.9.0.1", 6000, False)):
        before = net.dropped().get("egress", 0)
        net.send(ether(0x0800, ipv4(udp(b"x", target_port=port), target=target)))
        equal(f"to {target}:{port}", passes, arrives(listeners[port]) is not None)
        equal(f"dropped, to {target}:{port}", before + (not passes), net.dropped().get("egress", 0))
    net.send(ether(0x86DD, ipv6(udp6(b"x"))))
    equal("UDP where TCP alone may", 3, net.dropped()["egress"])


@case
@in_namespace
def policy_tells_ipv4_from_ipv6_where_prefixes_are_of_all(net):
    net.with_ipv6()
    net.attach(addresses=[GUEST, "::/0"], egress=rules(("::/0", "allow")))
    six = net.listener(6001, socket.AF_INET6)
    net.send(ether(0x86DD, ipv6(udp6(b"six", target_port=6001))))
    equal("IPv6", b"six", arrives(six))
    net.send(ether(0x0800, ipv4(udp(b"four"))))
    equal("IPv4, which ::/0 does not allow", {"egress": 1}, net.dropped())
    net.send(ether(0x0800, ipv4(udp(b"four"), source=OTHER)))
    equal("IPv4 from another source, which ::/0 is not", {"egress": 1, "source": 1}, net.dropped())


@case
@in_namespace
def policy_lets_no_fragment_past_a_rule_with_ports(net):
    net.attach(egress=rules((HOST, "allow", "udp", "6000")))
    first = udp(b"x" * 1000)
    net.send(ether(0x0800, ipv4(first[:504], fragment=0x2000)))
    net.send(ether(0x0800, ipv4(first[504:], fragment=63)))
    equal("dropped", {"egress": 2}, net.dropped())
    net.update(egress=rules((HOST, "allow", "udp")))
    listener = net.listener()
    net.send(ether(0x0800, ipv4(first[:504], fragment=0x2000)))
    net.send(ether(0x0800, ipv4(first[504:], fragment=63)))
    equal("whole datagram, where any port may", b"x" * 1000, arrives(listener))


@case
@in_namespace
def policy_lets_no_fragment_past_a_denied_port(net):
    net.attach(egress=rules((HOST, "deny", "udp", "53"), (HOST, "allow")))
    net.listener(53)
    whole = udp(b"x" * 1000, target_port=53)
    net.send(ether(0x0800, ipv4(whole[:504], fragment=0x2000)))
    net.send(ether(0x0800, ipv4(whole[504:], fragment=63)))
    equal("dropped", {"egress": 2}, net.dropped())


@case
@in_namespace
def policy_lets_options_and_extensions_hide_no_port(net):
    net.attach(egress=rules((HOST, "allow", "udp", "6000"), (HOST6, "allow", "udp", "6000")))
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"x"), options=b"\x01" * 8)))
    equal("with options", b"x", arrives(listener))
    net.send(ether(0x0800, ipv4(udp(b"x", target_port=7), options=b"\x01" * 8)))
    equal("dropped, IPv4", 1, net.dropped()["egress"])
    hop = b"\x11\0" + b"\x01\x04" + b"\0" * 4
    net.send(ether(0x86DD, ipv6(hop + udp6(b"x", target_port=7), following=60)))
    equal("dropped, IPv6", 2, net.dropped()["egress"])


@case
@in_namespace
def policy_lets_answers_of_allowed_exchanges_in(net):
    net.attach(egress=rules((HOST, "allow", "udp", "6000")), ingress=rules())
    listener = net.listener()
    other = net.listener(6002)
    other.sendto(b"unasked", (GUEST, 5000))
    equal("unasked", None, net.receive(lambda frame: b"unasked" in frame, 0.2))
    net.send(ether(0x0800, ipv4(udp(b"ask"))))
    _, address = listener.recvfrom(100)
    listener.sendto(b"answer", address)
    equal("answer", True, net.receive(lambda frame: b"answer" in frame) is not None)
    other.sendto(b"still unasked", (GUEST, 5000))
    equal("from another port", None, net.receive(lambda frame: b"still unasked" in frame, 0.2))
    equal("dropped", {"ingress": 2}, net.dropped())


@case
@in_namespace
def policy_lets_the_guest_answer_whom_it_may_be_asked_by(net):
    net.attach(egress=rules(), ingress=rules(("10.0.0.0/24", "allow", "udp", "5000")))
    listener = net.listener()
    listener.sendto(b"ask", (GUEST, 5000))
    equal("asked", True, net.receive(lambda frame: b"ask" in frame) is not None)
    net.send(ether(0x0800, ipv4(udp(b"answer"))))
    equal("answer", b"answer", arrives(listener))
    net.send(ether(0x0800, ipv4(udp(b"own", source_port=5001))))
    equal("of its own", None, arrives(listener))
    listener.sendto(b"other port", (GUEST, 5001))
    equal("another port", None, net.receive(lambda frame: b"other port" in frame, 0.2))


@case
@in_namespace
def policy_that_is_updated_judges_known_exchanges_anew(net):
    net.attach(egress=rules((HOST, "allow")), ingress=rules())
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"one"))))
    _, address = listener.recvfrom(100)
    net.update(egress=rules(), ingress=rules())
    net.send(ether(0x0800, ipv4(udp(b"two"))))
    equal("after the update", None, arrives(listener))
    listener.sendto(b"answer", address)
    equal("the answer to it", None, net.receive(lambda frame: b"answer" in frame, 0.2))


@case
@in_namespace
def policy_updates_under_load_lose_no_allowed_frame(net):
    net.attach(egress=rules((HOST, "allow", "udp", "6000")))
    listener = net.listener()
    listener.setsockopt(socket.SOL_SOCKET, 33, 1 << 26)  # SO_RCVBUFFORCE
    stop = threading.Event()
    updates = [0]

    def update():
        while not stop.is_set():
            net.update(egress=rules((HOST, "allow", "udp", "6000"), (f"10.1.{updates[0] % 250}.0/24", "deny")))
            updates[0] += 1
    thread = threading.Thread(target=update)
    thread.start()
    sent = 0
    end = time.monotonic() + 2
    while time.monotonic() < end:
        for _ in range(50):
            net.send(ether(0x0800, ipv4(udp(struct.pack("!I", sent)))))
            net.send(ether(0x0800, ipv4(udp(b"denied", target_port=6001))))
            sent += 1
        time.sleep(0.002)
    stop.set()
    thread.join()
    seen = []
    while (data := arrives(listener, 0.2)) is not None:
        seen.append(struct.unpack("!I", data)[0])
    equal("frames, each once and in order", list(range(sent)), seen)
    equal("denied ones", sent, net.dropped()["egress"])
    equal("updates meanwhile", True, updates[0] >= 5)
    print(f"  {sent} frames, {updates[0]} updates")


@case
@in_namespace
def policy_limits_packets_and_new_connections(net):
    net.attach(limits={"packets_per_second": 100})
    for _ in range(300):
        net.send(ether(0x0800, ipv4(udp(b"x"))))
    dropped = net.dropped()["rate"]
    equal("dropped of 300 at once, where 25 are free", True, 200 < dropped <= 275)
    net.update(limits={"connections_per_second": 40})
    for port in range(100):
        net.send(ether(0x0800, ipv4(udp(b"x", source_port=10000 + port))))
    equal("new connections dropped of 100, where 10 are free", True, 70 < net.dropped()["connections"] <= 90)


@case
@in_namespace
def policy_lets_a_dhcp_client_ask_where_it_may(net):
    ask = ether(0x0800, ipv4(udp(b"discover", 68, 67), source="0.0.0.0", target="255.255.255.255"),
                target="ff:ff:ff:ff:ff:ff")
    net.attach(egress=rules(), ingress=rules())
    net.send(ask)
    equal("dropped", {"source": 1}, net.dropped())
    net.update(egress=rules(), ingress=rules(), dhcp=True)
    net.send(ask)
    equal("dropped, where it may", {"source": 1}, net.dropped())


@case
@in_namespace
def policy_metadata_is_open_where_the_policy_says_so(net):
    net.attach(metadata=True)
    net.send(ether(0x0800, ipv4(udp(b"x"), target="169.254.169.254")))
    equal("dropped", {}, net.dropped())


@case
@in_namespace
def policy_counters_can_be_read_and_not_written_by_the_monitor_s_descriptor(net):
    """BPF_OBJ_GET, as the jailer opens it: the map is frozen."""
    net.attach()
    net.send(ether(0x0800, ipv4(udp(b"x"))))
    libc = ctypes.CDLL(None, use_errno=True)
    path = f"/sys/fs/bpf/mayfly/{ID}/counters".encode()
    name = ctypes.create_string_buffer(path + b"\0")
    attr = struct.pack("QII", ctypes.addressof(name), 0, 0)
    fd = libc.syscall(321, 7, attr, len(attr))  # BPF_OBJ_GET
    equal("opened", True, fd >= 0)
    with mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ) as view:
        equal("packets from the guest", 1, struct.unpack("Q", view[:8])[0])
    try:
        mmap.mmap(fd, 4096, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE).close()
        raise Mismatch("writable mapping", "refused", "made")
    except PermissionError:
        pass
    key, value = ctypes.c_uint32(0), ctypes.c_uint64(7)
    attr = struct.pack("I4xQQQ", fd, ctypes.addressof(key), ctypes.addressof(value), 0)
    equal("BPF_MAP_UPDATE_ELEM", -1, libc.syscall(321, 2, attr, len(attr)))
    os.close(fd)


def others_command(net, *words):
    return subprocess.run([JAILER, "policy", "--id", "vm-2", *words], cwd=net.dir, capture_output=True, text=True, check=False)


@case
@in_namespace
def policy_is_removed_from_its_own_tap_alone(net):
    ip("link add tap1 type veth peer name tap1_")
    net.attach(egress=rules())
    done = net.command("--remove", "--tap", "tap1")
    contains("of a TAP without one", f"the policy of {ID} is attached to tap0, not to tap1: nothing was removed", done.stderr)
    done = net.command("--remove", "--tap", "nowhere")
    contains("of none", f"the policy of {ID} is attached to tap0, not to nowhere: nothing was removed", done.stderr)
    equal("attaching another one", 0, others_command(net, "--attach", "--tap", "tap1", "--file", "policy.json").returncode)
    done = net.command("--remove", "--tap", "tap1")
    contains("of another one's", f"what is attached to tap1 is not the policy of {ID}: nothing was removed", done.stderr)
    equal("stderr, one line", 1, len(done.stderr.splitlines()))
    net.send(ether(0x0800, ipv4(udp(b"x"))))
    equal("it is in force", {"egress": 1}, net.dropped())
    for command in (net.command("--remove", "--tap", "tap0"), others_command(net, "--remove", "--tap", "tap1")):
        equal("status", 0, command.returncode)
    equal("pins", [], os.listdir("/sys/fs/bpf/mayfly"))


@case
@in_namespace
def policy_whose_tap_is_gone_can_be_removed(net):
    net.attach()
    os.close(net.tap)
    done = net.command("--remove", "--tap", "tap0")
    equal("status, stderr", (0, ""), (done.returncode, done.stderr))
    equal("pins", [], os.listdir("/sys/fs/bpf/mayfly"))


@case
@in_namespace
def policy_for_what_has_no_ethernet_is_refused(net):
    net.write(POLICY)
    done = net.command("--attach", "--tap", "lo", "--file", "policy.json")
    equal("status", 1, done.returncode)
    contains("stderr", "lo is no TAP: its frames are not Ethernet's", done.stderr)


@case
@in_namespace
def policy_removed_leaves_nothing(net):
    net.attach()
    equal("a second one", 1, net.command("--attach", "--tap", "tap0", "--file", "policy.json").returncode)
    equal("status", 0, net.command("--remove", "--tap", "tap0").returncode)
    equal("pins", [], os.listdir("/sys/fs/bpf/mayfly"))
    shown = subprocess.run(["tc", "filter", "show", "dev", "tap0", "ingress"], capture_output=True, text=True, check=True)
    equal("filters", "", shown.stdout)
    listener = net.listener()
    net.send(ether(0x0800, ipv4(udp(b"x"), source=OTHER)))
    equal("it judges no more", b"x", arrives(listener))
    net.attach()


BAD = [
    ("no_json", "{", "EOF while parsing"),
    ("no_mac", {key: POLICY[key] for key in POLICY if key != "mac"}, "the policy needs mac"),
    ("a_group_mac", {**POLICY, "mac": "01:00:00:00:00:02"}, "neither a group's nor all zeros"),
    ("a_mac_of_zeros", {**POLICY, "mac": "00:00:00:00:00:00"}, "neither a group's nor all zeros"),
    ("ipv4_within_ipv6", {**POLICY, "addresses": ["::ffff:10.0.0.1"]}, "an address of IPv4 is expected as a.b.c.d"),
    ("a_short_mac", {**POLICY, "mac": "02:0:0:0:0:2"}, "six pairs of hexadecimal digits"),
    ("no_address", {**POLICY, "addresses": []}, "1 to 64 addresses"),
    ("an_address_that_is_none", {**POLICY, "addresses": ["10.0.0"]}, "an address of IPv4 or IPv6 is expected"),
    ("bits_behind_a_prefix", {**POLICY, "addresses": ["10.0.0.1/8"]}, "without bits behind it, not"),
    ("a_prefix_too_long", {**POLICY, "addresses": ["10.0.0.0/33"]}, "an address of IPv4 or IPv6 is expected"),
    ("icmp_to_ipv6", {**POLICY, "egress": {"default": "deny", "rules": [
        {"peer": "fd00::/8", "verdict": "allow", "protocol": "icmp"}]}}, "icmp is IPv4's, icmpv6 is IPv6's"),
    ("no_default", {**POLICY, "egress": {}}, "egress and ingress need default"),
    ("a_misspelt_member", {**POLICY, "egres": {}}, "unknown member `egres`, expected one of mac, addresses"),
    ("a_rule_without_verdict", {**POLICY, "egress": {"default": "deny", "rules": [{"peer": "10.0.0.0/8"}]}},
     "a rule needs peer and verdict"),
    ("ports_of_no_protocol", {**POLICY, "egress": rules(("10.0.0.0/8", "allow", "any", "80"))},
     "ports are of protocol tcp or udp"),
    ("ports_backwards", {**POLICY, "egress": rules(("10.0.0.0/8", "allow", "tcp", "90-80"))}, "ports has to be"),
    ("nine_rules_of_one_prefix", {**POLICY, "egress": rules(*[("10.0.0.0/8", "allow", "tcp", str(n)) for n in range(1, 10)])},
     "one prefix has at most 8 rules"),
    ("a_limit_of_nothing", {**POLICY, "limits": {"packets_per_second": 0}}, "a limit has to be 1 to 10^12 a second"),
]


def bad_policy(name, policy, sentence):
    @in_namespace
    def run(net):
        net.attach()
        net.write(policy)
        done = net.command("--file", "policy.json")
        equal("status", 1, done.returncode)
        contains("stderr", sentence, done.stderr)
        net.send(ether(0x0800, ipv4(udp(b"x"), source=OTHER)))
        equal("the old one is in force", {"source": 1}, net.dropped())
    run.__name__ = f"policy_with_{name}_is_refused"
    return run


for _row in BAD:
    case(bad_policy(*_row))


@case
@in_namespace
def policy_command_says_what_is_missing(net):
    for words, sentence in ((("--show",), "there is none of the id vm-1"), ((), "--id is needed, and one of"),
                            (("--file", "nowhere"), "No such file or directory"),
                            (("--remove",), "--attach and --remove need --tap, and nothing else does"),
                            (("--show", "--file", "x"), "--file, --show and --remove exclude each other"),
                            (("--show", "--tap", "tap0"), "--attach and --remove need --tap, and nothing else does")):
        done = net.command(*words)
        equal(f"status, {words}", 1, done.returncode)
        contains(f"stderr, {words}", sentence, done.stderr)
    net.write(POLICY)
    done = net.command("--attach", "--tap", "tap7", "--file", "policy.json")
    contains("no such TAP", "there is no interface tap7 in this network namespace", done.stderr)


@case
@in_namespace
def policy_command_of_an_ordinary_user_says_that_it_is_root_s(net):
    net.write(POLICY)
    for words in (("--show",), ("--file", "policy.json"), ("--remove", "--tap", "tap0"), ("--attach", "--tap", "tap0", "--file", "policy.json")):
        done = subprocess.run(["setpriv", "--reuid=65533", "--regid=65533", "--clear-groups", JAILER, "policy", "--id", ID, *words],
                              cwd=net.dir, capture_output=True, text=True, check=False)
        equal(f"status, stderr, {words}", (1, "Error: Network policy: it is root's to attach, change, show and remove. This is user 65533.\n"),
              (done.returncode, done.stderr))




JAILED = """
set -e
mount --make-rprivate / && mount -t bpf bpf /sys/fs/bpf
ip link set lo up && ip tuntap add tap0 mode tap user {uid}
{jailer} --policy policy.json --tap {tap} {options} -- {words} &
pid=$!
"""


def jailed(t, jail, words, script, tap="tap0"):
    """Runs a jail with a policy, in namespaces of its own, and then the script, which knows $pid."""
    t.write("policy.json", json.dumps(POLICY))
    text = JAILED.format(uid=UID, jailer=JAILER, options=" ".join(jail.options()), words=" ".join(words), tap=tap) + script
    return subprocess.run(["unshare", "--net", "--mount", "sh", "-c", text], cwd=t.dir, capture_output=True, text=True,
                          timeout=30, check=False)


@case
def policy_is_in_force_before_the_monitor_which_shows_its_counters(t):
    jail = Jail(t, program=BINARY, name="firecracker")
    done = jailed(t, jail, ["--api-sock", "/run/s", "--prometheus-path", "/text"], f"""
for i in $(seq 100); do [ -S {jail.path('run/s')} ] && break; sleep 0.05; done
tc filter show dev tap0 ingress | grep -o from_guest
cat {jail.path('text')} | grep mayfly_policy
kill $pid; wait $pid || true
ls /sys/fs/bpf/mayfly/vm-1""")
    lacks("stderr", "Error", done.stderr)
    contains("filter", "from_guest", done.stdout)
    contains("Prometheus text", 'mayfly_policy_total{id="vm-1",counter="dropped_source"} 0', done.stdout)
    contains("pins", "counters\nflows\nlimits\nlive\ntries\n", done.stdout)


@case
def policy_of_a_jail_that_fails_is_taken_back(t):
    jail = Jail(t)
    with open(jail.exec_file, "wb") as file:
        file.write(b"no program")
    done = jailed(t, jail, [], "wait $pid || true; ls /sys/fs/bpf/mayfly; tc filter show dev tap0 ingress")
    contains("stderr", "Failed to exec into Firecracker", done.stderr)
    equal("pins and filters", [], [line for line in done.stdout.splitlines() if not line.startswith("Warning! ")])


@case
def policy_for_no_tap_leaves_no_jail(t):
    jail = Jail(t)
    done = jailed(t, jail, [], "wait $pid", tap="tap9")
    contains("stderr", "there is no interface tap9 in this network namespace", done.stderr)
    equal("jail", {}, listing(jail.base))


@case
def policy_that_is_wrong_changes_nothing(t):
    jail = Jail(t)
    t.write("policy.json", "{}")
    done = jail.run("--policy", "policy.json", "--tap", "tap0")
    equal("status", 1, done.returncode)
    contains("stderr", "Network policy policy.json: the policy needs mac", done.stderr)
    equal("jail", {}, listing(jail.base))


@case
def policy_needs_its_tap_and_a_tap_its_policy(t):
    jail = Jail(t)
    for words, missing in ((("--policy", "x"), "tap"), (("--tap", "x"), "policy")):
        done = jail.run(*words)
        contains("stderr", f"Argument '{missing}' required, but not found.", done.stderr)


@case
def policy_counters_descriptor_that_is_none_is_refused(t):
    with open(t.path("file"), "wb") as file:
        file.write(b"x" * 4096)
        for words, why in ((("77",), "nothing was inherited under this number"), (("x",), "a descriptor's number is expected"),
                           ((str(file.fileno()),), "it is no BPF map")):
            end = t.run("--policy-counters-fd", *words, "--api-sock", "s", pass_fds=(file.fileno(),), may_leave={"file"})
            equal(f"status, {words}", 1, end.status)
            contains("stderr", why, end.err)


@case
def policy_of_a_request_or_config_file_is_refused_with_the_command(t):
    client = Served(t).connect()
    reply = client.ask("PUT", "/network-interfaces/a", {"iface_id": "a", "host_dev_name": "tap0", "policy": {}})
    equal("status", 400, reply.status)
    contains("fault", "unknown field `policy`: the network policy is not the monitor's", reply.fault)
    contains("fault", "mayfly-jailer policy --id ID --file FILE replaces it", reply.fault)
    t.config("hello", policy={})
    end = t.run("--no-api", "--config-file", "vm.json")
    equal("status", 1, end.status)
    contains("stderr", "The requested operation is not supported: the network policy is not the monitor's", end.err)
    t.config("hello", policy=None)
    t.expect_end(t.run_vm())
