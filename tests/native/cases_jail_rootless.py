# SPDX-License-Identifier: Apache-2.0
"""The jailer without root (--rootless): started by an ordinary user, in a mount namespace where /dev/kvm is for all."""

import os
import shutil
import stat

from jail_tools import Jail, probe, refused
from native import BINARY, case, contains, equal, guest, lacks
from rootless_tools import COUNT, RANGE, USER, Rootless


def userfaultfd():
    """What the line says of it: this host's is root's alone, if it has one."""
    with open("/proc/misc", encoding="ascii") as file:
        return ", /dev/userfaultfd (not open to the monitor's user)" if "userfaultfd" in file.read() else ""


@case
def rootless_jail_says_in_one_line_what_isolates(t):
    jail = Rootless(t)
    done = jail.run()
    equal("exit status", 0, done.returncode)
    equal("stderr", "Rootless: user ns, mount ns, PID ns, IPC ns, UTS ns, network ns (empty), no new privileges, resource "
          f"limits; user {USER} and group {USER} are the host's {USER} and {USER}, who started it; not: cgroup limits (no "
          f"delegated cgroup v2){userfaultfd()}.\n", done.stderr)
    seen = probe(done.stdout)
    equal("ids", f"{USER} {USER} {USER}", seen["uids"])
    equal("pid", "1", seen["pid"])
    equal("root", {"dev", "run", "probe"}, set(seen["root"].split()) - {"probe.pid"})
    equal("fds", "0 1 2", seen["fds"])
    equal("environment", [], seen["env"])


@case
def rootless_jail_binds_root_s_program_and_the_devices(t):
    jail = Rootless(t)
    equal("exit status", 0, jail.run().returncode)
    equal("program", 0, os.path.getsize(jail.path("probe")))
    for name in ("dev/kvm", "dev/net/tun", "dev/urandom"):
        st = os.stat(jail.path(name))
        equal(f"place of {name}", (True, 0, USER), (stat.S_ISREG(st.st_mode), st.st_size, st.st_uid))


@case
def rootless_jail_of_a_range_is_another_user_of_the_host(t):
    jail = Rootless(t, subids=True)
    os.chown(jail.base, USER, USER)
    done = jail.run(uid="7", gid="7")
    equal("exit status, stderr", (0, True), (done.returncode, f"user 7 and group 7 are the host's {RANGE + 6} and {RANGE + 6};" in done.stderr))
    equal("ids", "7 7 7", probe(done.stdout)["uids"])
    equal("owner of the root", RANGE + 6, os.stat(jail.root).st_uid)


REFUSED = [
    ("another_user", {"uid": "5"}, f"gives user {USER} no range of ids, so that the monitor can only be {USER}"),
    ("root_inside", {"uid": "0", "gid": "0"}, f"gives user {USER} no range of ids"),
    ("a_cgroup_of_version_1", {"cgroup": "pids.max=5", "cgroup_version": "1"}, "cgroups of version 1 are root's alone"),
    ("a_parent_cgroup_of_version_1", {"parent_cgroup": "a", "cgroup_version": "1"}, "cgroups of version 1 are root's alone"),
    ("a_cgroup_that_is_not_delegated", {"cgroup": "cgroup.max.depth=1", "cgroup_version": "2"},
     f"is not delegated to user {USER}, so that nothing can be limited there. Start the jailer by systemd-run --user"),
    ("a_netns_that_is_not_its_own", {"netns": "/proc/1/ns/net"},
     "Failed to open file /proc/1/ns/net: Permission denied (os error 13)"),
    ("a_netns_that_is_none", {"netns": "/dev/null"}, "Failed to join network namespace: netns: Not a "
     "tty (os error 25) (/dev/null, ENOTTY). An ordinary user joins one that belongs to a user namespace of the user's"),
]


def bad_input(name, replaced, sentence):
    def run(t):
        jail = Rootless(t)
        refused(jail, jail.run(**replaced), sentence, {})
    run.__name__ = f"rootless_jail_is_refused_for_{name}"
    return run


for _row in REFUSED:
    case(bad_input(*_row))


@case
def rootless_jail_of_a_range_is_refused_for_ids_outside(t):
    jail = Rootless(t, subids=True)
    for uid, gid, sentence in ((str(COUNT + 1), "1", f"1 to {COUNT} count through the user's range"),
                               ("0", "1", "count through the user's range"),
                               ("1", str(USER), "have to be the user's own both")):
        refused(jail, jail.run(uid=uid, gid=gid), sentence, {})


@case
def rootless_jail_without_kvm_for_the_user_is_refused(t):
    jail = Rootless(t)
    os.chmod(t.path("kvm"), 0o600)
    refused(jail, jail.run(), "--rootless: the monitor's user could not open /dev/kvm.", {})


