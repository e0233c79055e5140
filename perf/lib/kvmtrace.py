# SPDX-License-Identifier: Apache-2.0
"""The kernel's trace of one run, in times of CLOCK_MONOTONIC. Needs root and tracefs: the lab."""

import collections
import re

TRACEFS = "/sys/kernel/tracing/"
BUFFER_KIB = 65536
START_EVENTS = ("raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "sched/sched_process_exec",
                "kvm/kvm_entry")
CPU_EVENTS = ("raw_syscalls/sys_enter", "raw_syscalls/sys_exit", "sched/sched_switch", "kvm/kvm_entry",
              "kvm/kvm_exit")
STEP_MIN_US = 20
# Numbers that several calls share: those that x86's state goes through.
KVM_SHARED = {0xa0: "KVM_SET_VCPU_EVENTS", 0xa2: "KVM_SET_DEBUGREGS", 0xa3: "KVM_GET_TSC_KHZ",
              0xa5: "KVM_SET_XSAVE", 0xa7: "KVM_SET_XCRS", 0xad: "KVM_KVMCLOCK_CTRL"}
UNISTD_H = "/usr/include/x86_64-linux-gnu/asm/unistd_64.h"
KVM_H = "/usr/include/linux/kvm.h"

LINE = re.compile(r"\s*(.+)-(\d+)\s+\[\d+\] \S+\s+(\d+)\.(\d{6}): (\w+): (.*)$")
REASON = re.compile(r"\breason (\S+)")
PORT = re.compile(r"(pio_\w+) at (0x[0-9a-f]+)")
LEAF = re.compile(r"func ([0-9a-f]+)")
MSR = re.compile(r"(msr_\w+) ([0-9a-f]+)")
ENTER = re.compile(r"NR (\d+) \((.*)\)")
HISTOGRAM_ROW = re.compile(r"\{ exit_reason:\s*(.+?)\s*\}\s*hitcount:\s*(\d+)")
HISTOGRAM = "hist:keys=exit_reason:size=512"
CALLS = "hist:keys=common_pid,id:size=4096"
CALLS_ROW = re.compile(r"\{ common_pid:\s*(\d+), id:\s*(\d+) \} hitcount:\s*(\d+)")

Record = collections.namedtuple("Record", "stamp_us task pid event text")


def _write(name, text):
    with open(TRACEFS + name, "w", encoding="ascii") as f:
        f.write(text)


def _read(name):
    with open(TRACEFS + name, encoding="ascii", errors="replace") as f:
        return f.read()


class Tracing:
    """Records events ("group/name") while it is open, up to the first of stop_after."""

    def __init__(self, events, stop_after=None, histogram=False, calls=False):
        self.events = events
        self.triggers = []
        if stop_after:
            self.triggers.append((stop_after, "traceoff"))
        if histogram:
            self.triggers.append(("kvm/kvm_exit", HISTOGRAM))
        if calls:
            self.triggers.append(("raw_syscalls/sys_enter", CALLS))

    def __enter__(self):
        _write("tracing_on", "0")
        _write("trace_clock", "mono")
        _write("buffer_size_kb", str(BUFFER_KIB))
        _write("trace", "\n")
        for event in self.events:
            _write(f"events/{event}/enable", "1")
        for event, trigger in self.triggers:
            _write(f"events/{event}/trigger", trigger)
        _write("tracing_on", "1")
        return self

    def __exit__(self, *exc):
        _write("tracing_on", "0")
        for event in self.events:
            _write(f"events/{event}/enable", "0")
        for event, trigger in self.triggers:
            _write(f"events/{event}/trigger", "!" + trigger)

    @staticmethod
    def histogram_total():
        """Exits as KVM's histogram counted them: a check of what the ring buffer kept."""
        return int(re.search(r"Hits: (\d+)", _read("events/kvm/kvm_exit/hist")).group(1))

    @staticmethod
    def histogram_by_reason():
        """Exits by the number of their reason (AMD's or Intel's)."""
        rows = HISTOGRAM_ROW.findall(_read("events/kvm/kvm_exit/hist"))
        return {reason: int(count) for reason, count in rows}

    @staticmethod
    def calls_by_name(tasks):
        """System calls of these tasks."""
        names = _names(UNISTD_H, r"^#define __NR_(\w+) (\d+)", 10)
        found = collections.Counter()
        for task, number, count in CALLS_ROW.findall(_read("events/raw_syscalls/sys_enter/hist")):
            if int(task) in tasks:
                found[names.get(int(number), number)] += int(count)
        return dict(found.most_common())

    @staticmethod
    def records():
        """Everything recorded, in order."""
        found = []
        for line in _read("trace").splitlines():
            match = LINE.match(line)
            if match:
                task, pid, seconds, micros, event, text = match.groups()
                found.append(Record(int(seconds) * 1000000 + int(micros), task, int(pid), event,
                                    text))
        return found


# ---- counts ------------------------------------------------------------------------------------

def _count(counts, record):
    text = record.text
    if record.event == "kvm_exit":
        counts["exits"][REASON.search(text).group(1)] += 1
    elif record.event == "kvm_userspace_exit":
        counts["userspace"][REASON.search(text).group(1)] += 1
    elif record.event == "kvm_pio":
        counts["ports"]["{} {}".format(*PORT.search(text).groups())] += 1
    elif record.event == "kvm_cpuid":
        counts["cpuid"][LEAF.search(text).group(1)] += 1
    elif record.event == "kvm_msr":
        counts["msrs"]["{} {}".format(*MSR.search(text).groups())] += 1


