# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of perf/jail."""

from tables import table

CELL = "{median:.0f} ({min:.0f})".format


def _starts(result):
    times, memory = result["start_us"], result["private_kib"]
    rows = [["start → API's first reply, µs", CELL(**times["jailed"]), CELL(**times["plain"]),
             f"{times['jailed']['median'] - times['plain']['median']:.0f}", "≤ 3,000"],
            ["private memory, KiB", CELL(**memory["jailed"]), CELL(**memory["plain"]),
             f"{memory['jailed']['median'] - memory['plain']['median']:.0f}", "≤ 120"]]
    return table([f"{times['plain']['runs']} in turn: median (least)", "jailed", "not jailed", "difference",
                  "aim"], rows)


def _crowds(result):
    rows = []
    for what, key, single_key in (("few", "crowds", "single"),
                                  (str(result["mounts"]), "crowds_with_mounts", "single_with_mounts")):
        single = result[single_key]
        for count, found in result[key].items():
            fair = single["p50_ms"] * found["count"] / result["cores"]
            rows.append([count, what, f"{found['cpu_ms']:.2f}", "≤ 4", f"{single['p50_ms']:.1f}",
                         f"{found['p99_ms']:.0f}", f"{found['p99_ms'] / fair:.2f}", "≤ 3"])
    return table(["jails at once", "mounts on the host", "CPU each, ms", "aim", "p50 of one, ms", "p99 of all, ms",
                  "to p50 x jails / cores", "aim"], rows)


def _filters(result):
    found = result["filters"]
    rows = []
    for name, times in found["install_us"].items():
        ours, floor, linear = times["ours"], times["floor"], times["linear"]
        rows.append([name, f"{found['insns']['start']} + {found['insns'][name]}", CELL(**ours), CELL(**floor),
                     f"{ours['median'] / floor['median']:.2f}", CELL(**linear),
                     f"{ours['median'] / linear['median']:.2f}", "≤ 1.2"])
    return table(["filters of a thread", "instructions", "two installs, µs: median (least)", "as long, lets pass at once",
                  "ratio", "as long, compares with all", "ratio", "aim"], rows)


def jail(result):
    return "\n".join([_starts(result), _crowds(result), _filters(result)])
