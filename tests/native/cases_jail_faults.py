# SPDX-License-Identifier: Apache-2.0
"""Every step of a jail made to fail (tests/lib/fail_call.c answers for the kernel): a sentence that says which, exit
status 1, and nothing is left of the run."""

import errno
import os
import shutil
import signal

from jail_tools import (FAIL_CALL, FAIL_NTH, GID, SPARED, UID, UMOUNT2, Jail, listing, mounts, probe, refused,
                        remove_cgroups)
from native import Mismatch, case, contains, equal

# call, its number on x86_64, options, the sentence's part
STEPS = [
    ("close_range", 436, (), "close_range, which closes what the jailer inherited: Operation not permitted"),
    ("mkdirat", 258, (), "Failed to create directory probe, on the way to "),
    ("openat", 257, (), "cannot be opened: Operation not permitted"),
    ("setns", 308, ("--netns", "/proc/self/ns/net"), "Failed to join network namespace: netns: Operation not permitted"),
    ("prlimit64", 302, (), "Failed to set limit for resource: no-file=2048: Operation not permitted"),
    ("unshare", 272, (), "Failed to unshare into new mount namespace"),
    ("mount", 165, (), "Failed to change the propagation type to slave"),
    ("move_mount", 429, (), "Failed to bind the executable into the jail"),
    ("pivot_root", 155, (), "Failed to pivot root to "),
    ("umount2", 166, (), "Failed to unmount the old root behind "),
    ("chdir", 80, (), "Failed to change current directory to "),
    ("fchmod", 91, (), "Failed to change permissions and ownership of / in the jail"),
    ("fchown", 93, (), "Failed to change permissions and ownership of / in the jail"),
    ("mknodat", 259, (), "Failed to create /dev/net/tun via mknod inside the jail: Operation not permitted"),
    ("fchownat", 260, (), "Failed to change owner of /dev/net/tun in the jail"),
    ("setgid", 106, (), "Failed to become group "),
    ("setgroups", 116, (), "Failed to leave the supplementary groups"),
    ("setresuid", 117, (), "Failed to become user "),
    ("clone3", 435, ("--new-pid-ns",), "Failed to clone into a new PID namespace"),
    ("clone3", 435, ("--daemonize",), "Failed to fork"),
    ("setsid", 112, ("--daemonize",), "Failed to setsid"),
    ("pipe2", 293, ("--new-pid-ns",), "Failed to make a pipe"),
    ("mknodat", 259, ("--daemonize", "--new-pid-ns"), "Failed to create /dev/net/tun via mknod"),
    ("setgid", 106, ("--daemonize",), "Failed to become group "),
    ("setgid", 106, ("--new-pid-ns",), "Failed to become group "),
    ("setgid", 106, ("--daemonize", "--new-pid-ns"), "Failed to become group "),
]

CGROUP = ("--cgroup", "pids.max=9", "--cgroup-version", "1", "--parent-cgroup", "mayfly-faults")


def fault(call, number, options, sentence):
    def run(t):
        jail = Jail(t)
        before, cgroups = mounts(t.dir), os.listdir("/sys/fs/cgroup/pids")
        # Calls that cgroups need as well fail there first, which is another step.
        more = options if call in ("mkdirat", "openat") else (*options, *CGROUP)
        done = jail.run(*more, prefix=(FAIL_CALL, str(number), str(errno.EPERM)))
        if call == "umount2":  # which taking back needs as well: what stays is said
            contains("stderr", "probe, which this run made, cannot be removed: Resource busy", done.stderr)
            refused(jail, done, sentence, listing(jail.base))
        else:
            refused(jail, done, sentence, {})
        equal("mounts of the host", before, mounts(t.dir))
        equal("cgroups", cgroups, os.listdir("/sys/fs/cgroup/pids"))
    run.__name__ = f"jail_fails_at_{call}{''.join(options[:2]).replace('-', '_').replace('/', '_')}"
    return run


for _row in STEPS:
    case(fault(*_row))


@case
def jail_without_new_mount_calls_copies_the_program(t):
    """Linux before 5.12: open_tree or mount_setattr are not there."""
    for number in (428, 442):
        jail = Jail(t, ident=f"old-{number}")
        done = jail.run(prefix=(FAIL_CALL, str(number), str(errno.ENOSYS)))
        equal("exit status, stderr", (0, ""), (done.returncode, done.stderr))
        equal("a copy", os.path.getsize(jail.exec_file), os.path.getsize(jail.path("probe")))


@case
def jail_that_fails_leaves_what_was_there(t):
    jail = Jail(t)
    os.makedirs(jail.path("dev/net"))
    with open(jail.path("kernel"), "w", encoding="ascii") as file:
        file.write("theirs")
    names = set(listing(jail.base))
    done = jail.run(prefix=(FAIL_CALL, "106", str(errno.EPERM)))
    equal("exit status", 1, done.returncode)
    equal("names", names, set(listing(jail.base)))


CALLS_AT_LEAST = 90
EXECVEAT = 322


def check_one_failure(t, jail, done, number):
    """Of a run in which that call failed: it refused and left nothing, or the jail is whole."""
    if number == UMOUNT2:  # as above: what stays is said
        refused(jail, done, "Failed to unmount the old root behind ", listing(jail.base))
        shutil.rmtree(os.path.join(jail.base, jail.name))
    elif done.returncode != 0:
        refused(jail, done, "Operation not permitted (os error 1)", {})
        equal("cgroup of a refused jail", False, os.path.exists("/sys/fs/cgroup/pids/mayfly-faults"))
    else:
        equal("a call that a jail does without", True, number in SPARED)
        whole(t, jail, done)