def tally(records, until_us):
    """Counts by kind up to a moment, and of everything."""
    kinds = ("exits", "userspace", "ports", "cpuid", "msrs")
    to_init = {kind: collections.Counter() for kind in kinds}
    total = {kind: collections.Counter() for kind in kinds}
    for record in records:
        if record.stamp_us <= until_us:
            _count(to_init, record)
        _count(total, record)
    return {"to_init": {k: dict(v.most_common()) for k, v in to_init.items()},
            "total": {k: dict(v.most_common()) for k, v in total.items()}}


# ---- where time goes ---------------------------------------------------------------------------

def _names(path, pattern, base):
    with open(path, encoding="ascii") as f:
        rows = re.findall(pattern, f.read(), re.MULTILINE)
    names = {}
    for name, number in rows:
        names.setdefault(int(number, base), name)
    return names


def _call_name(text, calls, kvm):
    number, arguments = ENTER.match(text).groups()
    name = calls.get(int(number), number)
    if name == "ioctl":
        request = int(arguments.split(", ")[1], 16)
        number = request & 0xff
        return KVM_SHARED.get(number) or kvm.get(number, "ioctl") if request >> 8 & 0xff == 0xae else "ioctl"
    return name


def steps(records, start_us):
    """From execve to the first guest entry: [(µs since execve, µs it took, what)]. System calls and
    the stretches between them; the small ones are summed up in one row."""
    calls = _names(UNISTD_H, r"^#define __NR_(\w+) (\d+)", 10)
    kvm = _names(KVM_H, r"^#define (KVM_\w+)\s+_IO\w*\(KVMIO,\s*(0x[0-9a-f]+)", 16)
    exec_at = next(i for i, r in enumerate(records)
                   if r.event == "sched_process_exec" and r.stamp_us >= start_us)
    pid = records[exec_at].pid
    found, small, count = [(0, records[exec_at].stamp_us - start_us, "execve")], 0, 0
    last, doing = records[exec_at].stamp_us, "libc and program"
    for record in records[exec_at + 1:]:
        if record.event == "sys_enter" and record.pid != pid and record.task == "vm_time":
            continue
        took = record.stamp_us - last
        if record.event == "sys_exit" and "read" in doing:
            doing += record.text.split(" =")[1] + " bytes"
        if took >= STEP_MIN_US:
            found.append((last - start_us, took, doing))
        else:
            small, count = small + took, count + 1
        last = record.stamp_us
        doing = "between calls"
        if record.event == "sys_enter":
            doing = _call_name(record.text, calls, kvm)
    found.append((last - start_us, small, f"{count} stretches below {STEP_MIN_US} µs"))
    return found


def host_time(records, low_us, high_us):
    """Time in the guest, and outside it by the reason of the exit that led there."""
    guest, outside, count = 0, collections.Counter(), collections.Counter()
    last = None
    for record in records:
        if low_us <= record.stamp_us < high_us:
            if record.event == "kvm_exit":
                guest += record.stamp_us - last[0] if last else 0
                last = (record.stamp_us, REASON.search(record.text).group(1))
                continue
            if last and last[1]:
                outside[last[1]] += record.stamp_us - last[0]
                count[last[1]] += 1
            last = (record.stamp_us, None)
    return {"guest_us": guest,
            "outside": {r: {"us": us, "count": count[r]} for r, us in outside.most_common()}}


def own_stretches(records, tasks):
    """The longer stretches of these tasks' own code, with the page faults in them: [(µs since the
    first record, µs, faults, what came before, what behind)]."""
    calls = _names(UNISTD_H, r"^#define __NR_(\w+) (\d+)", 10)
    kvm = _names(KVM_H, r"^#define (KVM_\w+)\s+_IO\w*\(KVMIO,\s*(0x[0-9a-f]+)", 16)
    found, last, faults, doing = [], records[0], 0, {}
    for record in records:
        if record.event == "page_fault_user":
            faults += 1
            continue
        took = record.stamp_us - last.stamp_us
        before = doing.get(record.pid, "")
        if record.event == "sys_enter":
            doing[record.pid] = _call_name(record.text, calls, kvm)
            if record.pid in tasks and took >= STEP_MIN_US:
                found.append((last.stamp_us - records[0].stamp_us, took, faults, before,
                              doing[record.pid]))
        last, faults = record, 0
    return found


def cpu_time(records, tasks, kernel_tasks=()):
    """Where these tasks spend the one CPU: µs by system call, of KVM_RUN the guest's part apart.
    kernel_tasks: {thread: name}, threads of the kernel that work for them."""
    calls = _names(UNISTD_H, r"^#define __NR_(\w+) (\d+)", 10)
    kvm = _names(KVM_H, r"^#define (KVM_\w+)\s+_IO\w*\(KVMIO,\s*(0x[0-9a-f]+)", 16)
    found, doing, last = collections.Counter(), dict(kernel_tasks), None
    for record in records:  # each stretch is of the task that the event at its end finds there
        if last is not None and (record.pid in tasks or record.pid in kernel_tasks):
            found[doing.get(record.pid, "own code")] += record.stamp_us - last
        last = record.stamp_us
        if record.event == "sys_enter":
            doing[record.pid] = _call_name(record.text, calls, kvm)
        elif record.event == "sys_exit":
            doing[record.pid] = "own code"
        elif record.event == "kvm_entry":
            doing[record.pid] = "guest"
        elif record.event == "kvm_exit":
            doing[record.pid] = "KVM_RUN"
    return dict(found.most_common())
