# SPDX-License-Identifier: Apache-2.0
"""Jails as node agents start them: the clients' own lists of arguments (clients.md B2), inherited descriptors as the
monitor finds them, limits that bind, network namespaces, crowds."""

import json
import os
import shutil
import socket
import subprocess

from api import Client
from jail_tools import BUILD, GID, JAILER, UID, Jail, is_dead, listing, mounts, open_tap, probe, refused, remove_cgroups, try_rmdir
from native import BINARY, case, contains, equal, guest, skip, wait_until
from snapshot_tools import numbers

REFERENCE_NAME = os.path.join(BUILD, "compat/jailer")


def environment(pid):
    with open(f"/proc/{pid}/environ", encoding="ascii") as file:
        return [word for word in file.read().split("\0") if word]


def open_fds(pid):
    return {int(fd): os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")}


def listening(path):
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()
    return listener


@case
def jail_names_kept_descriptors_to_the_process_that_ends_up_there(t):
    listener = listening(t.path("api"))
    tap = open_tap()
    keep = ("--keep-fd", f"{listener.fileno()}=api", "--keep-fd", f"{tap}=tap0")
    for number, (more, own_pid) in enumerate((((), None), (("--daemonize",), None), (("--new-pid-ns",), "1"),
                                              (("--daemonize", "--new-pid-ns"), "1"))):
        jail = Jail(t, ident=f"keep-{number}")
        process = jail.start(*keep, *more, monitor=("probe-sleep",), pass_fds=(tap, listener.fileno()))
        if more:
            equal("exit status of the jailer", 0, process.wait(20))
        pid = jail.pid()
        wait_until("the program", lambda pid=pid: os.readlink(f"/proc/{pid}/exe").endswith("/probe"))
        equal(f"environment, {more}", ["LISTEN_FDS=2", f"LISTEN_PID={own_pid or pid}", "LISTEN_FDNAMES=api:tap0"],
              environment(pid))
        fds = open_fds(pid)
        equal(f"descriptors, {more}", (list(range(5)), True, "/dev/net/tun"),
              (sorted(fds), fds[3].startswith("socket:"), fds[4]))
        jail.kill()
    os.close(tap)
    listener.close()


@case
def jailed_monitor_serves_an_inherited_socket_and_takes_an_inherited_tap(t):
    listener = listening(t.path("theirs"))
    tap = open_tap()
    jail = Jail(t, program=BINARY, name="firecracker")
    place_kernel(jail)
    process = jail.start("--keep-fd", f"{listener.fileno()}=api", "--keep-fd", f"{tap}=tap0", "--new-pid-ns",
                         pass_fds=(tap, listener.fileno()))
    equal("exit status of the jailer", 0, process.wait(20))
    pid = jail.pid()
    client = Client(t.path("theirs"))
    client.put("/network-interfaces/eth0", {"iface_id": "eth0", "host_dev_name": "fd:4"})
    equal("interfaces", ["fd:4"],
          [interface["host_dev_name"] for interface in client.get("/vm/config")["network-interfaces"]])
    client.put("/boot-source", {"kernel_image_path": "/kernel"})
    client.put("/actions", {"action_type": "InstanceStart"})
    equal("state", "Running", client.get("/")["state"])
    equal("a TAP among its descriptors", True, "/dev/net/tun" in open_fds(pid).values())
    equal("socket of its own", False, os.path.exists(jail.path("run/firecracker.socket")))
    jail.kill()
    os.close(tap)
    listener.close()


@case
def jail_keeps_no_socket_that_is_of_another_kind(t):
    kinds = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), socket.socket(socket.AF_INET)]
    kinds[1].bind(t.path("datagrams"))
    kinds[2].bind(("127.0.0.1", 0))
    kinds[2].listen()
    jail = Jail(t)
    for end in kinds:
        refused(jail, jail.run("--keep-fd", str(end.fileno()), pass_fds=(end.fileno(),)),
                f"--keep-fd {end.fileno()} is another kind of socket", {})
        end.close()
    listener = listening(t.path("twice"))
    keep = ("--keep-fd", str(listener.fileno()))
    refused(jail, jail.run(*keep, *keep, pass_fds=(listener.fileno(),)),
            f"--keep-fd {listener.fileno()} was given more than once", {})
    listener.close()


