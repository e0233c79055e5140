# SPDX-License-Identifier: Apache-2.0
"""The jailer: layout, identity, refusals (cli.md I; rows 83-96 of clients.md)."""

import os
import shutil
import signal
import socket
import stat
import subprocess

from jail_tools import GID, JAILER, PROBE, UID, Jail, is_dead, is_private, listing, mounts, open_tap, probe, refused, try_rmdir
from native import BINARY, case, contains, equal, guest, wait_until
from snapshot_tools import numbers


@case
def jail_runs_the_program_as_that_user_in_its_root(t):
    jail = Jail(t)
    done = jail.run(monitor=("--api-sock", "/run/x"), env={"SECRET": "1", "LD_PRELOAD": "/x.so"})
    equal("exit status, stderr", (0, ""), (done.returncode, done.stderr))
    seen = probe(done.stdout)
    equal("ids", (f"{UID} {UID} {UID}", f"{GID} {GID} {GID}", "0"), (seen["uids"], seen["gids"], seen["groups"]))
    equal("environment", [], seen["env"])
    equal("working directory", "/", seen["cwd"])
    equal("root", {"dev", "run", "probe", "probe.pid"}, set(seen["root"].split()))
    equal("comm", "probe", seen["comm"])
    equal("fds", "0 1 2", seen["fds"])
    equal("first words", ["/probe", "--id", "vm-1", "--start-time-us"], seen["argv"][:4])
    equal("names of times", ["--start-time-cpu-us", "--parent-cpu-time-us"], [seen["argv"][5], seen["argv"][7]])
    equal("words of the user", ["--api-sock", "/run/x"], seen["argv"][9:])
    equal("limit of files", "2048 2048", seen["no_file"])


@case
def jail_layout_is_the_reference_s(t):
    jail = Jail(t)
    before = mounts(t.dir)
    equal("exit status", 0, jail.run().returncode)
    equal("mounts of the host", before, mounts(t.dir))
    for name in ("", "dev", "dev/net", "run"):
        st = os.stat(jail.path(name))
        equal(f"owner and mode of /{name}", (UID, GID, True), (st.st_uid, st.st_gid, is_private(jail.path(name))))
    for name, number in (("dev/kvm", (10, 232)), ("dev/net/tun", (10, 200)), ("dev/urandom", (1, 9))):
        st = os.stat(jail.path(name))
        equal(f"/{name}", (True, number, UID, GID, 0o600),
              (stat.S_ISCHR(st.st_mode), (os.major(st.st_rdev), os.minor(st.st_rdev)), st.st_uid, st.st_gid,
               stat.S_IMODE(st.st_mode)))
    misc = dict(reversed(line.split()) for line in open("/proc/misc", encoding="ascii"))
    equal("/dev/userfaultfd", "userfaultfd" in misc, os.path.exists(jail.path("dev/userfaultfd")))


@case
def jail_binds_a_root_owned_program_that_not_even_root_there_can_change(t):
    jail = Jail(t)
    size = os.path.getsize(PROBE)
    done = jail.run(uid="0", gid="0", monitor=("probe-write",))
    seen = probe(done.stdout)
    equal("changes", ("EROFS", "EROFS", "EROFS", "EBUSY"),
          (seen["open"], seen["chmod"], seen["chown"], seen["unlink"]))
    equal("mount is ro, nosuid, nodev", "1", seen["restricted"])
    equal("size in the host's view of the jail", 0, os.path.getsize(jail.path("probe")))
    st = os.stat(jail.exec_file)
    equal("the program itself", (size, 0o755, 0), (st.st_size, stat.S_IMODE(st.st_mode), st.st_uid))


@case
def jail_copies_a_program_that_others_may_change(t):
    for owner, mode in ((1234, 0o755), (0, 0o775), (0, 0o757)):
        jail = Jail(t, owner=owner, ident=f"vm-{owner}-{mode}")
        os.chmod(jail.exec_file, mode)
        check_copy(jail)


