# SPDX-License-Identifier: Apache-2.0
"""What a jail without root isolates, seen from the host, and every step of it made to fail."""

import contextlib
import errno
import os
import shutil
import socket
import subprocess

from jail_tools import FAIL_CALL, mounts, open_tap, probe, refused
from native import BINARY, case, contains, equal, guest, wait_until
from rootless_tools import RANGE, USER, Rootless


def read(path):
    with open(path, encoding="utf-8") as file:
        return file.read()


@contextlib.contextmanager
def running(jail, *more, **options):
    """A monitor that runs: its process id."""
    try:
        with open(jail.t.path("said"), "w", encoding="utf-8") as said:
            equal("exit status of the jailer", 0, jail.start(*more, stdout=said, **options).wait(20))
        yield jail.pid()
    finally:
        jail.kill()


def status(pid):
    return dict(line.split(":\t", 1) for line in read(f"/proc/{pid}/status").splitlines() if ":\t" in line)


def monitor(t, **options):
    jail = Rootless(t, program=BINARY, name="firecracker", **options)
    os.makedirs(jail.root)
    shutil.copy(guest("numbers"), jail.path("kernel"))
    os.chmod(jail.path("kernel"), 0o644)
    for directory in (jail.root, os.path.dirname(jail.root), os.path.dirname(os.path.dirname(jail.root))):
        os.chown(directory, USER, USER)
    return jail


@case
def rootless_monitor_is_shut_in(t):
    jail = monitor(t)
    with running(jail) as pid:
        client = jail.api()
        client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
        client.put("/boot-source", {"kernel_image_path": "/kernel"})
        client.put("/actions", {"action_type": "InstanceStart"})
        wait_until("numbers", lambda: "0003" in open(t.path("said"), encoding="latin-1").read())
        seen = status(pid)
        equal("user", [str(USER)] * 4, seen["Uid"].split())
        equal("group", [str(USER)] * 4, seen["Gid"].split())
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(name, "0" * 16, seen[name])
        equal("no new privileges, filter", ("1", "2"), (seen["NoNewPrivs"], seen["Seccomp"]))
        equal("pids", [str(pid), "1"], seen["NSpid"].split())
        for space in ("user", "mnt", "pid", "net", "ipc", "uts"):
            equal(f"another {space} namespace", True,
                  os.readlink(f"/proc/{pid}/ns/{space}") != os.readlink(f"/proc/self/ns/{space}"))
        equal("ids of its namespace", [str(USER), str(USER), "1"], read(f"/proc/{pid}/uid_map").split())
        equal("mounts", {"/", "/firecracker", "/dev/kvm", "/dev/net/tun", "/dev/urandom"},
              {line.split()[4] for line in read(f"/proc/{pid}/mountinfo").splitlines()})
        equal("network devices", ["lo"],
              [line.split(":")[0].strip() for line in read(f"/proc/{pid}/net/dev").splitlines()[2:]])


@case
def rootless_monitor_of_a_range_has_no_rights_left(t):
    jail = Rootless(t, subids=True)
    jail.groups = "--groups 70001"
    with running(jail, uid="7", gid="9", monitor=("probe-sleep",)) as pid:
        seen = status(pid)
        equal("user", [str(RANGE + 6)] * 4, seen["Uid"].split())
        equal("group", [str(RANGE + 8)] * 4, seen["Gid"].split())
        equal("groups", [], seen["Groups"].split())
        equal("no new privileges", "1", seen["NoNewPrivs"])
        for name in ("CapInh", "CapPrm", "CapEff", "CapAmb"):
            equal(name, "0" * 16, seen[name])


@case
def rootless_jail_of_a_range_is_removed_by_its_user(t):
    """As docs/jailer.md says: rm alone may not."""
    jail = Rootless(t, subids=True)
    equal("exit status", 0, jail.run(uid="7", gid="7").returncode)
    jails = os.path.join(jail.base, "probe")
    equal("rm", True, subprocess.run(jail.as_user("rm", "-r", jails), capture_output=True, check=False).returncode != 0)
    done = subprocess.run(jail.as_user("unshare", "--user", "--map-root-user", "--map-auto", "rm", "-r", jails),
                          capture_output=True, text=True, check=False)
    equal("rm among the user's ids", (0, ""), (done.returncode, done.stderr))
    equal("what is left", [], os.listdir(jail.base))


@case
def rootless_jail_says_what_groups_stay(t):
    jail = Rootless(t)
    jail.groups = "--groups 70001,70002"
    contains("stderr", "leaving the user's supplementary groups (2 stay)", jail.run().stderr)


@case
def rootless_jail_has_kvm_by_a_group(t):
    """As the group kvm gives it, with the user's own ids alone."""
    jail = Rootless(t, subids=True)
    os.chmod(t.path("kvm"), 0o660)
    os.chown(t.path("kvm"), 0, 70001)
    refused(jail, jail.run(), "--rootless: the monitor's user could not open /dev/kvm. Make the user one of its group", {})
    jail.groups = "--groups 70001"
    refused(jail, jail.run(uid="7", gid="7"), "could not open /dev/kvm", {})
    equal("exit status", 0, jail.run().returncode)


