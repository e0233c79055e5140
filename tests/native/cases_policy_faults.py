# SPDX-License-Identifier: Apache-2.0
"""Every call that the network policy needs made to fail once (tests/lib/fail_nth.c answers for the kernel): a sentence
that says which step, exit status 1, and nothing is left of it: or, of a change, the policy that was in force is."""

import errno
import json
import os
import shutil
import subprocess

from jail_tools import FAIL_NTH, JAILER, SPARED as JAIL_SPARED, UMOUNT2, Jail, listing
from native import Mismatch, Test, case, contains, equal
from policy_tools import GUEST, HOST, ID, OTHER, POLICY, arrives, ether, hooks, in_namespace, ipv4, remove_clsact, udp

PARTS = 6  # a case has every sixth call: one for all would take long
JAIL_PARTS = 6
BPF, CLOSE_RANGE, FACCESSAT2, UNAME = 321, 436, 439, 63
SOCKET, SETSOCKOPT, NEWFSTATAT, MMAP, READ, SYSINFO = 41, 54, 262, 9, 0, 99
# libbpf asks what the kernel knows (bpf, faccessat2, uname) and for better messages (setsockopt), and does without;
# glibc finds another socket, and the kind of stdout (newfstatat) is not needed; malloc has another way (mmap), the kernel's types another file (read),
# and qsort sorts in place where it does not know how much memory there is (sysinfo).
SPARED = (BPF, FACCESSAT2, UNAME, SOCKET, SETSOCKOPT, NEWFSTATAT, MMAP, READ, SYSINFO)
CALLS_AT_LEAST = 15
OLD_PORT, NEW_PORT = 6000, 6001
TEXTS = {errno.EPERM: "Operation not permitted (os error 1)", errno.ENOMEM: "Out of memory (os error 12)"}


def policy(port):
    """The guest may send to that port alone."""
    return {**POLICY, "egress": {"default": "deny", "rules": [
        {"peer": HOST, "verdict": "allow", "protocol": "udp", "ports": str(port)}]}}


def words(*more):
    return (JAILER, "policy", "--id", ID, *more)


ATTACH = words("--attach", "--tap", "tap0", "--file", "old.json")
UPDATE = words("--file", "new.json")
BACK = words("--file", "old.json")
REMOVE = words("--remove", "--tap", "tap0")
SHOW = words("--show")


class Faults:
    """A namespace, and in it commands of which one call fails."""

    def __init__(self, net):
        self.net = net
        self.listeners = {port: net.listener(port) for port in (OLD_PORT, NEW_PORT)}
        for name, port in (("old.json", OLD_PORT), ("new.json", NEW_PORT)):
            with open(os.path.join(net.dir, name), "w", encoding="ascii") as file:
                json.dump(policy(port), file)

    def run(self, *command, prefix=()):
        return subprocess.run([*prefix, *command], cwd=self.net.dir, capture_output=True, text=True, timeout=20,
                              stdin=subprocess.DEVNULL, check=False)

    def must(self, *command):
        done = self.run(*command)
        if done.returncode != 0:
            raise Mismatch(f"{command[1:]}", "status 0", done.stderr)
        return done

    def fail(self, nth, error, *command):
        """Returns how it ended, how many calls there were, and the number of the one that failed: -1, none."""
        report = os.path.join(self.net.dir, "report")
        done = self.run(*command, prefix=(FAIL_NTH, str(nth), str(error), report))
        with open(report, encoding="ascii") as file:
            count, number = (int(word) for word in file.read().split())
        return done, count, number

    def left(self):
        """All that a policy may leave of itself."""
        place = "/sys/fs/bpf/mayfly"
        pins = {name: sorted(os.listdir(os.path.join(place, name)))
                for name in (os.listdir(place) if os.path.isdir(place) else ())}
        return {"pins": pins, "hooks": hooks("tap0")}

    def passes(self, port, source=GUEST):
        self.net.send(ether(0x0800, ipv4(udp(b"x", target_port=port), source=source)))
        return arrives(self.listeners[port], 0.001) is not None

    def in_force(self, port):
        """Frames are judged by policy(port)."""
        other = OLD_PORT + NEW_PORT - port
        equal(f"passes: port {port}, {other}, another's address", (True, False, False),
              (self.passes(port), self.passes(other), self.passes(port, source=OTHER)))

    def every(self, error, command, check, part=0, parts=1, chosen=lambda nth: True):
        """check(done, number) of each run of this part."""
        nth = part + 1
        while True:
            if not chosen(nth):
                nth += parts
                continue
            done, count, number = self.fail(nth, error, *command)
            if number < 0:
                break
            try:
                check(done, number)
            except Mismatch as mismatch:
                raise Mismatch(f"call {nth} of {count}, number {number}: {mismatch.what}", mismatch.expected,
                               f"{mismatch.seen}\n{done.stderr}") from mismatch
            nth += parts
        equal("calls, at least", True, nth > CALLS_AT_LEAST)