@case
def jail_copies_a_program_that_only_some_may_execute(t):
    """Bound it would not be for the jail's user."""
    jail = Jail(t)
    os.chmod(jail.exec_file, 0o750)
    check_copy(jail)


def check_copy(jail):
    """It is root's, whoever's the program is: the jail's user may live there already, and would write to its own."""
    seen = probe(jail.run().stdout)
    equal("ids", f"{UID} {UID} {UID}", seen["uids"])
    st = os.stat(jail.path("probe"))
    equal("the copy", (os.path.getsize(PROBE), 0, 0, "0o555"), (st.st_size, st.st_uid, st.st_gid, oct(stat.S_IMODE(st.st_mode))))


@case
def jail_follows_a_link_to_the_program_and_has_its_name(t):
    jail = Jail(t)
    os.symlink(jail.exec_file, t.path("link"))
    equal("exit status", 0, jail.run(exec_file=t.path("link")).returncode)
    equal("directories", ["probe"], os.listdir(jail.base))


@case
def jail_pid_file_is_the_monitor_s_own(t):
    jail = Jail(t)
    process = jail.start(monitor=("probe-sleep",))
    equal("pid", process.pid, jail.pid())
    jail.kill()


@case
def jail_with_new_pid_ns_writes_the_pid_that_the_host_sees(t):
    jail = Jail(t)
    out = open(t.path("out"), "w+", encoding="ascii")
    process = jail.start("--new-pid-ns", monitor=("probe-sleep",), stdout=out)
    equal("exit status of the jailer", 0, process.wait(20))
    pid = jail.pid()
    status = open(f"/proc/{pid}/status", encoding="ascii").read()
    equal("pids", [str(pid), "1"], next(line for line in status.splitlines() if line.startswith("NSpid")).split()[1:])
    wait_until("the probe's words", lambda: "end 1" in open(t.path("out"), encoding="ascii").read())
    equal("pid inside", "1", probe(open(t.path("out"), encoding="ascii").read())["pid"])
    jail.kill()
    out.close()


@case
def jail_says_what_it_shares_with_the_host(t):
    network, ids = "network and abstract Unix sockets (--netns)", "process ids and signals (--new-pid-ns)"
    for more, shared in (((), f"{network}, {ids}"), (("--netns", "/proc/self/ns/net"), ids),
                         (("--daemonize", "--new-pid-ns"), network), (("--netns", "/proc/self/ns/net", "--new-pid-ns"), None)):
        jail = Jail(t, ident=f"vm-{len(t.at_end)}")
        done = jail.run(*more)
        equal(f"stderr, {more}", "", done.stderr)
        said = [line for line in done.stdout.splitlines() if line.startswith("Warning!")]
        equal(f"warnings, {more}", bool(shared), bool(said))
        if shared:
            contains("warning", f"Warning! This jail shares with the host: {shared}. Seccomp", said[0])


@case
def jail_tells_the_monitor_its_own_cpu_time_and_the_jailer_s(t):
    """The reference's: what exec finds on the process's clock, and that of all processes of the jailer."""
    for number, more in enumerate(((), ("--new-pid-ns",), ("--daemonize",), ("--daemonize", "--new-pid-ns"))):
        jail = Jail(t, ident=f"vm-{number}")
        process = jail.start(*more, monitor=("probe-sleep",))
        if more:
            equal("exit status of the jailer", 0, process.wait(20))
        _, words = jail.monitor()
        own, all_of_them = (int(words[words.index(f"--{name}-us") + 1]) for name in ("start-time-cpu", "parent-cpu-time"))
        equal(f"{more}: {own} microseconds of {all_of_them} are the process's", True,
              0 < own < all_of_them if more else 0 < own == all_of_them)
        jail.kill()


@case
def jail_daemonized_is_in_a_session_without_leading_it(t):
    jail = Jail(t)
    process = jail.start("--daemonize", monitor=("probe-sleep",))
    equal("exit status of the jailer", 0, process.wait(20))
    pid = jail.pid()
    equal("another process", True, pid != process.pid)
    equal("session", (True, True), (os.getsid(pid) != os.getsid(0), os.getsid(pid) != pid))
    equal("standard streams", {"/dev/null"}, {os.readlink(f"/proc/{pid}/fd/{fd}") for fd in range(3)})
    jail.kill()