@case
def jail_joins_a_network_namespace_by_any_path(t):
    """By its file and by a link to that; the monitor's is that one, not the host's."""
    holder = subprocess.Popen(["unshare", "--net", "sleep", "60"])
    try:
        path = f"/proc/{holder.pid}/ns/net"
        wait_until("a namespace", lambda: os.readlink(path) != os.readlink("/proc/self/ns/net"))
        os.symlink(path, t.path("link"))
        for number, name in enumerate((path, t.path("link"))):
            jail = Jail(t, ident=f"net-{number}")
            jail.start("--netns", name, monitor=("probe-sleep",))
            pid = jail.pid()
            equal(f"namespace, by {name}", os.readlink(path), os.readlink(f"/proc/{pid}/ns/net"))
            jail.kill()
    finally:
        holder.kill()
        holder.wait()


@case
def jail_gives_null_for_each_closed_standard_stream(t):
    for number, closed in enumerate(((0,), (1,), (2,), (0, 1, 2))):
        jail = Jail(t, ident=f"closed-{number}")

        def close(closed=closed):
            for fd in closed:
                os.close(fd)
        process = subprocess.Popen([JAILER, *jail.options(), "--", "probe-sleep"], cwd=t.dir, stdin=subprocess.PIPE,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=close)
        jail.pids.append(process.pid)
        pid = jail.pid()
        wait_until("the program", lambda pid=pid: os.readlink(f"/proc/{pid}/exe").endswith("/probe"))
        # It opens directories of its own for a moment.
        wait_until("three descriptors", lambda pid=pid: len(open_fds(pid)) == 3)
        fds = open_fds(pid)
        equal(f"descriptors without {closed}", ([0, 1, 2], set(closed)),
              (sorted(fds), {fd for fd, what in fds.items() if what == "/dev/null"}))
        jail.kill()
        for stream in (process.stdin, process.stdout, process.stderr):
            stream.close()


@case
def jail_whose_urandom_is_foreign_warns_and_runs(t):
    """The words reach whoever reads by a pipe: what stdio keeps is gone with exec."""
    for more in ((), ("--new-pid-ns",), ("--daemonize",)):
        jail = Jail(t, ident=f"random{''.join(more)}")
        os.makedirs(jail.path("dev"))
        os.mknod(jail.path("dev/urandom"), 0o600 | 0o020000, os.makedev(1, 3))
        done = jail.run(*more)
        equal("exit status", 0, done.returncode)
        contains("stdout", "Warning! Could not create /dev/urandom device inside jailer: Failed to create /dev/urandom via "
                 "mknod inside the jail: File exists (os error 17). What is there is not the device 1:9 with mode 600 and "
                 f"owner {UID}:{GID}: remove it.\nMMDS version 2 will not be available to use.\n", done.stdout)


@case
def jail_on_a_file_system_of_its_own_runs(t):
    jail = Jail(t)
    script = f"mount -t tmpfs none {jail.base} && exec {JAILER} {' '.join(jail.options())}"
    done = subprocess.run(["unshare", "--mount", "sh", "-c", script], capture_output=True, text=True, check=False)
    equal("exit status, stderr", (0, ""), (done.returncode, done.stderr))
    equal("root", {"dev", "run", "probe", "probe.pid"}, set(probe(done.stdout)["root"].split()))


# ---------------------------------------------------------------- limits

@case
def jail_cgroup_v1_ancestors_are_filled_from_above(t):
    """A cpuset is of no use before cpus and mems are set all the way down."""
    jail = Jail(t, ident="filled")
    more = ("--cgroup", "cpuset.mems=0", "--cgroup", "cpuset.cpus=0", "--cgroup-version", "1", "--parent-cgroup",
            "mayfly-fill/a//b")
    process = jail.start(*more, monitor=("probe-sleep",))
    top = "/sys/fs/cgroup/cpuset"
    try:
        equal("pid", process.pid, jail.pid())
        for name in ("cpuset.cpus", "cpuset.mems"):
            everything = open(f"{top}/{name}", encoding="ascii").read()
            for level in ("mayfly-fill", "mayfly-fill/a", "mayfly-fill/a/b"):
                equal(f"{level}/{name}", everything, open(f"{top}/{level}/{name}", encoding="ascii").read())
        wait_until("the monitor in it", lambda: open(f"{top}/mayfly-fill/a/b/filled/tasks", encoding="ascii").read() ==
                   f"{process.pid}\n")
    finally:
        jail.kill()
        for parent, name in (("mayfly-fill/a/b", "filled"), ("mayfly-fill/a", "b"), ("mayfly-fill", "a")):
            remove_cgroups(parent, name)