@case
def rootless_jail_is_not_for_root(t):
    jail = Jail(t)
    refused(jail, jail.run("--rootless"), "--rootless is for ordinary users; root jails without it", {})


@case
def rootless_jail_needs_a_base_of_the_users_own(t):
    jail = Rootless(t)
    refused(jail, jail.run(chroot_base_dir=None), "Failed to parse arguments: --rootless needs --chroot-base-dir", {})
    os.chown(jail.base, 0, 0)
    os.chmod(jail.base, 0o777)
    refused(jail, jail.run(), f"{jail.base} belongs to user 0, not to user {USER} who starts this jail", {})
    os.chown(jail.base, USER, USER)
    refused(jail, jail.run(), f"--rootless: others may write to {jail.base}. chmod go-w", {})
    os.chmod(jail.base, 0o775)
    os.chown(jail.base, USER, 100)
    refused(jail, jail.run(), f"--rootless: others may write to {jail.base}. chmod go-w", {})
    os.chown(jail.base, USER, USER)
    equal("exit status, with a group of the user's own", 0, jail.run().returncode)


@case
def rootless_jail_binds_the_users_own_program(t):
    """What nobody else may write: the monitor, which has the user's ids, cannot either by that mount. Others are copied."""
    for mode, group, is_bound in ((0o755, USER, True), (0o700, USER, True), (0o775, USER, True), (0o775, 100, False), (0o757, USER, False)):
        jail = Rootless(t, owner=USER, ident=f"vm-{mode}-{group}")
        os.chown(jail.exec_file, USER, group)
        os.chmod(jail.exec_file, mode)
        done = jail.run()
        equal(f"exit status, mode {mode:o}", 0, done.returncode)
        equal(f"ids, mode {mode:o}", f"{USER} {USER} {USER}", probe(done.stdout)["uids"])
        size = os.path.getsize(jail.exec_file)
        equal(f"bytes in the jail, mode {mode:o}", 0 if is_bound else size, os.path.getsize(jail.path("probe")))


@case
def rootless_jail_below_a_directory_of_others_is_refused(t):
    """Who may change it could put another tree in the jail's place."""
    jail = Rootless(t)
    for uid, mode, trusted in ((1234, 0o755, False), (0, 0o777, False), (USER, 0o757, False), (0, 0o1777, True), (0, 0o775, True),
                               (USER, 0o700, True)):
        above = t.path(f"above-{uid}-{mode}")
        os.makedirs(f"{above}/base")
        os.chown(f"{above}/base", USER, USER)
        os.chown(above, uid, USER if uid == USER else 0)
        os.chmod(above, mode)
        done = jail.run(chroot_base_dir=f"{above}/base")
        if trusted:
            equal(f"exit status, below {above}", 0, done.returncode)
        else:
            refused(jail, done, f"--rootless: {above}, on the way to {above}/base, is other users' to change", {})


@case
def rootless_jail_above_the_users_limit_names_that(t):
    jail = Rootless(t)
    few = ("prlimit", "--nofile=512:512")
    refused(jail, jail.run(prefix=few), "no-file=2048: Operation not permitted (os error 1) (EPERM). The jailer "
            "itself may have 512 at most: --resource-limit no-file=512", {})
    done = jail.run("--resource-limit", "no-file=512", prefix=few)
    equal("limit", "512 512", probe(done.stdout)["no_file"])


@case
def rootless_jail_that_cannot_run_leaves_nothing(t):
    jail = Rootless(t)
    with open(jail.exec_file, "wb") as file:
        file.write(b"no program")
    refused(jail, jail.run(), "Failed to exec into Firecracker: Exec format error (os error 8)", {})


@case
def rootless_monitor_runs_a_guest(t):
    jail = Rootless(t, program=BINARY, name="firecracker")
    os.makedirs(jail.root)
    shutil.copy(guest("hello"), jail.path("kernel"))
    os.chmod(jail.path("kernel"), 0o644)
    with open(jail.path("vm.json"), "w", encoding="ascii") as file:
        file.write('{"boot-source": {"kernel_image_path": "/kernel"}, "drives": [], '
                   '"machine-config": {"vcpu_count": 1, "mem_size_mib": 64}}')
    for directory in (jail.root, os.path.dirname(jail.root), os.path.dirname(os.path.dirname(jail.root))):
        os.chown(directory, USER, USER)
    done = jail.run(monitor=("--no-api", "--config-file", "/vm.json"))
    equal("exit status", 0, done.returncode)
    contains("output", "exit_code=0", done.stdout)
    lacks("output", "error", done.stdout.lower())