def says_why(done, number, error):
    """One sentence, which says what and why."""
    equal("exit status", 1, done.returncode)
    begin = "Error: close_range, " if number == CLOSE_RANGE else "Error: Network policy"
    equal("last line begins", begin, (done.stderr.splitlines() or [""])[-1][:len(begin)])
    # In there libbpf asks what the kernel knows; lied to, it makes a program that fits no kernel.
    if "Network policy: the kernel does not take the program: " not in done.stderr:
        contains("stderr", TEXTS[error], done.stderr)


def in_parts(parts):
    """Registers `function(net, part)` as a case a part."""
    def register(function):
        def part_of(part):
            def run(net):
                function(net, part)
            run.__name__ = f"{function.__name__}_{part + 1}_of_{parts}"
            return run
        for part in range(parts):
            case(in_namespace(part_of(part)))
    return register


def every_call_of_attaching(net, part, error, keep, again):
    """keep: makes what the TAP has already, which stays. again: those of attaching are tried again."""
    faults = Faults(net)
    keep()
    before = faults.left()
    _, total, _ = faults.fail(0, error, *ATTACH)  # none does: how many there are
    faults.must(*REMOVE)
    if before["hooks"] is None:
        remove_clsact("tap0")

    def chosen(nth):
        """In between libbpf looks for the kernel's types, a thousand times the same two calls."""
        return nth <= 30 or nth > total - 60 or nth % 61 == 0

    def check(done, number):
        if done.returncode == 0:  # libbpf tries what the kernel can, and does without
            equal("a call that is spared", True, number in SPARED)
        else:
            says_why(done, number, error)
            equal("what is left", {**before, "pins": {}}, faults.left())
            if not again or number == BPF:
                return
            faults.must(*ATTACH)
        faults.in_force(OLD_PORT)
        faults.must(*REMOVE)
        equal("what a removed one leaves", {"pins": {}, "hooks": (before["hooks"] or {"ingress": [], "egress": []})},
              faults.left())
        if before["hooks"] is None:
            remove_clsact("tap0")
    faults.every(error, ATTACH, check, part, PARTS, chosen)


@in_parts(PARTS)
def policy_whose_every_call_fails_once_is_not_there(net, part):
    every_call_of_attaching(net, part, errno.EPERM, lambda: None, True)


@in_parts(PARTS)
def policy_whose_every_call_fails_once_leaves_others_hooks(net, part):
    """The TAP has hooks before, with a filter of somebody's."""
    def keep():
        for line in ("qdisc add dev tap0 clsact",
                     "filter add dev tap0 ingress prio 5 protocol all u32 match u32 0 0",
                     "filter add dev tap0 egress prio 7 protocol all u32 match u32 0 0"):
            subprocess.run(["tc", *line.split()], check=True)
    every_call_of_attaching(net, part, errno.ENOMEM, keep, False)


@case
@in_namespace
def policy_change_whose_every_call_fails_once_changes_nothing(net):
    faults = Faults(net)
    faults.must(*ATTACH)
    before = faults.left()

    def check(done, number):
        if done.returncode == 0:
            equal("a call that is spared", True, number in SPARED)
        else:
            says_why(done, number, errno.EPERM)
            faults.in_force(OLD_PORT)
            equal("pins and hooks", before, faults.left())
            faults.must(*UPDATE)
        faults.in_force(NEW_PORT)
        faults.must(*BACK)
    faults.every(errno.EPERM, UPDATE, check)