@case
def jail_cgroup_v1_half_a_cpuset_is_refused(t):
    """Without mems nobody may enter a cpuset: the kernel says so when the monitor is moved."""
    jail = Jail(t)
    done = jail.run("--cgroup", "cpuset.cpus=0", "--cgroup-version", "1", "--parent-cgroup", "mayfly-half")
    refused(jail, done, "Failed to move process to cgroup (mayfly-half/vm-1): No space left on device (os error 28) (ENOSPC): "
            "a cpuset needs cpuset.cpus and cpuset.mems", {})
    equal("cgroup", False, os.path.exists("/sys/fs/cgroup/cpuset/mayfly-half"))


@case
def jail_at_its_limit_of_processes_gets_no_more(t):
    jail = Jail(t, ident="few")
    done = jail.run("--cgroup", "pids.max=4", "--cgroup-version", "1", "--parent-cgroup", "mayfly-pids",
                    monitor=("probe-fork",))
    remove_cgroups("mayfly-pids", "few")
    equal("children", "3 EAGAIN", probe(done.stdout).get("children"))


@case
def jail_has_its_values_of_cpu_time(t):
    jail = Jail(t, ident="half")
    jail.start("--cgroup", "cpu.cfs_period_us=50000", "--cgroup", "cpu.cfs_quota_us=25000", "--cgroup-version", "1",
               "--parent-cgroup", "mayfly-cpu", monitor=("probe-sleep",))
    pid = jail.pid()
    try:
        with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
            contains("cgroups of the monitor", ":/mayfly-cpu/half\n",
                     next(line for line in file if "cpu" in line.split(":")[1].split(",")))
        for name, value in (("cpu.cfs_period_us", "50000\n"), ("cpu.cfs_quota_us", "25000\n")):
            equal(name, value, open(f"/sys/fs/cgroup/cpu/mayfly-cpu/half/{name}", encoding="ascii").read())
    finally:
        jail.kill()
        remove_cgroups("mayfly-cpu", "half")


def unified():
    """The mount of cgroup2."""
    with open("/proc/mounts", encoding="ascii") as file:
        for line in file:
            if line.split()[2] == "cgroup2":
                return line.split()[1]
    return skip("there is no cgroup2")


def cgroup_v2_of(pid):
    with open(f"/proc/{pid}/cgroup", encoding="ascii") as file:
        return next(line.strip()[3:] for line in file if line.startswith("0::"))


@case
def jail_cgroup_v2_holds_the_monitor_however_it_is_started(t):
    """By one write, or born there (CLONE_INTO_CGROUP). Files of the cgroup itself need no controller."""
    top = os.path.join(unified(), "mayfly-two")
    for number, more in enumerate(((), ("--daemonize",), ("--new-pid-ns",), ("--daemonize", "--new-pid-ns"))):
        jail = Jail(t, ident=f"two-{number}")
        jail.start("--cgroup", "cgroup.max.depth=3", "--cgroup-version", "2", "--parent-cgroup", "mayfly-two", *more,
                   monitor=("probe-sleep",))
        pid = jail.pid()
        try:
            equal(f"cgroup, {more}", f"/mayfly-two/two-{number}", cgroup_v2_of(pid))
            equal("value", "3\n", open(f"{top}/two-{number}/cgroup.max.depth", encoding="ascii").read())
        finally:
            jail.kill()
            wait_until("an empty cgroup", lambda number=number: try_rmdir(f"{top}/two-{number}"))
            try_rmdir(top)


@case
def jail_cgroup_v2_without_values_joins_its_parent_if_that_is_there(t):
    top = os.path.join(unified(), "mayfly-parent")
    more = ("--cgroup-version", "2", "--parent-cgroup", "mayfly-parent")
    for is_there in (False, True):
        jail = Jail(t, ident=f"joins{is_there}")
        if is_there:
            os.mkdir(top)
        try:
            jail.start(*more, monitor=("probe-sleep",))
            pid = jail.pid()
            equal(f"cgroup, {is_there}", "/mayfly-parent" if is_there else cgroup_v2_of("self"), cgroup_v2_of(pid))
            equal("cgroup of its own", False, os.path.exists(os.path.join(top, jail.id)))
        finally:
            jail.kill()
            if is_there:
                wait_until("an empty cgroup", lambda: try_rmdir(top))


