# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of results; perf's programs print them, perf/render puts them into RESULTS.md."""

import json
import os
import statistics

from budget import LIMITS
from common import PerfError, spread

PEER = "QEMU microvm"

# Other monitors cannot be had from Debian. These were measured by the same recipe, with the same VM
# but another build of the 6.1 kernel: compare them with their own QEMU column only.
EARLIER = {
    "columns": ["Firecracker 1.16.1", "Firecracker, hugetlbfs", "kvmtool (bzImage)",
                "QEMU 7.2 microvm"],
    "exec → first guest entry, ms": ["11.0", "9.6", "4.0", "93.5"],
    "exec → guest init, ms": ["72.3", "56.8", "1,607", "155.5"],
    "exec → process gone, ms": ["89.0", "72.6", "1,624", "187.9"],
    "KVM exits to init": ["5,328", "1,098", "–", "1,896"],
}
EARLIER_BLK = {"read 1": ("50.5", "54.2"), "read 32": ("13.7", "13.6"),
               "write 32": ("14.6", "17.7")}

MARKS = (("first guest entry", "entry_us", 0.035), ("guest init", "init_us", 0.30),
         ("process gone", "gone_us", 0.33))


def load(path):
    if not os.path.exists(path):
        return {}
    try:
        with open(path, encoding="ascii") as f:
            return json.load(f)
    except ValueError as e:
        raise PerfError(f"{path} is not JSON: {e}") from e


def table(head, rows):
    lines = ["| " + " | ".join(head) + " |", "| " + " | ".join("---" for _ in head) + " |"]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines) + "\n"


def ms(values):
    """Median and ends, in milliseconds."""
    both = spread(values)
    return f"{both['median'] / 1000:.2f} ({both['min'] / 1000:.2f}–{both['max'] / 1000:.2f})"


def marks_of(variant, key):
    return variant["entry_us"] if key == "entry_us" else [run[key] for run in variant["runs"]]


# ---- boot, lab ---------------------------------------------------------------------------------

def _times(mode, caption):
    names = list(mode)
    rows = []
    for label, key, target in MARKS:
        rows.append([f"exec → {label}, ms"] + [ms(marks_of(mode[name], key)) for name in names])
        if PEER in mode:
            peer = statistics.median(marks_of(mode[PEER], key))
            ratios = [statistics.median(marks_of(mode[name], key)) / peer for name in names]
            rows.append([f"… to {PEER} (aim: {target})"] + [f"{ratio:.3f}" for ratio in ratios])
    rows.append(["guest's own clock at init, ms"]
                + [ms([run["guest_clock_us"] for run in mode[name]["runs"]]) for name in names])
    return table([caption] + names, rows)


def _exits(mode):
    counted = [(name, mode[name]["counts"]) for name in mode if "counts" in mode[name]]
    reasons = []
    for _, counts in counted:
        reasons += [r for r in counts["to_init"]["exits"] if r not in reasons]
    sums = [sum(counts["to_init"]["exits"].values()) for _, counts in counted]
    rows = [["**all, to init**"] + [f"**{total}**" for total in sums]]
    rows += [[reason] + [counts["to_init"]["exits"].get(reason, 0) for _, counts in counted]
             for reason in reasons]
    rows.append(["all, to the end"]
                + [sum(counts["total"]["exits"].values()) for _, counts in counted])
    for kind, label in (("to_init", "to init"), ("total", "to the end")):
        rows.append([f"of them to the monitor, {label}"] + [
            ", ".join(f"{r.replace('KVM_EXIT_', '')} {n}" for r, n in
                      counts[kind]["userspace"].items()) for _, counts in counted])
    return table(["KVM exits"] + [name for name, _ in counted], rows)


def _memory(mode):
    kept = [(name, mode[name]["memory"]) for name in mode if "memory" in mode[name]]
    rows = [["guest RAM resident, MiB"] + [f"{m['ram']['Rss'] / 1024:.1f}" for _, m in kept],
            ["… of it huge pages, MiB"] + [f"{m['ram']['AnonHugePages'] / 1024:.1f}"
                                            for _, m in kept],
            ["the monitor's own private memory, MiB"] + [
                f"{(m['rest']['Private_Dirty'] + m['rest']['Private_Clean']) / 1024:.2f}"
                for _, m in kept]]
    return table(["memory at init"] + [name for name, _ in kept], rows)


# ---- boot, native ------------------------------------------------------------------------------

