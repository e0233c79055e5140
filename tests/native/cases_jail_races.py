# SPDX-License-Identifier: Apache-2.0
"""Who is the jail's user, and lives, while root makes the jail: nothing of root's becomes that user's. The race is won at
each call of the jailer's in turn (tests/lib/fail_nth.c)."""

import fcntl
import os
import shutil
import stat

from jail_tools import FAIL_NTH, GID, JAILER, UID, Jail, listing, mounts, refused, remove_cgroups
from native import case, contains, equal, lacks

AS_USER = f"setpriv --reuid={UID} --regid={GID} --clear-groups sh -c"
CALLS_AT_LEAST = 90


def win_at_every_call(t, prepare, attack, check, owner=0):
    """prepare(jail): what is there before; attack(jail): a script of the user's; check(jail, what prepare returned, how
    the jailer ended). Returns how many starts were refused."""
    before, refusals, nth, calls = mounts(t.dir), 0, 1, 1
    while nth <= calls:
        jail = Jail(t, owner=owner, ident=f"race-{nth}")
        os.makedirs(jail.root)
        mine = prepare(jail)
        done = jail.run(prefix=(FAIL_NTH, str(nth), f"@{AS_USER} '{attack(jail)}' >>{t.path('attack')} 2>&1", t.path("report")))
        calls = int(t.read("report").split()[0])
        refusals += done.returncode != 0
        check(jail, mine, done)
        equal("mounts of the host", before, mounts(t.dir))
        shutil.rmtree(os.path.join(jail.base, jail.name))
        nth += 1
    equal(f"{calls} calls were raced against", True, calls >= CALLS_AT_LEAST)
    equal("some were made all the same", True, refusals < calls)
    return refusals


@case
def jail_whose_root_is_replaced_while_it_is_made_changes_nothing_there(t):
    """The directories above the jail's root were given to the user, who puts a link in its place."""
    target = t.path("target")
    os.makedirs(os.path.join(target, "dev"))
    with open(os.path.join(target, "probe"), "wb"):
        pass  # or the program could not be bound there

    def prepare(jail):
        for path in (os.path.dirname(jail.root), jail.root):
            os.chown(path, UID, GID)
        return listing(target), os.stat(target).st_mode

    def attack(jail):
        return f"cd {os.path.dirname(jail.root)} && mv root old && ln -s {target} root"

    def check(_jail, before, _done):
        equal("what the link leads to", before, (listing(target), os.stat(target).st_mode))
        equal("its owner", 0, os.stat(target).st_uid)
    equal("some were refused", True, win_at_every_call(t, prepare, attack, check) > 0)


@case
def jail_whose_device_is_replaced_while_it_is_made_gives_nothing_away(t):
    """A file of root's in the jail, such as a kernel that VMs share, under the name of a device."""
    def prepare(jail):
        os.chown(jail.root, UID, GID)
        with open(jail.path("kernel"), "w", encoding="ascii") as file:
            file.write("shared")
        return os.open(jail.path("kernel"), os.O_RDONLY)

    def attack(jail):
        return f"cd {jail.root} && mv -f kernel dev/net/tun"

    def check(jail, kernel, _done):
        st = os.fstat(kernel)
        os.close(kernel)
        equal("owner and mode of the file", (0, 0o644), (st.st_uid, stat.S_IMODE(st.st_mode)))
        node = os.path.join(jail.root, "dev/net/tun")
        if os.path.exists(node) and stat.S_ISREG(os.lstat(node).st_mode):
            equal("owner under the device's name", 0, os.lstat(node).st_uid)
    equal("some were refused", True, win_at_every_call(t, prepare, attack, check) > 0)


@case
def jail_whose_device_is_replaced_by_another_of_its_kind_does_not_give_that_away(t):
    """One of root's that somebody has by another name."""
    def prepare(jail):
        os.chown(jail.root, UID, GID)
        os.mknod(jail.path("spare"), 0o600 | stat.S_IFCHR, os.makedev(10, 200))
        os.link(jail.path("spare"), os.path.join(t.dir, f"{jail.id}-spare"))
        return os.path.join(t.dir, f"{jail.id}-spare")

    def attack(jail):
        return f"cd {jail.root} && mv -f spare dev/net/tun"

    def check(_jail, spare, _done):
        equal("owner of the other one", 0, os.stat(spare).st_uid)
        os.unlink(spare)
    equal("some were refused", True, win_at_every_call(t, prepare, attack, check) > 0)


