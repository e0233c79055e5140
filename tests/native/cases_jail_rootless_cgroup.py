# SPDX-License-Identifier: Apache-2.0
"""Limits of a jail without root: a cgroup v2 that was delegated to the user."""

import contextlib
import os

from jail_tools import listing, refused
from native import case, contains, equal, lacks, skip, wait_until
from rootless_tools import USER, Rootless

VALUES = {"hugetlb": ("hugetlb.2MB.max", "0"), "pids": ("pids.max", "50")}


def read(*path):
    with open(os.path.join(*path), encoding="utf-8") as file:
        return file.read().strip()


def write(value, *path):
    with open(os.path.join(*path), "w", encoding="utf-8") as file:
        file.write(value)


def hierarchy():
    """The mount of cgroup2, and a controller that it has."""
    places = [line.split()[1] for line in read("/proc/mounts").splitlines() if line.split()[2] == "cgroup2"]
    for controller in VALUES:
        if places and controller in read(places[0], "cgroup.controllers").split():
            return places[0], controller
    return skip("no cgroup2 with the controller hugetlb or pids")


def remove(directory):
    """With what a case that failed has left in it."""
    write("1", directory, "cgroup.kill")
    for path, _, _ in os.walk(directory, topdown=False):
        wait_until(f"the end of everybody in {path}", lambda path=path: not read(path, "cgroup.procs"))
        os.rmdir(path)


@contextlib.contextmanager
def delegated(t):
    """A cgroup that is USER's, with a controller: (directory, file, value)."""
    place, controller = hierarchy()
    is_on = controller in read(place, "cgroup.subtree_control").split()
    directory = os.path.join(place, f"mayfly-rootless-{os.getpid()}")
    write(f"+{controller}", place, "cgroup.subtree_control")
    os.mkdir(directory)
    try:
        for name in ("", "cgroup.procs", "cgroup.subtree_control", "cgroup.threads"):
            os.chown(os.path.join(directory, name), USER, USER)
        yield directory, *VALUES[controller]
    finally:
        remove(directory)
        if not is_on:
            write(f"-{controller}", place, "cgroup.subtree_control")


def cgroups_below(directory):
    return sorted(os.path.relpath(path, directory) for path, _, _ in os.walk(directory))[1:]


@case
def rootless_jail_has_limits_in_its_own_delegated_cgroup(t):
    jail = Rootless(t, ident="limited")
    with delegated(t) as (directory, file, value):
        jail.cgroup = directory
        process = jail.start("--cgroup", f"{file}={value}", "--cgroup-version", "2", monitor=("probe-sleep",))
        equal("exit status", 0, process.wait(20))
        pid = jail.pid()
        equal("cgroup of the monitor", f"0::/{os.path.basename(directory)}/limited",
              read(f"/proc/{pid}/cgroup").splitlines()[-1])
        equal("value", value, read(directory, "limited", file))
        equal("members", str(pid), read(directory, "limited", "cgroup.procs"))
        jail.kill()


@case
def rootless_jail_says_that_limits_could_be_had(t):
    jail = Rootless(t, ident="limited")
    with delegated(t) as (directory, file, value):
        jail.cgroup = directory
        contains("stderr", "; not: cgroup limits (no --cgroup)", jail.run().stderr)
        equal("cgroups", [], cgroups_below(directory))
        done = jail.run("--cgroup", f"{file}={value}", "--cgroup-version", "2", id="vm-2")
        contains("stderr", "resource limits, cgroup limits; user", done.stderr)


@case
def rootless_jail_has_limits_below_a_named_parent(t):
    """As an agent does that has gone into a cgroup below its own; the parent is made where it is not there."""
    jail = Rootless(t, ident="limited")
    with delegated(t) as (directory, file, value):
        jail.cgroup = os.path.join(directory, "agent")
        os.mkdir(jail.cgroup)
        for name in ("", "cgroup.procs"):
            os.chown(os.path.join(jail.cgroup, name), USER, USER)
        parent = f"{os.path.basename(directory)}/vms"
        process = jail.start("--cgroup", f"{file}={value}", "--cgroup-version", "2", "--parent-cgroup", parent,
                             monitor=("probe-sleep",))
        equal("exit status", 0, process.wait(20))
        pid = jail.pid()
        equal("members", str(pid), read(directory, "vms/limited", "cgroup.procs"))
        equal("value", value, read(directory, "vms/limited", file))
        jail.kill()


@case
def rootless_jail_refused_by_a_cgroup_leaves_none(t):
    jail = Rootless(t, ident="limited")
    with delegated(t) as (directory, file, value):
        jail.cgroup = directory
        for asked, sentence in ((f"{file}=many", f"Failed to write to cgroup: {directory}/limited/{file} = many"),
                                ("nothing.max=1", "Controller nothing is unavailable")):
            refused(jail, jail.run("--cgroup", asked, "--cgroup-version", "2"), sentence, {})
            equal("cgroups", [], cgroups_below(directory))
            equal("controllers that are on", "", read(directory, "cgroup.subtree_control"))
        for more in ((), ("--daemonize",)):
            with open(jail.exec_file, "wb") as program:
                program.write(b"no program")
            done = jail.run("--cgroup", f"{file}={value}", "--cgroup-version", "2", *more)
            refused(jail, done, "Failed to exec into Firecracker", {})
            lacks("stderr", "cannot be removed", done.stderr)
            equal("cgroups", [], cgroups_below(directory))
            equal("controllers that are on", "", read(directory, "cgroup.subtree_control"))


@case
def rootless_jail_below_others_processes_is_refused(t):
    """Which nothing can be switched on for: the sentence says so."""
    jail = Rootless(t, ident="limited")
    with delegated(t) as (directory, file, value):
        jail.cgroup = directory
        other = Rootless(t, ident="other")
        other.cgroup = directory
        equal("exit status", 0, other.start(monitor=("probe-sleep",)).wait(20))
        pid = other.pid()
        refused(jail, jail.run("--cgroup", f"{file}={value}", "--cgroup-version", "2"), "Other processes are in it",
                listing(jail.base))
        equal("members", str(pid), read(directory, "cgroup.procs"))
        equal("cgroups", [], cgroups_below(directory))
        other.kill()