@case
def jail_daemonized_in_a_pid_ns_is_process_1(t):
    jail = Jail(t)
    equal("exit status of the jailer", 0, jail.start("--daemonize", "--new-pid-ns", monitor=("probe-sleep",)).wait(20))
    status = open(f"/proc/{jail.pid()}/status", encoding="ascii").read()
    contains("status", "\t1\n", next(line + "\n" for line in status.splitlines() if line.startswith("NSpid")))
    jail.kill()


@case
def jail_that_fails_in_the_background_is_told_where_it_was_started(t):
    """The file is no program: exec fails, behind two forks."""
    for more in (("--daemonize",), ("--new-pid-ns",), ("--daemonize", "--new-pid-ns"), ()):
        jail = Jail(t)
        with open(jail.exec_file, "wb") as file:
            file.write(b"no program")
        refused(jail, jail.run(*more), "Failed to exec into Firecracker: Exec format error (os error 8)", {})


@case
def jail_keeps_what_is_there_already(t):
    jail = Jail(t)
    os.makedirs(jail.path("run"))
    os.makedirs(jail.path("old_root"))
    os.makedirs(jail.path("dev/net"))
    for name in ("kernel", "run/x", "old_root/theirs"):
        with open(jail.path(name), "w", encoding="ascii") as file:
            file.write(name)
    equal("exit status", 0, jail.run().returncode)
    for name in ("kernel", "run/x", "old_root/theirs"):
        equal(name, name, open(jail.path(name), encoding="ascii").read())


@case
def jail_a_second_time_needs_its_pid_file_gone(t):
    jail = Jail(t)
    equal("exit status", 0, jail.run().returncode)
    before = listing(jail.base)
    refused(jail, jail.run(), "Failed to open file /probe.pid: File exists (os error 17)", before)
    os.unlink(jail.path("probe.pid"))
    equal("exit status, again", 0, jail.run().returncode)


