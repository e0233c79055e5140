# SPDX-License-Identifier: Apache-2.0
"""Memory of a process from its smaps: guest RAM apart from what the monitor itself has."""

import re

KINDS = ("Rss", "Pss", "Private_Dirty", "Private_Clean", "AnonHugePages")

HEAD = re.compile(r"([0-9a-f]+)-([0-9a-f]+) (\S{4}) ")
ROW = re.compile(r"(\w+): +(\d+) kB")


def mappings(lines):
    """[{start, end, flags, Rss, ...}] in order of address; sizes in KiB."""
    found = []
    for line in lines:
        head = HEAD.match(line)
        if head:
            found.append({"start": int(head.group(1), 16), "end": int(head.group(2), 16),
                          "flags": head.group(3)})
            continue
        row = ROW.match(line)
        if row and found:
            found[-1][row.group(1)] = int(row.group(2))
    return found


def _runs(found):
    """Writable private mappings that touch: advice, or a kernel mapped in, splits RAM."""
    runs = []
    for mapping in found:
        same = runs and runs[-1][-1]["end"] == mapping["start"] and mapping["flags"] == "rw-p" \
            and runs[-1][-1]["flags"] == "rw-p"
        if same:
            runs[-1].append(mapping)
        else:
            runs.append([mapping])
    return runs


def split(lines, ram_kib):
    """{"ram": {kind: KiB}, "rest": {kind: KiB}}; RAM is the one run that is large enough."""
    parts = {"ram": dict.fromkeys(KINDS, 0), "rest": dict.fromkeys(KINDS, 0)}
    for run in _runs(mappings(lines)):
        size_kib = (run[-1]["end"] - run[0]["start"]) // 1024
        large = run[0]["flags"] == "rw-p" and size_kib >= ram_kib
        part = parts["ram" if large else "rest"]
        for mapping in run:
            for kind in KINDS:
                part[kind] += mapping.get(kind, 0)
    return parts


def of_process(pid, ram_kib):
    with open(f"/proc/{pid}/smaps", encoding="ascii", errors="replace") as f:
        return split(f, ram_kib)
