# SPDX-License-Identifier: Apache-2.0
"""seccomp in the running monitor: which thread is under how many filters when, filters of one's own, audit mode
(docs/seccomp.md)."""

import json
import os
import re
import subprocess

from api import Served, wait_until
from native import BINARY, case, contains, equal, guest, lacks, skip

COMPILER = os.path.join(os.path.dirname(BINARY), "mayfly-seccomp")


def threads(pid):
    """Name of a thread of the monitor's -> its values of /proc/PID/task/TID/status. KVM has one of its own there."""
    found = {}
    for tid in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{tid}/status", encoding="utf-8") as file:
            lines = dict(line.rstrip("\n").split(":\t", 1) for line in file if ":\t" in line)
        if not lines["Name"].startswith("kvm-"):
            found[lines["Name"]] = lines
    return found


def filters(pid):
    return {re.sub("^mayfly$", "main", name): (int(lines["Seccomp"]), int(lines["Seccomp_filters"]))
            for name, lines in threads(pid).items()}


def start_guest(t, *args):
    served = Served(t, *args)
    client = served.connect()
    client.boot(guest("numbers"))
    wait_until("numbers", lambda: "0002" in served.vm.out)
    return served, client


@case
def seccomp_filters_are_there_before_a_vm_and_more_with_it(t):
    served = Served(t)
    client = served.connect()
    client.get("/")
    equal("before a VM", {"main": (2, 1), "fc_api": (2, 2)}, filters(served.pid))
    client.boot(guest("numbers"))
    wait_until("numbers", lambda: "0002" in served.vm.out)
    equal("with a guest", {"main": (2, 2), "fc_api": (2, 2), "fc_vcpu 0": (2, 2)}, filters(served.pid))
    served.stop()


@case
def seccomp_without_an_api_narrows_too(t):
    t.config("numbers")
    vm = t.start_vm()
    wait_until("numbers", lambda: "0002" in vm.out)
    equal("filters", {"main": (2, 2), "fc_vcpu 0": (2, 2)}, filters(vm.pid))
    vm.signal(15)
    vm.wait()


@case
def no_seccomp_has_no_filters_but_no_new_privileges(t):
    served, _ = start_guest(t, "--no-seccomp")
    equal("filters", {(0, 0)}, set(filters(served.pid).values()))
    equal("NoNewPrivs", {"1"}, {lines["NoNewPrivs"] for lines in threads(served.pid).values()})
    served.stop()


@case
def capabilities_are_the_files_of_the_vmm_thread_and_none_of_others(t):
    served, _ = start_guest(t)
    seen = {name: (int(lines["CapEff"], 16), int(lines["CapPrm"], 16)) for name, lines in threads(served.pid).items()}
    files = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3  # CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH, CAP_FOWNER
    equal("capabilities", {"mayfly": (files, files), "fc_api": (0, 0), "fc_vcpu 0": (0, 0)}, seen)
    served.stop()


POLICY = {key: {"default_action": "allow", "filter_action": "trap", "filter": [{"syscall": "execve"}]}
          for key in ("vmm", "api", "vcpu")}


def compiled(t, policy):
    t.write("policy.json", json.dumps(policy))
    done = subprocess.run([COMPILER, "--input-file", "policy.json", "--output-file", "filters"], cwd=t.dir, text=True,
                          capture_output=True, check=False)
    return done.returncode, done.stderr


@case
def seccomp_filter_takes_the_place_of_the_built_in_ones(t):
    equal("compiler", (0, ""), compiled(t, POLICY))
    served = Served(t, "--seccomp-filter", "filters", may_leave={"policy.json", "filters"})
    client = served.connect()
    client.get("/")
    equal("before a VM", {"main": (0, 0), "fc_api": (2, 1)}, filters(served.pid))
    client.boot(guest("numbers"))
    wait_until("numbers", lambda: "0002" in served.vm.out)
    equal("with a guest", {"main": (2, 1), "fc_api": (2, 1), "fc_vcpu 0": (2, 1)}, filters(served.pid))
    served.stop()


