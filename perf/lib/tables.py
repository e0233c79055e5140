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


# ---- api ---------------------------------------------------------------------------------------

# Firecracker 1.16.1 to its floor, and its own counts, measured earlier on such a machine.
API_ROWS = (("exec → socket connects", "connected", None, ""),
            ("exec → `GET /` answered", "first", 1.4, "2.0–2.3"),
            ("`GET /`, kept connection", "kept", 1.4, "1.9–2.6"),
            ("`GET /`, fresh connection", "fresh", 1.4, "1.9–2.6"),
            ("boot conversation, six requests before the start", "six", None, ""),
            ("boot conversation, all seven, KVM's work in them", "seven", None, ""))
API_CONVERSATION_AIM_MS = 1.5


def api(result):
    took, calls, idle = result["times_us"], result["syscalls"], result["idle"]
    cell = "{median:.0f} ({min:.0f})".format
    rows = []
    for label, key, aim, earlier in API_ROWS:
        ours, floor = took[key]["mayfly"], took[key]["floor"]
        peer = took[key].get("qemu")
        ratio, least = (ours[which] / floor[which] for which in ("median", "min"))
        rows.append([label, cell(**ours), cell(**floor), f"{ratio:.2f} ({least:.2f})",
                     f"≤ {aim}" if aim else "", earlier, cell(**peer) if peer else ""])
    beside_ms, least_ms = ((took["seven"]["mayfly"][which] - took["seven"]["floor"][which]) / 1000
                           for which in ("median", "min"))
    counts = [
        ["boot conversation beside KVM's work, ms (all seven, less the floor's)", f"{beside_ms:.2f} ({least_ms:.2f})",
         f"≤ {API_CONVERSATION_AIM_MS}", ""],
        ["system calls, exec → listening", calls["listening"], f"≤ {LIMITS['api-syscalls']}", ""],
        ["system calls, exec → API thread waits", calls["ready"], "", "124"],
        ["private dirty memory, one request answered, no VM yet, KiB", idle["private_dirty_kib"],
         f"≤ {LIMITS['api-dirty']}", "260"],
        ["all private memory: alone / beside a second one, KiB",
         f"{idle['private_alone_kib']} / {idle['private_beside_second_kib']}", "", "2,232 / –"],
        ["threads / descriptors", f"{idle['threads']} / {idle['fds']}",
         f"{LIMITS['api-threads']} / –", "2 / 14"],
    ]
    return table(["native, µs: median (least)", "Mayfly", "floor", "ratio", "aim",
                  "Firecracker's ratio, earlier", "QEMU's QMP, query-status"], rows) + "\n" + \
        table(["before a VM", "Mayfly", "aim", "Firecracker 1.16.1, earlier"], counts)


# ---- a busy API --------------------------------------------------------------------------------

ASKED = {"none": "nobody", "this": "this mayfly", "other": "another mayfly"}


def _vm_ns(run):
    """Of the monitor's threads, all but the API's."""
    return sum(times["ns"] for name, times in run["threads"].items() if name != "fc_api")


def _api_ns(run):
    return run["threads"]["fc_api"]["ns"]


def _more(found, figure):
    """What the many operations take beyond the few: one value for each run."""
    few = statistics.median(figure(run) for run in found["few"])
    return [figure(run) - few for run in found["many"]]


def _each(found, figure):
    """The same by operation."""
    more = found["many"][0]["count"] - found["few"][0]["count"]
    return [value / more for value in _more(found, figure)]


def _exits_each(found):
    few, many = found["traced"]["few"], found["traced"]["many"]
    return (sum(many["exits"].values()) - sum(few["exits"].values())) \
        / (many["count"] - few["count"])


def busy_figures(found):
    """By operation, lists of a value for each run: ns of the VM's threads, ns that passed, requests.
    By request: ns of the API's thread and of the client."""
    result = {"vm": _each(found, _vm_ns), "passed": _each(found, lambda run: run["took_ns"]),
              "main": _each(found, lambda run: run["threads"]["mayfly"]["ns"]),
              "exits": _exits_each(found), "requests": [0] * len(found["many"])}
    if found["many"][0]["client"]:
        requests = _more(found, lambda run: run["client"]["replies"])
        took = _more(found, lambda run: run["client"]["took_ns"])
        result["total"] = statistics.median(requests)
        result["rate"] = statistics.median(n / ns * 1e9 for n, ns in zip(requests, took))
        result["requests"] = _each(found, lambda run: run["client"]["replies"])
        result["api"] = statistics.median(_more(found, _api_ns)) / result["total"]
        result["client"] = statistics.median(_more(found, lambda run: run["client"]["own_ns"])) \
            / result["total"]
    return result


def quiet_figures(quiet):
    """ns a request of the API's thread and of the client, nothing else running."""
    few, many = quiet["few"], quiet["many"]
    requests = many["client"]["replies"] - few["client"]["replies"]
    return ((_api_ns(many) - _api_ns(few)) / requests,
            (many["client"]["own_ns"] - few["client"]["own_ns"]) / requests)


def _us(values):
    return f"{statistics.median(values) / 1000:.3f} ({min(values) / 1000:.3f}–" \
           f"{max(values) / 1000:.3f})"


def _busy_row(name, kind, now, base, quiet_ns):
    vm, passed, requests = (statistics.median(now[key]) for key in ("vm", "passed", "requests"))
    row = [name.replace(" ", ", depth "), ASKED[kind], _us(now["vm"]), _us(now["main"]),
           _us(now["passed"]), f"{now['exits']:.3f}"]
    if kind == "none":
        return row + [""] * 7
    base_vm, base_passed = (statistics.median(base[key]) for key in ("vm", "passed"))
    rest = passed - requests * quiet_ns
    return row + [
        f"**{vm / base_vm - 1:+.2%}**", f"{passed / base_passed - 1:+.2%}",
        f"{rest / base_passed - 1:+.2%}", f"{now['total']:.0f}; {now['rate']:.0f}",
        f"{now['api'] / 1000:.1f}" if kind == "this" else "", f"{now['client'] / 1000:.1f}",
        f"{(now['exits'] - base['exits']) / requests:.2f}"]


def busy(result):
    quiet = quiet_figures(result["quiet"])
    rows = []
    for name, kinds in result["cells"].items():
        base = busy_figures(kinds["none"])
        rows += [_busy_row(name, kind, busy_figures(found), base, sum(quiet))
                 for kind, found in kinds.items()]
    head = ["reads", "asked is", "VM's threads, µs an operation", "of it the vmm thread",
            "passed, µs an operation", "exits an operation",
            f"**rise of the VM's threads** (aim ≤ {result['aim_rise']:.0%})", "rise of what passed",
            "… less requests as on an idle CPU", "requests; a second", "API thread, µs a request",
            "client, µs a request", "exits more a request"]
    return table(head, rows) + \
        f"\nOn an idle CPU a request takes {quiet[0] / 1000:.1f} µs of the API's thread and " \
        f"{quiet[1] / 1000:.1f} of the client.\n"


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
