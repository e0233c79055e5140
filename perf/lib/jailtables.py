# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of perf/jail."""

import statistics

from tables import table

CELL = "{median:.0f} ({min:.0f})".format
MS = "{median:.2f} ({min:.2f})".format
HOSTS = {"few": "this host's", "private": "{} more, private", "shared": "{} more, shared as systemd has them"}
LAB_AIM = 0.02


def _starts(result):
    rows = []
    for label, what, aim in (("start → API's first reply, µs", "us", "≤ 3,000"), ("private memory, KiB", "private_kib", "≤ 120")):
        jailed, floor, plain = (result["start"][what][kind] for kind in ("jailed", "floor", "plain"))
        rows.append([label, CELL(**jailed), CELL(**plain),
                     f"{jailed['median'] - plain['median']:.0f} ({jailed['min'] - plain['min']:.0f})", aim,
                     CELL(**floor), f"{jailed['median'] / floor['median']:.2f} ({jailed['min'] / floor['min']:.2f})"])
    return table([f"{result['start']['us']['plain']['runs']} in turn: median (least)", "jailed", "not jailed", "difference",
                  "aim", "in the least jail", "ratio"], rows)


def _crowds(result):
    rows = []
    for host, found in result["crowds"].items():
        single = found["single"]
        mounts = HOSTS[host].format(result["mounts"])
        rows.append([1, mounts, MS(**single["cpu_ms"]), "", "", "", f"p50 {single['ms']['median']:.1f}", "", ""])
        for count, values in found["counts"].items():
            fair = single["ms"]["median"] * int(count) / result["cores"]
            cpu, least, bare = (found[kind][count]["cpu_ms"] for kind in ("counts", "least", "bare"))
            p99 = values["p99_ms"]["median"]
            rows.append([count, mounts, MS(**cpu), "≤ 4", MS(**least), MS(**bare), f"p99 {p99:.0f}", f"{p99 / fair:.2f}", "≤ 3"])
    return table(["jails at once", "mounts", "CPU each, ms: median of runs (least)", "aim", "least jail", "no jail", "start → end, ms",
                  "to p50 of one x jails / cores", "aim"], rows)


def _filters(result):
    found = result["filters"]
    rows = []
    for name, times in found["install_us"].items():
        ours, floor, halves = times["ours"], times["floor"], times["halves"]
        rows.append([name, f"{found['insns']['start']} + {found['insns'][name]}", CELL(**ours), CELL(**halves),
                     f"{ours['median'] / halves['median']:.2f}", "≤ 1.2", CELL(**floor),
                     f"{ours['median'] / floor['median']:.2f}"])
    return table(["filters of a thread", "instructions", "two installs, µs: median (least)", "as long, tells numbers apart",
                  "ratio", "aim", "as long, lets pass at once", "ratio"], rows)


def _io(result):
    rows = []
    for engine, found in result["io"].items():
        cells = ["{ratio:.3f} ({low:.3f}–{high:.3f})".format(**found[what]) for what in ("cpu", "time")]
        rows.append([f"tiny guest, {engine}, natively", *cells, "", ""])
    for cell, found in result.get("lab", {}).items():
        on, off = (statistics.median(found[walls]) for walls in ("on", "off"))
        least = f"{statistics.median(found['least']) / off:.4f}" if "least" in found else ""
        rows.append([f"{cell}, lab", f"{on:.2f} / {off:.2f} µs", f"{on / off:.4f}", f"≤ {1 + LAB_AIM}", least])
    return table(["a guest's disk, walls on to off", "CPU (with 95 % of the medians); lab: an operation", "time", "aim",
                  "filters of one comparison to none"], rows)


def _policy(result):
    found = result.get("policy")
    if not found:
        return ""
    empty = found["empty_ns"]
    rows = [["an empty program", empty, "", "", "", ""]]
    for name, words in (("known", "of a known exchange"), ("judged", "judged by the rules")):
        rules = found[f"{name}_ns"]
        for count, took in rules.items():
            is_last = count == max(rules, key=int)
            rows.append([f"{words}, {count} rules", took, f"{took / empty:.1f}", "≤ 5" if is_last and name == "known" else "",
                         f"{took / rules['10']:.2f}", "≤ 1.1" if is_last else ""])
    return table(["network policy, an allowed frame", "ns a run, least", "to an empty program", "aim", "to 10 rules", "aim"],
                 rows) + f"\nThe program of what comes from the guest: {found['translated_bytes']:,} bytes translated.\n"


def jail(result):
    parts = []
    if "start" in result:
        installs = result["installs"]
        parts += [_starts(result), _crowds(result), _filters(result),
                  f"With the API and one vCPU {len(installs)} filters are installed, of {', '.join(map(str, installs))} instructions. "
                  f"The jailer makes {result['calls']} system calls.\n", _policy(result)]
    if "io" in result or "lab" in result:
        parts.append(_io({"io": {}, **result}))
    return "\n".join(part for part in parts if part)
