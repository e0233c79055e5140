# SPDX-License-Identifier: Apache-2.0
"""Every step of a jail made to fail (tests/lib/fail_call.c answers for the kernel): a sentence that says which, exit
status 1, and nothing is left of the run."""

import errno
import os

from jail_tools import FAIL_CALL, Jail, listing, mounts, refused
from native import case, contains, equal

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
