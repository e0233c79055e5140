# SPDX-License-Identifier: Apache-2.0
"""The command line (cli.md A): every fault of its grammar with the exact text, queries, ids, levels, and options of
later builds."""

import os
import re
import subprocess

from native import BINARY, ROOT, case, contains, equal, lacks, messages

VERSION_LINE = "Mayfly v0.1.0 (Firecracker API v1.16.1)\n"
EXIT_LINE = "Firecracker exiting with error. exit_code="

# name, arguments, text
FAULTS = [
    ("unknown_option", ["--frobnicate"],
     "Found argument 'frobnicate' which wasn't expected, or isn't valid in this context."),
    ("positional", ["frobnicate"],
     "Found argument 'frobnicate' which wasn't expected, or isn't valid in this context."),
    ("short_option", ["-v"], "Found argument '-v' which wasn't expected, or isn't valid in this context."),
    ("option_with_equals", ["--id=a"],
     "Found argument 'id=a' which wasn't expected, or isn't valid in this context."),
    ("empty_word", [""], "Found argument '' which wasn't expected, or isn't valid in this context."),
    ("value_behind_flag", ["--no-api", "yes", "--config-file", "f"],
     "Found argument 'yes' which wasn't expected, or isn't valid in this context."),
    ("option_twice", ["--id", "a", "--id", "b"], "The argument 'id' was provided more than once."),
    ("flag_twice", ["--no-api", "--no-api"], "The argument 'no-api' was provided more than once."),
    ("value_missing_at_end", ["--id"], "The argument 'id' requires a value, but none was supplied."),
    ("value_missing_before_option", ["--id", "--no-api"],
     "The argument 'id' requires a value, but none was supplied."),
    ("value_missing_before_dashes", ["--id", "--", "x"],
     "The argument 'id' requires a value, but none was supplied."),
    ("requirement_missing", ["--no-api"], "Argument 'config-file' required, but not found."),
    ("excluded_pair", ["--seccomp-filter", "f", "--no-seccomp"],
     "Argument 'no-seccomp' cannot be used together with argument 'seccomp-filter'."),
    ("requirements_in_alphabetical_order", ["--seccomp-filter", "f", "--no-seccomp", "--no-api"],
     "Argument 'config-file' required, but not found."),
    ("first_fault_wins", ["--what", "--id", "--id"],
     "Found argument 'what' which wasn't expected, or isn't valid in this context."),
]

# name, arguments, sentence: refused with exit code 1 once the log is there
REFUSED = [
    ("metadata", ["--metadata", "f"],
     "Unable to open or read from the mmds content file: Cannot open f: No such file or directory (os error 2)"),
    ("seccomp_filter", ["--seccomp-filter", "f"],
     "Seccomp error: Filter deserialization failed: Cannot open f: No such file or directory (os error 2)"),
    ("irqchip", ["--irqchip", "apic"], "Invalid value for irqchip: apic. Possible values: split, full"),
    ("payload_size", ["--http-api-max-payload-size", "x"],
     "'http-api-max-payload-size' parameter expected to be of 'usize' type."),
    ("size_limit", ["--mmds-size-limit", "-1"], "'mmds-size-limit' parameter expected to be of 'usize' type."),
    ("start_time", ["--start-time-us", "18446744073709551616"],
     "'start-time-us' parameter expected to be of 'u64' type."),
    ("id_underscore", ["--id", "a_b"], "Invalid instance ID: Invalid char (_) at position 1"),
    ("id_blank", ["--id", " "], "Invalid instance ID: Invalid char ( ) at position 0"),
    ("id_empty", ["--id", ""], "Invalid instance ID: Invalid len (0);  the length must be between 1 and 64"),
    ("id_too_long", ["--id", "a" * 65],
     "Invalid instance ID: Invalid len (65);  the length must be between 1 and 64"),
    ("id_not_utf8", ["--id", b"vm\xff"], "Invalid instance ID: Invalid char (\\xff) at position 2: not UTF-8"),
    ("id_behind_letters_of_two_bytes", ["--id", "\u00e4\u00e4_"],
     "Invalid instance ID: Invalid char (_) at position 2"),
]