def replace_program(t, owner, attack_with):
    """Who lives there under walls gives its name, or its bytes, to a program that would have none."""
    other = t.path("other")
    shutil.copy(JAILER, other)
    os.chmod(other, 0o755)

    def prepare(jail):
        os.chown(jail.root, UID, GID)
        shutil.copy(other, jail.path("other"))

    def attack(jail):
        return f"cd {jail.root} && {attack_with}"

    won = []

    def check(jail, _mine, done):
        won.append(not os.path.exists(jail.path("other")))
        lacks("stderr", "Failed to parse arguments: ", done.stderr)
        equal("what ran, or was refused", True, "end 1" in done.stdout if done.returncode == 0 else "Error: " in done.stderr)
    win_at_every_call(t, prepare, attack, check, owner)
    return won


@case
def jail_whose_bound_program_is_replaced_while_it_is_made_runs_its_own(t):
    equal("some gave it the name", True, any(replace_program(t, 0, "mv -f other probe")))


@case
def jail_whose_copied_program_is_replaced_while_it_is_made_runs_its_own(t):
    equal("some gave it the name", True, any(replace_program(t, UID, "mv -f other probe")))


@case
def jail_whose_copied_program_is_written_while_it_is_made_runs_its_own(t):
    """What is there before the copy is can be; the copy is not the user's."""
    equal("some wrote to what was there", True, any(replace_program(t, UID, "chmod u+w probe; cat other >probe && rm other")))


@case
def jail_that_another_jailer_is_at_is_refused(t):
    jail = Jail(t)
    os.makedirs(jail.root)
    lock = os.open(jail.root, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    refused(jail, jail.run(), "is being made into a jail by another jailer at this moment", listing(jail.base))
    os.close(lock)
    equal("exit status once it is free", 0, jail.run().returncode)


@case
def jail_that_several_jailers_start_at_once_is_whole_and_one_s(t):
    for number in range(8):
        jail = Jail(t, ident=f"crowd-{number}")
        runs = [jail.start("--new-pid-ns", monitor=("probe-sleep",)) for _ in range(3)]
        equal(f"exit statuses, round {number}", [0, 1, 1], sorted(run.wait(20) for run in runs))
        jail.monitor()
        equal(f"devices, round {number}", {"kvm", "net", "urandom"}, set(os.listdir(jail.path("dev"))) - {"userfaultfd"})
        jail.kill()


@case
def jail_of_a_monitor_that_lives_is_not_touched_by_a_second_start(t):
    """Its pid file is looked for ahead of everything that would change."""
    jail = Jail(t)
    limit = "/sys/fs/cgroup/pids/mayfly-races/vm-1/pids.max"

    def with_limit(count):
        return "--cgroup-version", "1", "--parent-cgroup", "mayfly-races", "--cgroup", f"pids.max={count}"
    try:
        jail.start(*with_limit(100), monitor=("probe-sleep",))
        jail.monitor()
        before = listing(jail.base)
        done = jail.run(*with_limit(17))
        contains("stderr", "/probe.pid: File exists", done.stderr)
        equal("the jail", before, listing(jail.base))
        with open(limit, encoding="ascii") as file:
            equal("its limit", "100\n", file.read())
    finally:
        jail.kill()
        remove_cgroups("mayfly-races", "vm-1")


@case
def jail_with_a_fifo_in_the_place_of_the_program_is_refused(t):
    jail = Jail(t)
    os.makedirs(jail.root)
    os.mkfifo(jail.path("probe"))
    refused(jail, jail.run(), "/probe is not a file", listing(jail.base))


@case
def jail_hands_no_capabilities_of_the_jailer_s_on(t):
    """Those that a service manager gives by AmbientCapabilities= pass any exec."""
    for more in ((), ("--new-pid-ns",)):
        jail = Jail(t, ident=f"caps-{len(more)}")
        caps = "+sys_admin,+net_admin,+dac_override"
        process = jail.start(*more, monitor=("probe-sleep",), prefix=("setpriv", f"--inh-caps={caps}", f"--ambient-caps={caps}"))
        if more:
            equal("exit status of the jailer", 0, process.wait(20))
        pid, _ = jail.monitor()
        with open(f"/proc/{pid}/status", encoding="ascii") as file:
            sets = {line.split()[0]: int(line.split()[1], 16) for line in file if line.startswith("Cap")}
        equal("capabilities", {"CapInh:": 0, "CapPrm:": 0, "CapEff:": 0, "CapAmb:": 0},
              {name: value for name, value in sets.items() if name != "CapBnd:"})
        jail.kill()