@case
def rootless_jail_names_devices_that_it_does_not_have(t):
    jail = Rootless(t)
    os.chmod(t.path("tun"), 0o600)
    done = jail.run()
    contains("stderr", "/dev/net/tun (not open to the monitor's user)", done.stderr)
    equal("tun in the jail", False, os.path.exists(jail.path("dev/net/tun")))


@case
def rootless_jail_keeps_a_tap_and_a_socket(t):
    jail = Rootless(t)
    tap = open_tap()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(t.path("api"))
        listener.listen()
        done = jail.run("--keep-fd", f"{tap}=tap0", "--keep-fd", str(listener.fileno()),
                        pass_fds=(tap, listener.fileno()))
    os.close(tap)
    seen = probe(done.stdout)
    equal("fds", "0 1 2 3 4", seen["fds"])
    equal("environment", ["LISTEN_FDS=2", "LISTEN_PID=1", "LISTEN_FDNAMES=tap0:unknown"], seen["env"])


@contextlib.contextmanager
def users_netns(jail):
    """Of a user namespace of the user's: the process that lives there."""
    holder = subprocess.Popen(jail.as_user("unshare", "--user", "--map-root-user", "--net", "cat"), stdin=subprocess.PIPE,
                              stdout=subprocess.DEVNULL)
    try:
        wait_until("its network namespace", lambda: read(f"/proc/{holder.pid}/comm") == "cat\n")
        yield holder.pid
    finally:
        holder.stdin.close()
        holder.wait(20)


@case
def rootless_jail_joins_a_netns_of_the_users(t):
    jail = Rootless(t)
    with users_netns(jail) as holder:
        with running(jail, netns=f"/proc/{holder}/ns/net", monitor=("probe-sleep",)) as pid:
            equal("network namespace", os.readlink(f"/proc/{holder}/ns/net"), os.readlink(f"/proc/{pid}/ns/net"))
            equal("another user namespace", True,
                  os.readlink(f"/proc/{holder}/ns/user") != os.readlink(f"/proc/{pid}/ns/user"))
            equal("user", [str(USER)] * 4, status(pid)["Uid"].split())
            equal("effective capabilities", "0" * 16, status(pid)["CapEff"])
            contains("what it says", f"network ns (/proc/{holder}/ns/net)", read(t.path("said")))


@case
def rootless_jail_joins_no_netns_of_root(t):
    """One whose file everybody may open, as ip netns makes them."""
    jail = Rootless(t)
    t.write("netns", "")
    jail.binds["/proc/self/ns/net"] = t.path("netns")
    refused(jail, jail.run(netns=t.path("netns")), f"netns: Invalid argument (os error 22) ({t.path('netns')}, EINVAL). An "
            "ordinary user joins one that belongs to a user namespace of the user's own", {})


@case
def rootless_jail_of_a_range_joins_no_netns(t):
    jail = Rootless(t, subids=True)
    refused(jail, jail.run(netns="/proc/self/ns/net", uid="7", gid="7"), "--rootless --netns: only with the user's own", {})


@case
def rootless_jail_without_newuidmap_names_the_package(t):
    jail = Rootless(t, subids=True)
    jail.binds["/dev/null"] = "/usr/bin/newuidmap"
    done = jail.run(uid="7", gid="7")
    contains("stderr", "It comes with the package uidmap.", done.stderr)
    refused(jail, done, "newuidmap or newgidmap could not map user 7 and group 7", {})


# call, its number on x86_64, options, the sentence's part
STEPS = [
    ("unshare", 272, (), "--rootless: the kernel refuses a user namespace: Operation not permitted (os error 1) (EPERM). See "
     "/proc/sys/user/max_user_namespaces"),
    ("setns", 308, ("--netns", "/proc/self/ns/net"), "Failed to join network namespace: netns: Operation not permitted"),
    ("mkdirat", 258, (), "Failed to create directory probe, on the way to "),
    ("mount", 165, (), "Failed to change the propagation type to slave"),
    ("move_mount", 429, (), "Failed to bind "),
    ("pivot_root", 155, (), "Failed to pivot root to "),
    ("fchmod", 91, (), "Failed to change permissions and ownership of / in the jail"),
    ("clone3", 435, (), "Failed to clone into a new PID namespace"),
    ("clone3", 435, ("--daemonize",), "Failed to fork"),
    ("setsid", 112, ("--daemonize",), "Failed to setsid"),
]


def fault(call, number, options, sentence):
    def run(t):
        jail = Rootless(t)
        shutil.copy(FAIL_CALL, t.path("fail-call"))
        done = jail.run(*options, inner=(t.path("fail-call"), str(number), str(errno.EPERM)))
        refused(jail, done, sentence, {})
        equal("mounts of the host", [], mounts(t.dir))
    run.__name__ = f"rootless_jail_fails_at_{call}{''.join(options[:1]).replace('-', '_')}"
    return run


for _row in STEPS:
    case(fault(*_row))