def fault(name, arguments, text):
    def run(t):
        end = t.run(*arguments)
        whole = f"Arguments parsing error: {text} \n\nFor more information try --help."
        equal("stderr", f"Error: {whole}\n", end.err)
        equal("exit status", 153, end.status)
        contains("stdout", f"[anonymous-instance:main] {whole}\n", end.out)
        equal("last line of stdout", [EXIT_LINE + "153"], messages(end.out)[-1:])
    run.__name__ = "cli_" + name
    return run


def refused(name, arguments, sentence):
    def run(t):
        end = t.run(*arguments)
        equal("stderr", f"Error: {sentence}\n", end.err)
        equal("exit status", 1, end.status)
        equal("last lines of stdout", [sentence, EXIT_LINE + "1"], messages(end.out)[-2:])
    run.__name__ = "cli_refuses_" + name
    return run


for _row in FAULTS:
    case(fault(*_row))
for _row in REFUSED:
    case(refused(*_row))


@case
def cli_long_strange_argument_is_quoted_and_cut(t):
    end = t.run("--" + "x" * 5000 + "\n\033")
    equal("exit status", 153, end.status)
    contains("stderr", "Found argument 'xxxx", end.err)
    lacks("stderr", "\033", end.err)
    if len(end.err) > 1000:
        equal("length of stderr", "at most 1000", len(end.err))


@case
def cli_level_is_checked(t):
    t.config("hello")
    end = t.run("--level", "Loud", "--no-api", "--config-file", "vm.json")
    sentence = "Invalid value for logger level: Loud.Possible values: [Error, Warning, Info, Debug]"
    equal("stderr", f"Error: {sentence}\n", end.err)
    equal("exit status", 152, end.status)
    equal("lines of stdout", [sentence, EXIT_LINE + "152"], messages(end.out))
    for level, lines in (("error", 0), ("WARNING", 0), ("Info", 5), ("dEbUg", 5), ("Off", 0)):
        end = t.run_vm("--level", level)
        t.expect_end(end)
        if len(messages(t.log)) < lines or (lines == 0 and t.log):
            equal(f"lines in the log at level {level}", lines, t.log)
        os.unlink(t.path("log"))


@case
def cli_help_and_version_win_over_every_fault(t):
    for arguments in (["--help"], ["-h"], ["--what", "--version", "--help"], ["--id", "-h"]):
        end = t.run(*arguments)
        equal("exit status", 0, end.status)
        equal("stderr", "", end.err)
        equal("first lines", [VERSION_LINE[:-1], "", "optional arguments:"], end.out.splitlines()[:3])
        contains("help", "\n  --config-file <config-file> ", end.out)
        contains("help", '[default: "anonymous-instance"]\n', end.out)
        lacks("help", "exit_code", end.out)
    for arguments in (["--version"], ["--what", "--version", "--id"]):
        end = t.run(*arguments)
        equal("exit status", 0, end.status)
        equal("stdout", VERSION_LINE + "\n", end.out)
    end = t.run("--", "--help")
    equal("exit status when --help is an extra argument", 1, end.status)


@case
def cli_help_of_every_program_is_in_alphabetical_order(t):
    """Requirements are checked in the order of the table, so that this is what a client reads first."""
    for program in (BINARY, f"{BINARY}-jailer", f"{BINARY}-seccomp"):
        text = subprocess.run([program, "--help"], capture_output=True, text=True, timeout=20, check=True).stdout
        offered = re.findall(r"^  --([a-z-]+)", text, re.MULTILINE)
        equal(f"some options of {program}", True, len(offered) > 3)
        equal(f"options of {program}", sorted(offered), offered)