@case
def jail_cgroup_v2_that_may_not_be_entered_is_refused_with_a_hint(t):
    """Beside a threaded one a cgroup is of the kind "domain invalid", which takes no process."""
    top = os.path.join(unified(), "mayfly-busy")
    for name in ("", "threads", "other"):
        os.mkdir(os.path.join(top, name))
    try:
        with open(f"{top}/threads/cgroup.type", "w", encoding="ascii") as file:
            file.write("threaded")
        done = Jail(t).run("--cgroup-version", "2", "--parent-cgroup", "mayfly-busy/other")
        refused(Jail(t), done, "Failed to move process to cgroup (mayfly-busy/other): Not supported "
                "(os error 95).\nHint: If you intended to create a child cgroup under mayfly-busy/other, pass any "
                "--cgroup parameters.", {})
    finally:
        for name in ("threads", "other", ""):
            os.rmdir(os.path.join(top, name))


# ---------------------------------------------------------------- clients

def place_kernel(jail, uid=UID, gid=GID):
    """The kernel in the jail's root, made before the jailer runs, as most clients do."""
    os.makedirs(jail.root, exist_ok=True)
    shutil.copy(guest("numbers"), jail.path("kernel"))
    os.chown(jail.path("kernel"), uid, gid)


def boot_by_api(client):
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    client.put("/boot-source", {"kernel_image_path": "kernel"})
    client.put("/actions", {"action_type": "InstanceStart"})
    equal("state", "Running", client.get("/")["state"])


def start(jail, command, **options):
    process = subprocess.Popen([REFERENCE_NAME, *command], cwd=jail.t.dir, stdin=subprocess.DEVNULL, **options)
    jail.pids.append(process.pid)
    return process


@case
def jail_started_as_by_the_go_sdk(t):
    """JailerConfig with a NUMA node and Daemonize; files are hard-linked in behind the start."""
    jail = Jail(t, program=BINARY, name="firecracker", ident="gosdk")
    shutil.copy(guest("numbers"), t.path("kernel"))
    process = start(jail, ["--id", jail.id, "--uid", "123", "--gid", "100", "--exec-file", jail.exec_file, "--cgroup",
                           "cpuset.mems=0", "--cgroup", "cpuset.cpus=0", "--cgroup-version", "1", "--chroot-base-dir",
                           jail.base, "--netns", "/proc/self/ns/net", "--daemonize", "--", "--no-seccomp",
                           "--api-sock", "/run/firecracker.socket"])
    try:
        equal("exit status of the jailer", 0, process.wait(20))
        pid = jail.pid()
        os.link(t.path("kernel"), jail.path("kernel"))
        client = jail.api()
        boot_by_api(client)
        status = open(f"/proc/{pid}/status", encoding="ascii").read()
        contains("status", "Uid:\t123\t123\t123\t123", status)
        contains("status", "Cpus_allowed_list:\t0\n", status)
    finally:
        jail.kill()
        remove_cgroups("firecracker", jail.id)


@case
def jail_started_as_by_kata(t):
    """As root, in the background, from a config file in the jail; then a placeholder drive gets its file."""
    jail = Jail(t, program=BINARY, name="firecracker", ident="kata-0123456789abcdef")
    place_kernel(jail, 0, 0)
    with open(jail.path("placeholder"), "wb"):
        pass
    with open(jail.path("fcConfig.json"), "w", encoding="ascii") as file:
        json.dump({"boot-source": {"kernel_image_path": "/kernel"},
                   "drives": [{"drive_id": "drive_0", "path_on_host": "/placeholder", "is_root_device": False,
                               "is_read_only": False}],
                   "machine-config": {"vcpu_count": 1, "mem_size_mib": 128}}, file)
    process = start(jail, ["--id", jail.id, "--exec-file", jail.exec_file, "--uid", "0", "--gid", "0",
                           "--chroot-base-dir", jail.base, "--daemonize", "--", "--config-file", "/fcConfig.json"])
    equal("exit status of the jailer", 0, process.wait(20))
    pid = jail.pid()
    client = jail.api()
    wait_until("a running VM", lambda: client.get("/")["state"] == "Running")
    names = {open(f"/proc/{pid}/task/{thread}/comm", encoding="ascii").read() for thread in os.listdir(f"/proc/{pid}/task")}
    equal("vCPU's thread", True, "fc_vcpu 0\n" in names)
    with open(jail.path("image"), "wb") as file:
        file.truncate(1 << 20)
    client.patch("/drives/drive_0", {"drive_id": "drive_0", "path_on_host": "/image"})
    jail.kill()


