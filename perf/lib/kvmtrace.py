# SPDX-License-Identifier: Apache-2.0
"""KVM's trace events of one run, with times of CLOCK_MONOTONIC. For the lab: needs root and tracefs."""

import collections
import re

TRACEFS = "/sys/kernel/tracing/"
BUFFER_KIB = 65536

LINE = re.compile(r"\s(\d+)\.(\d{6}): (kvm_\w+): (.*)$")
REASON = re.compile(r"\breason (\S+)")
PORT = re.compile(r"(pio_\w+) at (0x[0-9a-f]+)")
LEAF = re.compile(r"func ([0-9a-f]+)")
MSR = re.compile(r"(msr_\w+) ([0-9a-f]+)")


def _write(name, text):
    with open(TRACEFS + name, "w", encoding="ascii") as f:
        f.write(text)


def _read(name):
    with open(TRACEFS + name, encoding="ascii", errors="replace") as f:
        return f.read()


class Tracing:
    """Records the given kvm events while it is open."""

    def __init__(self, events, only_first=False, histogram=False):
        self.events = events
        self.only_first = only_first
        self.histogram = histogram

    def __enter__(self):
        _write("tracing_on", "0")
        _write("trace_clock", "mono")
        _write("buffer_size_kb", str(BUFFER_KIB))
        _write("trace", "\n")
        for event in self.events:
            if self.only_first:
                _write(f"events/kvm/{event}/trigger", "traceoff")
            _write(f"events/kvm/{event}/enable", "1")
        if self.histogram:
            _write("events/kvm/kvm_exit/trigger", "hist:keys=exit_reason:size=512")
        _write("tracing_on", "1")
        return self

    def __exit__(self, *exc):
        _write("tracing_on", "0")
        for event in self.events:
            _write(f"events/kvm/{event}/enable", "0")
            if self.only_first:
                _write(f"events/kvm/{event}/trigger", "!traceoff")
        if self.histogram:
            _write("events/kvm/kvm_exit/trigger", "!hist:keys=exit_reason:size=512")

    def histogram_total(self):
        """Exits as KVM's histogram counted them: a check of what the ring buffer kept."""
        text = _read("events/kvm/kvm_exit/hist")
        found = re.search(r"Hits: (\d+)", text)
        return int(found.group(1)) if found else 0

    @staticmethod
    def records():
        """(time in microseconds, event, text) of everything recorded, in order."""
        found = []
        for line in _read("trace").splitlines():
            match = LINE.search(line)
            if match:
                stamp = int(match.group(1)) * 1000000 + int(match.group(2))
                found.append((stamp, match.group(3), match.group(4)))
        return found


def _count(counts, event, text):
    if event == "kvm_exit":
        counts["exits"][REASON.search(text).group(1)] += 1
    elif event == "kvm_userspace_exit":
        counts["userspace"][REASON.search(text).group(1)] += 1
    elif event == "kvm_pio":
        match = PORT.search(text)
        counts["ports"][f"{match.group(1)} {match.group(2)}"] += 1
    elif event == "kvm_cpuid":
        counts["cpuid"][LEAF.search(text).group(1)] += 1
    elif event == "kvm_msr":
        counts["msrs"]["{} {}".format(*MSR.search(text).groups())] += 1


def tally(records, until_us):
    """Counts by kind until a moment, and of everything."""
    kinds = ("exits", "userspace", "ports", "cpuid", "msrs")
    to_init = {kind: collections.Counter() for kind in kinds}
    total = {kind: collections.Counter() for kind in kinds}
    for stamp, event, text in records:
        if stamp <= until_us:
            _count(to_init, event, text)
        _count(total, event, text)
    return {"to_init": {k: dict(v.most_common()) for k, v in to_init.items()},
            "total": {k: dict(v.most_common()) for k, v in total.items()}}