@case
def cli_answers_that_cannot_be_printed_are_failures_with_a_sentence(t):
    jailer, compiler = f"{BINARY}-jailer", f"{BINARY}-seccomp"
    for words in ((BINARY, "--help"), (jailer, "--help"), (jailer, "--version"), (jailer, "policy", "--help"), (compiler, "--help"),
                  (compiler, "--list")):
        with open("/dev/full", "w", encoding="ascii") as full:
            done = subprocess.run(words, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        equal(f"status, {words}", 1, done.returncode)
        contains(f"stderr, {words}", "Cannot write to standard output: ", done.stderr)


@case
def cli_help_and_manual_page_name_the_same_options(t):
    with open(os.path.join(ROOT, "docs/mayfly.1"), encoding="utf-8") as file:
        page = file.read().replace("\\-", "-")
    # Headings only: the lines behind .TP. What the text mentions must not count.
    headings = "\n".join(re.findall(r"^\.TP\n(.*)", page, re.MULTILINE))
    documented = sorted(re.findall(r"--([a-z-]+)", headings))
    offered = sorted(re.findall(r"^  --([a-z-]+)", t.run("--help").out, re.MULTILINE))
    equal("options of docs/mayfly.1, each once", offered, documented)


@case
def cli_manual_page_names_every_exit_status(_):
    with open(os.path.join(ROOT, "docs/mayfly.1"), encoding="utf-8") as file:
        section = file.read().split(".SH EXIT STATUS", 1)[1].split(".SH", 1)[0]
    documented = set()
    for heading in re.findall(r"^\.B (\d.*)", section, re.MULTILINE):
        for part in heading.split(", "):
            first, _, last = part.partition("-")
            documented |= set(range(int(first), int(last or first) + 1))
    with open(os.path.join(ROOT, "vmm/app/exit_code.h"), encoding="utf-8") as file:
        defined = {int(code) for code in re.findall(r"^ +EXIT_CODE_\w+ = (\d+),", file.read(), re.MULTILINE)}
    equal("exit statuses of docs/mayfly.1", sorted(defined), sorted(documented))


@case
def cli_extra_arguments_are_ignored(t):
    t.config("hello")
    end = t.run_vm("--", "--what", "ever", "--")
    t.expect_end(end)


@case
def cli_snapshot_version(t):
    end = t.run("--snapshot-version")
    equal("exit status", 0, end.status)
    equal("stdout", "v1.2.0\n", end.out)


@case
def cli_called_firecracker_it_says_so(t):
    program = os.path.join(os.path.dirname(BINARY), "compat/firecracker")
    equal("a file of its own, not a link", (False, 1), (os.path.islink(program), os.stat(program).st_nlink))
    end = t.run("--version", program=program)
    t.expect_end(end)
    equal("stdout", "Firecracker v1.16.1\n\n", end.out)
    t.config("hello")
    t.expect_end(t.run_vm(program=program))
    equal("first log line", "Running Firecracker v1.16.1", messages(t.log)[0])


@case
def cli_id_is_in_every_log_line(t):
    t.config("hello")
    t.expect_end(t.run_vm("--id", "a-" + "9" * 62))
    for line in t.log.splitlines():
        contains("log line", " [a-" + "9" * 62 + ":", line)


@case
def cli_level_and_origin_are_shown_when_asked(t):
    t.config("hello")
    t.expect_end(t.run_vm("--show-level", "--show-log-origin"))
    contains("log", "[anonymous-instance:main:INFO:src/vmm/app/main.c:", t.log)


@case
def cli_module_filters_the_log(t):
    t.config("hello")
    t.expect_end(t.run_vm("--module", "vmm/app/run.c"))
    contains("log", "Vmm is stopping.", t.log)
    lacks("log", "Running", t.log)
    t.expect_end(t.run_vm("--module", "no/such/module", log=False))


@case
def cli_enable_pci_is_a_warning(t):
    t.config("hello")
    t.expect_end(t.run_vm("--enable-pci", "--no-seccomp"))
    contains("log", "--enable-pci is not supported by this VMM; virtio devices use the MMIO transport.", t.log)


@case
def can_run_linux_keeps_only_what_a_guest_met(t):
    def ask(probe=None):
        done = subprocess.run([os.path.join(ROOT, "tools/can-run-linux")], capture_output=True, text=True, check=False,
                              env={**os.environ, "MAYFLY_CACHE": t.dir, "MAYFLY_PROBE": probe or ""})
        equal("lines of the answer", 1, done.stdout.count("\n"))
        return done.returncode, done.stdout

    for probe, status, words in (("true", 0, "this host's KVM can run Linux\n"),
                                 ("false", 1, "this host's KVM cannot run Linux\n"),
                                 ("/no/such/probe", 2, "/no/such/probe ended with status 127\n")):
        seen, answer = ask(probe)
        equal(f"status with the probe {probe}", status, seen)
        contains(f"answer with the probe {probe}", words, answer)
        equal(f"files kept after the probe {probe}", [], os.listdir(t.dir))
    first = ask()
    if os.path.exists(t.path("probe")):  # it is not where there is no KVM
        equal("second answer", first, ask())
    elif first[0] == 0:
        equal("files kept after a yes", ["probe"], os.listdir(t.dir))