@case
def seccomp_filter_whose_call_is_made_ends_with_148(t):
    """The log names thread, call and number; the metric counts it."""
    policy = dict(POLICY, vcpu={"default_action": "allow", "filter_action": "trap",
                                "filter": [{"syscall": "ioctl",
                                            "args": [{"index": 1, "type": "dword", "op": "eq", "val": 0xae80}]}]})
    equal("compiler", (0, ""), compiled(t, policy))
    t.config("hello")
    end = t.run_vm("--seccomp-filter", "filters", "--metrics-path", "metrics",
                   may_leave={"policy.json", "filters", "metrics"})
    equal("status", 148, end.status)
    contains("log", "The thread fc_vcpu 0 made the system call ioctl (number 16, ", t.log)
    contains("log", "Shutting down VM after intercepting a bad syscall (16).", t.log)
    equal("seccomp.num_faults", 1, t.metrics()[-1]["seccomp"]["num_faults"])


REFUSED = [
    ("no_json", "{", "EOF while parsing an object at line 1 column 1"),
    ("a_key_that_is_missing", json.dumps({key: POLICY[key] for key in ("vmm", "api")}),
     "a policy needs each of vmm, api and vcpu"),
    ("an_unknown_filter", json.dumps(dict(POLICY, blk=POLICY["vmm"])),
     "unknown member `blk`, expected one of vmm, api, vcpu, start at line 1 column"),
    ("an_unknown_call", json.dumps(POLICY).replace("execve", "exekve"), "vmm: exekve is no system call of x86_64"),
    ("an_unknown_action", json.dumps(POLICY).replace("trap", "bark"), "an action has to be allow, trap, log"),
    ("an_index_too_high", json.dumps(POLICY).replace('"execve"', '"execve", "args": [{"index": 6, "type": "dword", '
                                                     '"op": "eq", "val": 1}]'), "index has to be 0 to 5"),
    ("no_difference", json.dumps(POLICY).replace("trap", "allow"), "default_action and filter_action have to differ"),
    ("a_check_of_less_in_32_bits", json.dumps(POLICY).replace(
        '"execve"', '"execve", "args": [{"index": 1, "type": "dword", "op": "lt", "val": 1}]'),
     "only eq and masked_eq compare 32 bits"),
    ("a_value_beyond_32_bits", json.dumps(POLICY).replace(
        '"execve"', '"execve", "args": [{"index": 1, "type": "dword", "op": "eq", "val": 4294967297}]'),
     "val has bits that the comparison leaves out"),
    ("a_value_beyond_its_mask", json.dumps(POLICY).replace(
        '"execve"', '"execve", "args": [{"index": 1, "type": "dword", "op": {"masked_eq": 1}, "val": 3}]'),
     "val has bits that the comparison leaves out"),
    ("a_misspelt_member", json.dumps(POLICY).replace('"syscall"', '"sycall"'),
     "unknown member `sycall`, expected one of syscall (a name), args, comment"),
]


def refused(name, text, sentence):
    def run(t):
        t.write("policy.json", text)
        done = subprocess.run([COMPILER, "--input-file", "policy.json", "--output-file", "filters"], cwd=t.dir,
                              text=True, capture_output=True, check=False)
        equal("status", 1, done.returncode)
        contains("stderr", sentence, done.stderr)
        equal("files", ["policy.json"], os.listdir(t.dir))
    run.__name__ = f"seccomp_policy_with_{name}_is_refused"
    return run


for _row in REFUSED:
    case(refused(*_row))


WORDS = [
    ("nothing", [], "--input-file and --output-file are needed, or --list"),
    ("an_unknown_word", ["--inputfile", "x"], "Found argument 'inputfile' which wasn't expected"),
    ("a_word_twice", ["--list", "--input-file", "x", "--input-file", "y"],
     "The argument 'input-file' was provided more than once."),
    ("another_machine", ["--input-file", "x", "--output-file", "y", "--target-arch", "aarch64"],
     "--target-arch aarch64: filters are for x86_64 alone"),
]


def refused_words(name, words, sentence):
    def run(t):
        done = subprocess.run([COMPILER, *words], cwd=t.dir, text=True, capture_output=True, check=False)
        equal("status, stdout", (1, ""), (done.returncode, done.stdout))
        contains("stderr", sentence, done.stderr)
    run.__name__ = f"seccomp_compiler_refuses_{name}"
    return run


for _row in WORDS:
    case(refused_words(*_row))