@case
def jail_started_as_by_the_nomad_driver(t):
    """In the foreground with standard streams of the executor's; a relative kernel, a log file made before; then a
    snapshot is written in the jail, moved, and loaded by the next start."""
    first = Jail(t, program=BINARY, name="firecracker", ident="nomad-1")
    place_kernel(first)
    with open(first.path("log"), "wb"):
        pass
    os.chown(first.path("log"), UID, GID)
    options = ["--exec-file", first.exec_file, "--uid", str(UID), "--gid", str(GID), "--chroot-base-dir", first.base]
    out = open(t.path("out"), "w+", encoding="latin-1")
    process = start(first, ["--id", first.id, *options, "--", "--log-path", "/log"], stdout=out)
    equal("pid", process.pid, first.pid())
    client = first.api()
    boot_by_api(client)
    wait_until("numbers", lambda: "0003" in t.read("out"))
    client.state("Paused")
    client.put("/snapshot/create", {"snapshot_path": "/vmstate", "mem_file_path": "/memory"})
    process.terminate()
    equal("end by SIGTERM", -15, process.wait(20))
    with open(first.path("log"), encoding="latin-1") as file:
        contains("log", "Running ", file.read())
    last = numbers(t.read("out"))[-1]
    second = Jail(t, program=BINARY, name="firecracker", ident="nomad-2")
    os.makedirs(second.root)
    for name in ("vmstate", "memory"):
        os.link(first.path(name), second.path(name))
    with open(t.path("out2"), "w+", encoding="latin-1") as again:
        start(second, ["--id", second.id, *options], stdout=again)
        second.pid()
        second.api().put("/snapshot/load", {"snapshot_path": "/vmstate", "mem_file_path": "/memory", "resume_vm": True})
        wait_until(f"numbers beyond {last:#x}", lambda: max(numbers(t.read("out2")), default=0) > last + 1)
        second.kill()
    out.close()


@case
def jail_is_left_for_its_client_to_remove(t):
    """The monitor's end holds nothing: one recursive removal takes all of it."""
    for more in ((), ("--new-pid-ns",), ("--daemonize",)):
        jail = Jail(t, ident=f"left{''.join(more)}")
        equal("exit status", 0, jail.run(*more).returncode)
        pid = jail.pid()
        wait_until("the end of it", lambda pid=pid: is_dead(pid))
        jail.pids = []
        shutil.rmtree(os.path.join(jail.base, "probe", jail.id))
        equal("what is left", {"probe"}, set(listing(jail.base)))


@case
def jail_a_hundred_at_once_are_each_a_whole_one(t):
    """Each with a user, a limit and a PID namespace of its own; nobody gets another one's, and all of them answer."""
    before = mounts(t.dir)
    jails = [Jail(t, program=BINARY, name="firecracker", ident=f"crowd-{number}") for number in range(100)]
    parent = ("--cgroup-version", "1", "--parent-cgroup", "mayfly-crowd")
    try:
        runs = [jail.start(*parent, "--cgroup", f"pids.max={100 + number}", "--new-pid-ns", uid=str(20000 + number))
                for number, jail in enumerate(jails)]
        equal("exit statuses of the jailers", {0}, {run.wait(60) for run in runs})
        for number, jail in enumerate(jails):
            pid, words = jail.monitor()
            equal(f"words, {jail.id}", ["/firecracker", "--id", jail.id], words[:3])
            with open(f"/proc/{pid}/status", encoding="ascii") as file:
                status = file.read()
            contains(f"user of {jail.id}", f"Uid:\t{20000 + number}\t", status)
            contains(f"process of {jail.id}", f"NSpid:\t{pid}\t1\n", status)
            with open(f"/sys/fs/cgroup/pids/mayfly-crowd/{jail.id}/pids.max", encoding="ascii") as file:
                equal(f"limit of {jail.id}", f"{100 + number}\n", file.read())
            with open(f"/sys/fs/cgroup/pids/mayfly-crowd/{jail.id}/cgroup.procs", encoding="ascii") as file:
                equal(f"who is in the cgroup of {jail.id}", f"{pid}\n", file.read())
            equal(f"answer of {jail.id}", jail.id, jail.api().get("/")["id"])
        equal("mounts of the host", before, mounts(t.dir))
    finally:
        for jail in jails:
            jail.kill()
        remove_cgroups("mayfly-crowd", *(jail.id for jail in jails))