@in_parts(2)
def policy_removal_whose_every_call_fails_once_can_be_tried_again(net, part):
    faults = Faults(net)
    faults.must(*ATTACH)
    whole = faults.left()

    def check(done, number):
        left = faults.left()
        if done.returncode == 0:
            equal("a call that is spared", True, number in SPARED)
        else:
            says_why(done, number, errno.EPERM)
            if left["pins"] != whole["pins"]:
                equal("what judges frames while a pin is missing", {"ingress": [], "egress": []}, left["hooks"])
            faults.must(*REMOVE)
        equal("left", {"pins": {}, "hooks": {"ingress": [], "egress": []}}, faults.left())
        equal("it judges no more", True, faults.passes(NEW_PORT, source=OTHER))
        faults.must(*ATTACH)
        faults.in_force(OLD_PORT)
    faults.every(errno.EPERM, REMOVE, check, part, 2)


@case
@in_namespace
def policy_counters_whose_every_call_fails_once_are_not_printed(net):
    faults = Faults(net)
    faults.must(*ATTACH)
    faults.in_force(OLD_PORT)
    whole = faults.must(*SHOW).stdout

    def check(done, number):
        if done.returncode == 0:
            equal("a call that is spared", True, number in SPARED)
            equal("what was counted", whole, done.stdout)
        else:
            says_why(done, number, errno.EPERM)
            equal("stdout", "", done.stdout)
    faults.every(errno.EPERM, SHOW, check)
    faults.in_force(OLD_PORT)


@case
@in_namespace
def policy_of_another_vm_does_not_take_a_tap_over(net):
    """The TAP's hooks are in use: the second one is refused, and the first one judges on."""
    faults = Faults(net)
    faults.must(*ATTACH)
    before = faults.left()
    done = faults.run(JAILER, "policy", "--id", "vm-2", "--attach", "--tap", "tap0", "--file", "new.json")
    equal("status", 1, done.returncode)
    contains("stderr", "Error: Network policy: tap0 has a policy already, of another id, or another tool's program", done.stderr)
    equal("pins and hooks", before, faults.left())
    faults.in_force(OLD_PORT)


LAST_OF_ATTACHING = "Error: Network policy: attach to tap0: "


def check_jail(faults, jail, before, done, number):
    """It refused and left nothing, or is whole, and with it its policy."""
    if done.returncode != 0:
        equal("exit status", 1, done.returncode)
        equal("last line begins", "Error: ", (done.stderr.splitlines() or [""])[-1][:7])
        contains("stderr", TEXTS[errno.EPERM], done.stderr)
        equal("pins and hooks", before, faults.left())
        if number != UMOUNT2:  # of which the jailer says what stays
            equal("jail", {}, listing(jail.base))
    else:
        equal("a call that is spared, or none", True, number in JAIL_SPARED or number < 0)
        faults.in_force(OLD_PORT)
        faults.must(*REMOVE)
        remove_clsact("tap0")


def every_call_after_attaching(net, part, *options):
    """From the last one backwards."""
    faults = Faults(net)
    jail = Jail(Test(net.dir))
    command = (JAILER, *jail.options("--policy", "old.json", "--tap", "tap0", *options), "--")
    before = faults.left()
    done, last, number = faults.fail(0, errno.EPERM, *command)  # nothing does: how many there are
    nth = last - part
    while LAST_OF_ATTACHING not in done.stderr:
        try:
            check_jail(faults, jail, before, done, number)
        except Mismatch as mismatch:
            raise Mismatch(f"call {nth + JAIL_PARTS} of {last}, number {number}: {mismatch.what}", mismatch.expected,
                           f"{mismatch.seen}\n{done.stderr}") from mismatch
        shutil.rmtree(os.path.join(jail.base, jail.name), ignore_errors=True)
        done, _, number = faults.fail(nth, errno.EPERM, *command)
        nth -= JAIL_PARTS
    equal("calls behind the policy's, at least", True, last - nth > 3 * CALLS_AT_LEAST)


@in_parts(JAIL_PARTS)
def policy_of_a_jail_whose_every_later_call_fails_once(net, part):
    """In the background and in a PID namespace: with these it makes most calls."""
    every_call_after_attaching(net, part, "--daemonize", "--new-pid-ns")