@case
def seccomp_compiler_replaces_files_alone(t):
    os.mkfifo(t.path("fifo"))
    os.symlink("fifo", t.path("link"))
    t.write("policy.json", json.dumps(POLICY))
    for name, sentence in (("fifo", "is there and is no file"), ("link", "is there and is no file"),
                           ("policy.json", "is the policy itself")):
        done = subprocess.run([COMPILER, "--input-file", "policy.json", "--output-file", name], cwd=t.dir, text=True,
                              capture_output=True, check=False)
        equal(f"status, {name}", 1, done.returncode)
        contains(f"stderr, {name}", sentence, done.stderr)
    equal("files", {"fifo", "link", "policy.json"}, set(os.listdir(t.dir)))
    equal("the policy", POLICY, json.loads(t.read("policy.json")))


@case
def seccomp_compiler_answers_help_and_version(t):
    for word, wanted in (("--help", "--output-file <output-file>"), ("-h", "--output-file <output-file>"),
                         ("--version", "Mayfly seccomp v")):
        done = subprocess.run([COMPILER, word], cwd=t.dir, text=True, capture_output=True, check=False)
        equal("status, stderr", (0, ""), (done.returncode, done.stderr))
        contains(word, wanted, done.stdout)


@case
def seccomp_filter_that_is_none_is_refused(t):
    t.write("filters", json.dumps(POLICY))
    end = t.run("--seccomp-filter", "filters", "--api-sock", "s", may_leave={"filters"})
    equal("status", 1, end.status)
    contains("stderr", "Seccomp error: Filter deserialization failed: filters: unrecognised filter file format", end.err)


@case
def seccomp_audit_logs_what_would_be_forbidden_and_goes_on(t):
    """By the kernel's log, which only root reads, and which is not kept by every machine."""
    if subprocess.run(["dmesg"], capture_output=True, check=False).returncode != 0:
        skip("the kernel's log cannot be read")
    for action in ("trap", "kill_process", {"errno": 1}, {"trace": 7}):
        policy = dict(POLICY, vcpu={"default_action": "allow", "filter_action": action,
                                    "filter": [{"syscall": "rt_sigreturn"}, {"syscall": "madvise"}]})
        equal("compiler", (0, ""), compiled(t, policy))
        served, client = start_guest(t, "--seccomp-audit", "--seccomp-filter", "filters")
        client.state("Paused")
        client.state("Resumed")
        name = "fc_vcpu 0".encode().hex().upper()  # as the kernel writes a name with a space
        pattern = re.compile(rf"type=1326 .* pid={served.pid} comm={name} .* syscall=15 ")

        def logged(pattern=pattern):
            text = subprocess.run(["dmesg"], capture_output=True, text=True, check=True).stdout
            return pattern.search(text) is not None
        wait_until(f"a record of rt_sigreturn in the kernel's log, {action}", logged)
        equal("the VM goes on", "Running", client.get("/")["state"])
        served.stop()
        os.unlink(t.path("api.sock"))


@case
def seccomp_table_is_listed_with_reasons(t):
    lines = subprocess.run([COMPILER, "--list"], capture_output=True, text=True, check=True).stdout.splitlines()
    rows = [line.split("\t") for line in lines[1:]]
    equal("columns", {5}, {len(row) for row in rows})
    equal("rows without a reason", [], [row for row in rows if len(row[4]) < 3])
    equal("rows, each once", len(rows), len({tuple(row[:3]) for row in rows}))


@case
def metrics_over_the_file_size_limit_are_only_told(t):
    """Which takes calls that nothing else makes."""
    t.config("numbers")
    vm = t.start("--no-api", "--config-file", "vm.json", "--log-path", "log", "--prometheus-path", "text",
                 prefix=("prlimit", "--fsize=30000"), may_leave={"text"})
    wait_until("numbers", lambda: "0002" in vm.out)
    subprocess.run(["prlimit", f"--pid={vm.pid}", "--fsize=100"], check=True)
    vm.signal(15)
    vm.wait()
    equal("death by signal", -15, vm.status)
    t.config("hello")
    end = t.run("--no-api", "--config-file", "vm.json", "--log-path", "log", "--prometheus-path", "text",
                "--metrics-path", "metrics", prefix=("prlimit", "--fsize=3000"), may_leave={"text"})
    lacks("log", "system call", t.log)
    equal("status", 1, end.status)