@case
def jail_with_a_foreign_device_node_is_refused(t):
    jail = Jail(t)
    os.makedirs(jail.path("dev/net"))
    os.mknod(jail.path("dev/net/tun"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    done = jail.run()
    equal("exit status", 1, done.returncode)
    contains("stderr", "Failed to create /dev/net/tun via mknod inside the jail: File exists (os error 17)", done.stderr)
    equal("node", (1, 3), (os.major(os.stat(jail.path("dev/net/tun")).st_rdev),
                           os.minor(os.stat(jail.path("dev/net/tun")).st_rdev)))


@case
def jail_gives_no_device_node_of_root_s_away_that_has_another_name(t):
    """Without that name it is what a jailer left that was killed, and becomes the jail's."""
    jail = Jail(t)
    os.makedirs(jail.path("dev/net"))
    os.mknod(jail.path("dev/net/tun"), 0o600 | stat.S_IFCHR, os.makedev(10, 200))
    os.link(jail.path("dev/net/tun"), t.path("tun"))
    done = jail.run()
    equal("exit status", 1, done.returncode)
    contains("stderr", "Failed to create /dev/net/tun via mknod inside the jail: File exists (os error 17)", done.stderr)
    equal("its owner", 0, os.stat(t.path("tun")).st_uid)
    os.unlink(t.path("tun"))
    equal("exit status, without the name", 0, jail.run().returncode)
    equal("owner", (UID, GID), (os.stat(jail.path("dev/net/tun")).st_uid, os.stat(jail.path("dev/net/tun")).st_gid))


@case
def jail_sees_what_the_host_mounts_in_it_later(t):
    """In a mount namespace of the test's own, so that nothing of it stays on this machine."""
    jail = Jail(t)
    script = f"""
mount --make-rshared / && {' '.join([JAILER, *jail.options('--daemonize')])} -- probe-sleep
pid=$(cat {jail.path('probe.pid')}) && mkdir {jail.path('late')} && mount -t tmpfs none {jail.path('late')}
touch {jail.path('late/seen')} && ls /proc/$pid/root/late; kill -9 $pid"""
    done = subprocess.run(["unshare", "--mount", "--propagation", "slave", "sh", "-c", script], capture_output=True,
                          text=True, check=False)
    equal("what the jail sees", "seen", done.stdout.splitlines()[-1])


@case
def jail_of_another_user_is_refused(t):
    """Its own user's, and root's, are accepted: clients make the tree before."""
    for owner, status in ((12345, 1), (UID, 0), (0, 0)):
        jail = Jail(t, ident=f"owner-{owner}")
        os.makedirs(jail.root)
        os.chown(jail.root, owner, owner)
        done = jail.run()
        equal(f"exit status, jail of {owner}", status, done.returncode)
        if status:
            contains("stderr", f"{jail.root} is there and belongs to user 12345, neither to root nor to {UID}", done.stderr)
            equal("jail", [], os.listdir(jail.root))


@case
def jail_on_a_file_system_without_devices_is_refused(t):
    jail = Jail(t)
    script = f"mount -t tmpfs -o nodev none {jail.base} && exec {JAILER} {' '.join(jail.options())}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    refused(jail, done, "is on a file system that is mounted nodev", {})


@case
def jail_closes_what_it_inherits(t):
    jail = Jail(t)
    ends = socket.socketpair()
    seen = probe(jail.run(pass_fds=[end.fileno() for end in ends]).stdout)
    equal("fds", "0 1 2", seen["fds"])


@case
def jail_keeps_sockets_and_taps_in_their_order(t):
    jail = Jail(t)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(t.path("api"))
    listener.listen()
    tap = open_tap()
    keep = ("--keep-fd", f"{tap}=tap0", "--keep-fd", str(listener.fileno()))
    for more, pid in (((), None), (("--new-pid-ns",), "1")):
        done = jail.run(*keep, *more, pass_fds=(tap, listener.fileno()))
        equal("stderr", "", done.stderr)
        wait_until("the pid file", lambda: os.path.exists(jail.path("probe.pid")))
        seen = probe(done.stdout)
        equal("fds", "0 1 2 3 4", seen["fds"])
        equal("environment", ["LISTEN_FDS=2", f"LISTEN_PID={pid or seen['pid']}", "LISTEN_FDNAMES=tap0:unknown"],
              seen["env"])
        os.unlink(jail.path("probe.pid"))
    os.close(tap)
    listener.close()


@case
def jail_keeps_no_other_kind_of_descriptor(t):
    jail = Jail(t)
    ends = socket.socketpair()
    file = open(t.path("probe"), "rb")
    reader, writer = os.pipe()
    tun = os.open("/dev/net/tun", os.O_RDWR)
    for fd, what in ((ends[0].fileno(), "another kind of socket"), (file.fileno(), "a file"), (reader, "a pipe"),
                     (tun, "/dev/net/tun, but no TAP: TUNSETIFF with IFF_TAP, IFF_NO_PI and IFF_VNET_HDR makes it one")):
        refused(jail, jail.run("--keep-fd", str(fd), pass_fds=(fd,)), f"--keep-fd {fd} is {what}", {})
    for text, sentence in (("900", "--keep-fd 900: Bad file descriptor (os error 9)"), ("1", "0, 1 and 2 are kept anyway"),
                           ("x", "N or N=NAME is expected"), ("9999999", "N or N=NAME is expected"),
                           ("5=a b", "N or N=NAME is expected"), ("5=", "N or N=NAME is expected")):
        refused(jail, jail.run("--keep-fd", text), sentence, {})
    for end in (*ends, file):
        end.close()
    for fd in (reader, writer, tun):
        os.close(fd)


REFUSED = [
    ("no_id", {"id": None}, "Failed to parse arguments: Argument 'id' required, but not found."),
    ("no_exec_file", {"exec_file": None}, "Failed to parse arguments: Argument 'exec-file' required, but not found."),
    ("id_with_underscore", {"id": "a_b"}, "Invalid instance ID: Invalid char (_) at position 1"),
    ("id_with_slash", {"id": "../x"}, "Invalid instance ID: Invalid char (.) at position 0"),
    ("id_too_long", {"id": "a" * 65}, "Invalid instance ID: Invalid len (65);  the length must be between 1 and 64"),
    ("exec_file_missing", {"exec_file": "/nowhere/x"},
     "Failed to canonicalize path /nowhere/x: No such file or directory (os error 2)"),
    ("exec_file_a_directory", {"exec_file": "/tmp"}, "/tmp is not a file"),
    ("exec_file_of_nobody_s_to_run", {"exec_file": "/etc/passwd"}, "/etc/passwd may not be executed: its mode is 644. chmod a+x"),
    ("base_missing", {"chroot_base_dir": "/nowhere"},
     "Failed to canonicalize path /nowhere: No such file or directory (os error 2)"),
    ("base_a_file", {"chroot_base_dir": "/etc/passwd"}, "/etc/passwd is not a directory"),
    ("uid_a_word", {"uid": "root"}, "Invalid uid: root"),
    ("uid_negative", {"uid": "-1"}, "Invalid uid: -1"),
    ("uid_of_no_change", {"uid": "4294967295"}, "Invalid uid: 4294967295"),
    ("gid_too_large", {"gid": "4294967296"}, "Invalid gid: 4294967296"),
    ("netns_missing", {"netns": "/nowhere"}, "Failed to open file /nowhere: No such file or directory (os error 2)"),
    ("netns_that_is_none", {"netns": "/etc/passwd"}, "Failed to join network namespace: netns: Invalid argument"),
    ("cgroup_version", {"cgroup_version": "3"}, "Invalid cgroup version: 3"),
    ("parent_above", {"parent_cgroup": "a/../b"}, "Parent cgroup path is invalid. Path should not be absolute or "
                                                  "contain '..' or '.'"),
    ("parent_too_long", {"parent_cgroup": "a/" + "b" * 300}, "A path has less than 2048 bytes, and each part of it less than 255"),
    ("cgroup_that_moves_processes", {"cgroup": "cgroup.procs=1"}, "Cgroup invalid file: cgroup.procs acts on processes"),
    ("cgroup_that_freezes", {"cgroup": "freezer.state=FROZEN"}, "Cgroup invalid file: freezer.state acts on processes"),
    ("parent_absolute", {"parent_cgroup": "/a"}, "Parent cgroup path is invalid."),
    ("cgroup_without_value", {"cgroup": "cpu.shares="}, "Invalid format for cgroups: cpu.shares="),
    ("cgroup_of_two_values", {"cgroup": "cpu.shares=1=2"}, "Invalid format for cgroups: cpu.shares=1=2"),
    ("cgroup_without_controller", {"cgroup": "tasks=1"}, "Cgroup invalid file: tasks"),
    ("cgroup_with_a_path", {"cgroup": "cpu.x/../y=1"}, "Cgroup invalid file: cpu.x/../y"),
    ("cgroup_of_no_controller", {"cgroup": "nothing.max=1", "cgroup_version": "1"}, "Controller nothing is unavailable"),
    ("cgroup_of_no_file", {"cgroup": "pids.nothing=1", "cgroup_version": "1"},
     "--cgroup pids.nothing: this host's cgroups are of version 1, where there is no such file: /sys/fs/cgroup/pids/"),
    ("cgroup_that_refuses_its_value", {"cgroup": "pids.max=many", "cgroup_version": "1"},
     "pids.max = many: Invalid argument (os error 22)"),
    ("limit_without_value", {"resource_limit": "fsize"}, "Invalid format for resources limits: fsize"),
    ("limit_unknown", {"resource_limit": "cpu=1"}, "Invalid resource argument: cpu"),
    ("limit_a_word", {"resource_limit": "fsize=x"}, "Invalid limit value for resource: x: "),
    ("a_size_in_which_no_pid_file_fits", {"resource_limit": "fsize=0"},
     "Failed to open file /probe.pid: File too large (os error 27)"),
    ("too_few_files", {"resource_limit": "no-file=3"}, "No file descriptors available (os error 24)"),
]


def bad_input(name, replaced, sentence):
    def run(t):
        jail = Jail(t)
        before, cgroups = mounts(t.dir), listing("/sys/fs/cgroup/pids")
        refused(jail, jail.run(**replaced), sentence, {})
        equal("mounts of the host", before, mounts(t.dir))
        equal("cgroups", cgroups.keys(), listing("/sys/fs/cgroup/pids").keys())
    run.__name__ = f"jail_is_refused_for_{name}"
    return run


for _row in REFUSED:
    case(bad_input(*_row))


@case
def jail_for_a_netns_that_is_a_fifo_is_refused(t):
    jail = Jail(t)
    os.mkfifo(t.path("fifo"))
    refused(jail, jail.run(netns=t.path("fifo")), "Failed to join network namespace: netns: Invalid argument", {})


@case
def jail_of_a_program_whose_interpreter_is_not_there_says_so(t):
    jail = Jail(t, program="/bin/true")
    refused(jail, jail.run(), "(/probe in the jail ", {})
    contains("stderr", "It is there: what it is run by is not.", jail.run().stderr)


@case
def jail_whose_kvm_is_another_device_is_refused(t):
    jail = Jail(t)
    os.makedirs(jail.path("dev"))
    os.mknod(jail.path("dev/kvm"), 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    done = jail.run()
    equal("exit status", 1, done.returncode)
    contains("stderr", f"What is there is not the device 10:232 with mode 600 and owner {UID}:{GID}: remove it", done.stderr)


@case
def jail_refused_with_a_file_for_its_words_says_them_whatever_the_limit(t):
    jail = Jail(t)
    with open(t.path("words"), "w+", encoding="ascii") as words:
        done = subprocess.run([JAILER, *jail.options("--resource-limit", "fsize=0")], stderr=words, stdin=subprocess.DEVNULL,
                              stdout=subprocess.DEVNULL, check=False)
    equal("exit status", 1, done.returncode)
    contains("words", "Failed to open file /probe.pid: File too large (os error 27)", t.read("words"))


@case
def jail_whose_place_for_the_program_is_a_link_is_refused(t):
    """Of both kinds, for a program that is bound and one that is copied: nothing is written through it."""
    for owner in (0, 1234):
        jail = Jail(t, owner=owner)
        os.makedirs(jail.root)
        t.write("victim", "theirs")
        os.symlink(t.path("victim"), jail.path("probe"))
        before = listing(jail.base)
        refused(jail, jail.run(), f"Failed to open {jail.root}/probe: Symbolic link loop (os error 40)", before)
        os.unlink(jail.path("probe"))
        os.link(t.path("victim"), jail.path("probe"))
        refused(jail, jail.run(), f"Detected hard link at: {jail.root}/probe", listing(jail.base))
        equal("victim", "theirs", t.read("victim"))
        shutil.rmtree(jail.base)


@case
def jail_whose_directories_are_links_is_refused(t):
    for depth, name in enumerate(("probe", "probe/vm-1", "probe/vm-1/root", "probe/vm-1/root/dev", "probe/vm-1/root/run")):
        jail = Jail(t)
        victim = t.path(f"victim{depth}")
        os.makedirs(victim)
        os.makedirs(os.path.dirname(os.path.join(jail.base, name)), exist_ok=True)
        os.symlink(victim, os.path.join(jail.base, name))
        done = jail.run()
        equal(f"exit status, {name}", 1, done.returncode)
        equal(f"victim, {name}", ([], 0), (os.listdir(victim), os.stat(victim).st_uid))
        if depth > 2:  # nothing of what was there has another owner
            contains("stderr", f"Failed to open directory /{os.path.basename(name)} in the jail: Not a directory", done.stderr)
            equal("owner of the root", 0, os.stat(jail.root).st_uid)
        shutil.rmtree(jail.base)


@case
def jail_says_that_it_needs_root(t):
    jail = Jail(t)
    done = jail.run(prefix=("setpriv", "--reuid=65533", "--regid=65533", "--clear-groups"))
    refused(jail, done, "The jailer has to be started by root", {})


@case
def jail_answers_help_and_version_by_its_name(t):
    for name, first in (("jailer", "Jailer v1.16.1"), ("mayfly-jailer", "Mayfly jailer v")):
        shutil.copy(JAILER, t.path(name))
        version = subprocess.run([t.path(name), "--version", "--nonsense", "--keep-fd", "900"], capture_output=True, text=True,
                                 check=True)
        equal(f"first words of {name}", first, version.stdout[:len(first)])
        text = subprocess.run([t.path(name), "-h"], capture_output=True, text=True, check=True).stdout
        contains("help", "--chroot-base-dir <chroot-base-dir>", text)
        contains("help", '[default: "/srv/jailer"]', text)


@case
def jail_that_would_make_more_than_can_be_taken_back_is_refused(t):
    before = os.listdir("/sys/fs/cgroup/pids")
    jail = Jail(t)
    done = jail.run("--cgroup", "pids.max=9", "--cgroup-version", "1", "--parent-cgroup", "/".join(["mayfly-deep", *["a"] * 70]))
    refused(jail, done, "A run makes at most 64 directories and files, and a would be one more: fewer levels of --parent-cgroup "
            "or fewer controllers are needed", {})
    equal("cgroups", before, os.listdir("/sys/fs/cgroup/pids"))


@case
def jail_with_closed_standard_streams_runs(t):
    jail = Jail(t)
    words = " ".join(jail.options())
    done = subprocess.run(["sh", "-c", f"exec {JAILER} {words} <&- >&- 2>&-"], cwd=t.dir, check=False)
    equal("exit status", 0, done.returncode)


@case
def jail_has_its_limits(t):
    jail = Jail(t)
    seen = probe(jail.run("--resource-limit", "no-file=100", "--resource-limit", "fsize=4096").stdout)
    equal("limits", ("100 100", "4096"), (seen["no_file"], seen["fsize"]))


@case
def jail_cgroup_v1_has_its_values_and_the_monitor(t):
    jail = Jail(t, ident="cgroup-1")
    values = {"pids.max": "7", "cpuset.cpus": "0", "cpuset.mems": "0", "cpu.shares": "2048"}
    more = [word for name, value in values.items() for word in ("--cgroup", f"{name}={value}")]
    process = jail.start(*more, "--cgroup-version", "1", "--parent-cgroup", "mayfly-test/deeper",
                         monitor=("probe-sleep",))
    jail.pid()
    try:
        for name, value in values.items():
            directory = f"/sys/fs/cgroup/{name.split('.')[0]}/mayfly-test/deeper/cgroup-1"
            wait_until(f"the process in {directory}",
                       lambda directory=directory: open(f"{directory}/tasks", encoding="ascii").read() ==
                       f"{process.pid}\n")
            equal(name, value, open(f"{directory}/{name}", encoding="ascii").read().strip())
    finally:
        jail.kill()
        for controller in {name.split(".")[0] for name in values}:
            for directory in ("mayfly-test/deeper/cgroup-1", "mayfly-test/deeper", "mayfly-test"):
                wait_until("an empty cgroup", lambda c=controller, d=directory: try_rmdir(f"/sys/fs/cgroup/{c}/{d}"))


@case
def jail_at_its_memory_limit_is_killed_and_others_live(t):
    hungry, other = Jail(t, ident="hungry"), Jail(t, ident="other")
    limits = ("--cgroup", "memory.limit_in_bytes=33554432", "--cgroup-version", "1", "--parent-cgroup", "mayfly-oom")
    living = other.start(*limits, monitor=("probe-sleep",))
    other.pid()
    try:
        equal("end of the hungry one", -9, hungry.run(*limits, monitor=("probe-eat",), timeout_s=30).returncode)
        equal("the other one lives", None, living.poll())
    finally:
        other.kill()
        for directory in ("mayfly-oom/hungry", "mayfly-oom/other", "mayfly-oom"):
            wait_until("an empty cgroup", lambda d=directory: try_rmdir(f"/sys/fs/cgroup/memory/{d}"))


@case
def jail_that_fails_leaves_no_cgroup(t):
    jail = Jail(t)
    os.makedirs(jail.root)
    with open(jail.path("probe.pid"), "w", encoding="ascii") as file:
        file.write("1")
    done = jail.run("--cgroup", "pids.max=5", "--cgroup-version", "1", "--parent-cgroup", "mayfly-left")
    contains("stderr", "probe.pid: File exists", done.stderr)
    equal("cgroup", False, os.path.exists("/sys/fs/cgroup/pids/mayfly-left"))


@case
def jailed_monitor_that_is_process_1_ends_by_sigterm_and_sigint(t):
    """The default action of a signal does nothing to a PID namespace's first process."""
    for number in (signal.SIGTERM, signal.SIGINT):
        jail = Jail(t, program=BINARY, name="firecracker", ident=f"guest-{int(number)}")
        equal("exit status of the jailer", 0, jail.start("--new-pid-ns").wait(20))
        pid = jail.pid()
        jail.api()
        os.kill(pid, number)
        wait_until(f"the end by {number.name}", lambda pid=pid: is_dead(pid))


def booted(t):
    """A jail whose monitor has a guest that prints numbers, by requests to its API: it, the monitor's pid, a client."""
    jail = Jail(t, program=BINARY, name="firecracker", ident="guest-1")
    os.makedirs(jail.root)
    shutil.copy(guest("numbers"), jail.path("kernel"))
    os.chmod(jail.path("kernel"), 0o644)
    with open(t.path("out"), "w", encoding="latin-1") as out:
        equal("exit status of the jailer", 0, jail.start("--new-pid-ns", stdout=out).wait(20))
    pid, client = jail.pid(), jail.api()
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    client.put("/boot-source", {"kernel_image_path": "/kernel"})
    client.put("/actions", {"action_type": "InstanceStart"})
    wait_until("numbers", lambda: "0003" in t.read("out"))
    return jail, pid, client


@case
def jailed_monitor_boots_by_its_api(t):
    _, pid, client = booted(t)
    equal("state", "Running", client.get("/")["state"])
    equal("comm", "firecracker\n", open(f"/proc/{pid}/comm", encoding="ascii").read())


@case
def jailed_monitor_has_no_rights_and_filters(t):
    _, pid, _ = booted(t)
    status = open(f"/proc/{pid}/status", encoding="ascii").read()
    for line in (f"Uid:\t{UID}\t{UID}\t{UID}\t{UID}", "Seccomp:\t2", "NoNewPrivs:\t1", "CapEff:\t0000000000000000"):
        contains("status", line, status)


@case
def jailed_monitor_is_not_dumpable(t):
    """Nobody of its own user reads its memory."""
    _, pid, _ = booted(t)
    equal("owner of its /proc", 0, os.stat(f"/proc/{pid}/mem").st_uid)


@case
def jailed_monitor_s_snapshot_goes_on_in_another_jail(t):
    jail, _, client = booted(t)
    client.state("Paused")
    client.put("/snapshot/create", {"snapshot_path": "/state", "mem_file_path": "/memory"})
    jail.kill()
    last = numbers(t.read("out"))[-1]
    restored = Jail(t, program=BINARY, name="firecracker", ident="guest-2")
    os.makedirs(restored.root)
    for name in ("state", "memory"):
        os.rename(jail.path(name), restored.path(name))
    with open(t.path("out2"), "w", encoding="latin-1") as out:
        restored.start("--new-pid-ns", stdout=out).wait(20)
    restored.pid()
    restored.api().put("/snapshot/load", {
        "snapshot_path": "/state", "mem_backend": {"backend_type": "File", "backend_path": "/memory"},
        "resume_vm": True})
    wait_until(f"numbers beyond {last:#x}", lambda: max(numbers(t.read("out2")), default=0) > last + 1)
