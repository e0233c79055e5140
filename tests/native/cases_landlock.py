# SPDX-License-Identifier: Apache-2.0
"""Landlock in the running monitor: --allow-path, and what happens without Landlock. What each thread may not do is
tests/security/escape's."""

import errno
import os

from api import Served
from jail_tools import FAIL_CALL
from native import case, contains, equal, guest

CREATE_RULESET = "444"  # landlock_create_ruleset


def allowed(t, *more):
    os.makedirs(t.path("mine"))
    os.makedirs(t.path("others"))
    t.disk("mine/disk")
    t.disk("others/disk")
    return Served(t, "--allow-path", "mine", "--allow-path", os.path.dirname(guest("numbers")), *more, name="mine/s",
                  may_leave={"mine", "others"})


def drive(path):
    return {"drive_id": "a", "path_on_host": path, "is_root_device": False, "is_read_only": False}


@case
def allow_path_leaves_those_and_names_itself_where_it_refuses(t):
    served = allowed(t)
    client = served.connect()
    client.put("/drives/a", drive("mine/disk"))
    reply = client.ask("PUT", "/drives/a", drive("others/disk"))
    equal("status", 400, reply.status)
    contains("fault", "Permission denied (os error 13)", reply.fault)
    contains("fault", "--allow-path leaves this process mine and others: name the directory by another --allow-path",
             reply.fault)
    equal("the drive is as before", "mine/disk", client.get("/vm/config")["drives"][0]["path_on_host"])
    client.boot(guest("numbers"))
    served.vm.await_output("0002")
    reply = client.ask("PATCH", "/drives/a", {"drive_id": "a", "path_on_host": "others/disk"})
    equal("status of PATCH", 400, reply.status)
    contains("fault of PATCH", "name the directory by another --allow-path", reply.fault)
    client.state("Paused")
    client.put("/snapshot/create", {"snapshot_path": "mine/state", "mem_file_path": "mine/memory"})
    reply = client.ask("PUT", "/snapshot/create", {"snapshot_path": "others/state", "mem_file_path": "others/memory"})
    contains("fault of a snapshot", "name the directory by another --allow-path", reply.fault)
    equal("nothing was written", ["disk"], os.listdir(t.path("others")))
    served.stop()


@case
def allow_path_that_is_not_there_is_refused(t):
    end = t.run("--api-sock", "s", "--allow-path", "nowhere")
    equal("status", 1, end.status)
    contains("stderr", "--allow-path nowhere: No such file or directory (os error 2)", end.err)


@case
def allow_path_refuses_the_api_s_socket_elsewhere(t):
    os.makedirs(t.path("mine"))
    end = t.run("--api-sock", "s", "--allow-path", "mine")
    equal("status", 1, end.status)
    contains("stderr", "name the directory by another --allow-path", end.err)


@case
def without_landlock_in_the_kernel_it_is_a_line_in_the_log(t):
    t.config("hello")
    prefix = (FAIL_CALL, CREATE_RULESET, str(errno.ENOSYS))
    end = t.run("--no-api", "--config-file", "vm.json", "--log-path", "log", prefix=prefix)
    t.expect_end(end)
    contains("log", "This kernel has no Landlock: threads may open what this process's user may.", t.log)


@case
def without_landlock_in_the_kernel_who_requires_it_is_refused(t):
    prefix = (FAIL_CALL, CREATE_RULESET, str(errno.EOPNOTSUPP))
    for words in (("--require-landlock",), ("--allow-path", "/tmp")):
        end = t.run("--api-sock", "s", *words, prefix=prefix)
        equal(f"status, {words}", 1, end.status)
        contains("stderr", f"This kernel has no Landlock, which {words[0]} asks for.", end.err)


@case
def no_landlock_excludes_what_needs_it(t):
    for words in (("--require-landlock",), ("--allow-path", "/tmp")):
        end = t.run("--api-sock", "s", "--no-landlock", *words)
        equal(f"status, {words}", 153, end.status)


@case
def walls_that_cannot_be_put_up_end_the_process(t):
    """seccomp(2), prctl, capset and landlock_restrict_self refused by the kernel: nobody runs with less."""
    for number, sentence in (("157", "prctl(PR_SET_NO_NEW_PRIVS): "), ("317", "Installing the seccomp filter start: "), ("126", "Giving up capabilities: "),
                             ("446", "Landlock: landlock_restrict_self: ")):
        end = t.run("--api-sock", "s", prefix=(FAIL_CALL, number, str(errno.EPERM)))
        equal(f"status, {number}", 1, end.status)
        contains("stderr", sentence, end.err)