def _native(result):
    times, calls, idle = result["times_us"], result["syscalls"], result["idle"]
    cell = "{median:.0f} ({min:.0f}–{max:.0f})".format
    ratio, least = (times["mayfly"]["first"][which] / times["floor"]["first"][which]
                    for which in ("median", "min"))
    rows = [
        ["exec → first guest output, µs", cell(**times["mayfly"]["first"]),
         cell(**times["floor"]["first"]),
         f"ratio {ratio:.2f} (of the least: {least:.2f}), aim ≤ 1.6"],
        ["exec → process gone, µs", cell(**times["mayfly"]["end"]), cell(**times["floor"]["end"]),
         ""],
        ["system calls before the first KVM_RUN", calls["mayfly"]["total"],
         calls["floor"]["total"], f"≤ {LIMITS['syscalls']}"],
        ["… of them KVM's", calls["mayfly"]["kvm"], calls["floor"]["kvm"],
         f"≤ {LIMITS['kvm-calls']}"],
        ["private dirty memory beyond guest RAM, halted guest, KiB", idle["private_dirty_kib"], "–",
         f"≤ {LIMITS['dirty']}"],
        ["all private memory beyond guest RAM: alone / beside a second one, KiB",
         f"{idle['private_alone_kib']} / {idle['private_beside_second_kib']}", "–", ""],
        ["threads / descriptors", f"{idle['threads']} / {idle['fds']}", "–", "1 + vCPUs threads"],
        ["binary, stripped, KiB", f"{result['binary_bytes'] / 1024:.0f}", "–",
         f"≤ {LIMITS['binary'] / 1024:.0f}"],
    ]
    return table([f"native, {times['mayfly']['first']['runs']} runs in turn", "mayfly", "floor",
                  "aim"], rows)


def earlier():
    rows = [[key] + cells for key, cells in EARLIER.items() if key != "columns"]
    return table(["measured earlier, same recipe"] + EARLIER["columns"], rows)


def boot(result):
    parts = []
    if "lab" in result:
        parts.append(_times(result["lab"]["expedited"], "lab, rcu_expedited=1"))
        if "plain" in result["lab"]:
            parts.append(_times(result["lab"]["plain"], "lab, RCU as it comes"))
        parts += [_exits(result["lab"]["expedited"]), _memory(result["lab"]["expedited"])]
    if "native" in result:
        parts.append(_native(result["native"]))
    return "\n".join(parts)


def summary(result):
    """README.md's table, medians of the lab beside QEMU's, and its sentence on native runs."""
    mode, native = result["lab"]["expedited"], result["native"]
    ours, peer = mode["mayfly split"], mode[PEER]
    rows = []

    def row(label, values, aim, digits=2):
        ratio = values[0] / values[1]
        rows.append([label] + [f"{value:.{digits}f}" for value in values] + [f"{ratio:.3f}", aim])

    for label, key, target in MARKS:
        row(f"exec → {label}, ms",
            [statistics.median(marks_of(each, key)) / 1000 for each in (ours, peer)], target)
    row("KVM exits to init",
        [sum(each["counts"]["to_init"]["exits"].values()) for each in (ours, peer)], "", 0)
    row("monitor's private memory at init, MiB",
        [(each["memory"]["rest"]["Private_Dirty"] + each["memory"]["rest"]["Private_Clean"]) / 1024
         for each in (ours, peer)], "")
    first = {name: native["times_us"][name]["first"]["median"] for name in ("mayfly", "floor")}
    return table(["lab, medians", "Mayfly", PEER, "ratio", "aim"], rows) + \
        "\nNatively the first output of a tiny guest comes after " \
        f"{first['mayfly'] / first['floor']:.2f} times what the least program that KVM needs " \
        "takes (aim: 1.6).\n"


# ---- blk ---------------------------------------------------------------------------------------

def blk_figures(pair):
    """µs, exits and interrupts an operation; exits from the difference between many and few."""
    few, many = pair["few"][0], pair["many"]
    more = many[0]["count"] - few["count"]
    exits = [(sum(run["exits"].values()) - sum(few["exits"].values())) / more for run in many]
    return {"us": [run["took_ns"] / run["count"] / 1000 for run in many],
            "exits": statistics.median(exits),
            "interrupts": statistics.median(run["interrupts"] / run["count"] for run in many)}


def blk(result):
    cells, aims = result["cells"], result["aims_us"]
    columns = result["columns"]
    rows = []
    for work in result["works"]:
        figures = [blk_figures(cells[f"{column}: {work}"]) for column in columns]
        old = EARLIER_BLK.get(work)
        for kind in ("us", "exits", "interrupts"):
            label = {"us": f"**{work}**, µs an operation"}.get(kind, f"{kind} an operation")
            row = [label]
            for figure in figures:
                value = figure[kind]
                row.append(f"{statistics.median(value):.1f}" if kind == "us" else f"{value:.2f}")
            row.append(f"≤ {aims[work]}" if kind == "us" and work in aims else "")
            row.append(" / ".join(old) if kind == "us" and old else "")
            rows.append(row)
    return table(["4 KiB random, queue depth"] + columns
                 + ["aim", "Firecracker 1.16.1 sync / async, earlier"], rows)


# ---- where -------------------------------------------------------------------------------------

def where(result):
    parts = []
    for name, found in result.items():
        rows = [[at, took, what] for at, took, what in found["steps"]]
        parts.append(table([f"{name}: µs since exec", "µs", "what"], rows))
        for kind, label in (("to_init", "entry → init"), ("to_end", "init → last exit")):
            rows = [["guest", found[kind]["guest_us"], "", ""]]
            rows += [[reason, cost["us"], cost["count"], f"{cost['us'] / cost['count']:.1f}"]
                     for reason, cost in found[kind]["outside"].items()]
            parts.append(table([f"{name}: {label}", "µs", "exits", "µs each"], rows))
    return "\n".join(parts)