def whole(t, jail, done):
    """Everything that a jail is, of one that has been started; takes it away."""
    if done.stdout.startswith("argv"):  # /dev/null with --daemonize
        seen = probe(done.stdout.split("Warning!")[0])
        equal("who and where", (f"{UID} {UID} {UID}", f"{GID} {GID} {GID}", "0", "/", "0 1 2", []),
              (seen["uids"], seen["gids"], seen["groups"], seen["cwd"], seen["fds"], seen["env"]))
    equal("pid file", True, t.read(f"jails/probe/{jail.id}/root/probe.pid").isdigit())
    remove_cgroups("mayfly-faults", jail.id)
    shutil.rmtree(os.path.join(jail.base, jail.name))


def every_call_fails_once(name, *options):
    def run(t):
        before, count, nth = mounts(t.dir), 0, 0
        while nth <= count:
            nth += 1
            jail = Jail(t, ident=f"nth-{nth}")
            done = jail.run(*options, *CGROUP, prefix=(FAIL_NTH, str(nth), str(errno.EPERM), t.path("report")))
            count, number = (int(word) for word in t.read("report").split())
            try:
                if number >= 0:
                    check_one_failure(t, jail, done, number)
            except Mismatch as mismatch:
                remove_cgroups("mayfly-faults", jail.id)
                raise Mismatch(f"call {nth} of {count}, number {number}: {mismatch.what}", mismatch.expected,
                               f"{mismatch.seen}\n{done.stderr}") from mismatch
        remove_cgroups("mayfly-faults", jail.id)  # of the last run, in which nothing failed
        equal("exit status of that", 0, done.returncode)
        equal("enough calls", True, nth > CALLS_AT_LEAST)
        equal("mounts of the host", before, mounts(t.dir))
    run.__name__ = f"jail_whose_every_call_fails_once_{name}"
    return run


case(every_call_fails_once("in_the_foreground", "--resource-limit", "fsize=1000000", "--netns", "/proc/self/ns/net"))
case(every_call_fails_once("in_a_pid_ns", "--new-pid-ns"))
case(every_call_fails_once("daemonized", "--daemonize"))
case(every_call_fails_once("daemonized_in_a_pid_ns", "--daemonize", "--new-pid-ns"))


def killed_at_any_call(name, owner, *options):
    def run(t):
        """As a host that is short of memory does. It is told, but for the time between the last word to who waits and exec:
        then it is as if the monitor had been killed. What stands there then is no obstacle to a start that ends well: only
        its own pid file, which a client removes, as after a monitor that has ended."""
        before, number, nth = mounts(t.dir), 0, 0
        while number >= 0:  # of the call that was not made; -1: there was none
            nth += 1
            jail = Jail(t, owner=owner, ident=f"nth-{nth}")
            done = jail.run(*options, *CGROUP, prefix=(FAIL_NTH, str(nth), "kill", t.path("report")))
            number = int(t.read("report").split()[1])
            what = f"call {nth}, number {number}"
            statuses = (0,) if number < 0 or (number == EXECVEAT and options) else (1, 128 + signal.SIGKILL)
            try:
                if done.returncode not in statuses:
                    raise Mismatch(f"{what}: exit status", statuses, (done.returncode, done.stderr))
                equal(f"{what}: mounts of the host", before, mounts(t.dir))
                if os.path.exists(jail.path("probe.pid")):
                    os.unlink(jail.path("probe.pid"))
                again = jail.run(*options, *CGROUP)
                equal(f"{what}: exit status of a second start, and what it said", (0, ""), (again.returncode, again.stderr))
            except Mismatch:
                remove_cgroups("mayfly-faults", jail.id)  # or others would find them
                raise
            whole(t, jail, again)
        equal("enough calls", True, nth > CALLS_AT_LEAST)
    run.__name__ = f"jail_killed_at_any_call_{name}_can_be_started_again"
    return run


case(killed_at_any_call("of_a_bound_program", 0))
case(killed_at_any_call("of_a_copied_program", UID))
case(killed_at_any_call("in_the_background", 0, "--daemonize", "--new-pid-ns"))


@case
def jail_for_too_few_files_leaves_nothing(t):
    """From none to all that it needs: each run is refused whole, until one succeeds."""
    for count in range(3, 64):
        jail = Jail(t, ident=f"files-{count}")
        done = jail.run("--resource-limit", f"no-file={count}")
        if done.returncode == 0:
            break
        refused(jail, done, "No file descriptors available (os error 24)", {})
    equal("some were too few, and some enough", True, 3 < count < 63)


@case
def jail_killed_before_its_monitor_runs_is_a_failure(t):
    """In the background, by a limit of memory that is too small for exec: not taken for a monitor that runs."""
    limit = ("--cgroup", "memory.limit_in_bytes=4096", "--cgroup-version", "1", "--parent-cgroup", "mayfly-small")
    for more in (("--new-pid-ns",), ("--daemonize",), ("--daemonize", "--new-pid-ns")):
        jail = Jail(t)
        refused(jail, jail.run(*limit, *more), "The process of vm-1 was killed before it ran the monitor. Is a limit "
                "(--cgroup) of memory too small?", {})
        equal("cgroup", False, os.path.exists("/sys/fs/cgroup/memory/mayfly-small"))
