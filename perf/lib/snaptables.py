# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of perf/snapshot and perf/clones."""

import statistics

from budget import LIMITS
from tables import ms, table

# Firecracker 1.16.1, measured earlier on such a machine; its ratios to its floor of 1.04 ms.
LOAD_ROWS = (("PUT /snapshot/load → guest's first output, plain process", "put", "put", 0.9, "7"),
             ("… from a warm shell (--warm)", "warm", "put", 0.4, ""),
             ("PUT /snapshot/load → reply, plain process", "put", "reply", None, ""),
             ("… from a warm shell", "warm", "reply", None, ""),
             ("exec → restored guest's first output, by API", "api", "exec", 1.8, "8.5"),
             ("exec → restored guest's first output, by command line", "command line", "exec", 1.4,
              "–"))
LAB_ROWS = (("PUT → first guest entry", "entry_us", 0.5, "2.5"),
            ("… from a warm shell", "warm_entry_us", None, "–"),
            ("PUT → guest's first output", "put", 3, "5.9"),
            ("… from a warm shell", "warm", None, "–"),
            ("… memory file in a tmpfs with huge=always", "huge put", None, "–"),
            ("… the same, from a warm shell", "huge warm", None, "–"),
            ("exec → guest's first output, by API", "api", 4.5, "10.1"),
            ("exec → guest's first output, by command line", "command line", None, "–"))

CELL = "{median:.0f} ({min:.0f})".format
CELL_1 = "{median:.1f} ({min:.1f})".format
CELL_2 = "{median:.2f} ({min:.2f})".format


def by_kind(counts):
    return ", ".join(f"{name} {n}" for name, n in sorted(counts.items(), key=lambda c: (-c[1], c[0])))


def _loads(native):
    times, calls = native["times_us"], native["syscalls"]
    floor = times["floor"]["exec"]
    rows = []
    for label, kind, figure, aim, earlier in LOAD_ROWS:
        ours = times[kind][figure]
        rows.append([label, CELL(**ours), CELL(**floor),
                     f"{ours['median'] / floor['median']:.2f} ({ours['min'] / floor['min']:.2f})",
                     f"≤ {aim}" if aim else "", earlier])
    rows.append(["system calls, PUT → first KVM_RUN", calls["total"], "", "", "≤ 45", "142 calls"])
    rows.append(["… of them KVM's", calls["kvm"], "", "", "", "48 calls"])
    rows.append(["… from a warm shell", native["warm_syscalls"]["total"], "", "", "≤ 25", ""])
    return table([f"native, {floor['runs']} in turn, µs: median (least)", "mayfly", "floor, exec → output",
                  "ratio", "aim", "Firecracker's, earlier"], rows) + \
        f"\nSystem calls: {by_kind(calls['calls'])}.\n\nKVM's: {by_kind(calls['kvm_calls'])}.\n" \
        f"\nFrom a warm shell: {by_kind(native['warm_syscalls']['calls'])}.\n"


def _sizes(native):
    found = {int(mib): row for mib, row in native["by_mib"].items()}
    least = found[min(found)]["beside"]
    rows = [[mib, CELL(**row["reply"]), CELL(**row["slot"]), f"{row['beside']:.0f}",
             f"{row['beside'] / least:.2f}"] for mib, row in sorted(found.items())]
    return table(["guest RAM, MiB; native, µs", "PUT → reply", "the floor's slot as large", "difference",
                  "to the first"], rows)


def _creates(native):
    one, whole, diff = native["create_ms"], native["whole_ms"], native["diff_ms"]
    idle = native["idle_kib"]
    rows = [
        ["full, 128 MiB tiny guest", CELL_2(**one["create"]), "≤ 5", "103"],
        ["… into tmpfs, whose fsync is nothing", CELL_2(**native["create_tmpfs_ms"]["create"]), "", ""],
        ["… on disk, KiB", one["disk_bytes"] // 1024, "≤ 1024", "131,072"],
        ["… pause / resume", f"{CELL_2(**one['pause'])} / {CELL_2(**one['resume'])}", "", ""],
        ["full, 1 GiB guest, 100 MiB written to", CELL_1(**whole["create"]), "", ""],
        ["… dd of 100 MiB with conv=fsync, in turn", CELL_1(**whole["dd"]), "", ""],
        ["… ratio, of neighbours in turn", CELL_2(**whole["ratio"]), "≤ 1.2", ""],
        ["… on disk, KiB", whole["disk_bytes"] // 1024, "", ""],
        [f"diff, {diff['pages']['median']:.0f} dirty pages", CELL_1(**diff["create"]), "", ""],
        ["… its fsync's", CELL_1(**diff["fsync"]), "", ""],
        ["… beside fsync", CELL_1(**diff["beside"]), "≤ 10", ""],
        ["private dirty memory of an idle clone, KiB", idle["Private_Dirty"],
         f"≤ {LIMITS['clone-dirty']}", "547"]]
    return table(["native, ms: median (least)", "mayfly", "aim", "Firecracker 1.16.1, earlier"], rows)


def _figure(found, key):
    if key.endswith("entry_us"):
        return found[key]
    if key.startswith("huge "):
        return [row["put"] for row in found["huge_rows"][key.removeprefix("huge ")]]
    return [row["put" if key in ("put", "warm") else "exec"] for row in found["rows"][key]]


def _cell(found, key):
    return "" if key.startswith("huge ") and "huge_rows" not in found else ms(_figure(found, key))


def _lab(lab):
    sizes = sorted(lab, key=int)
    rows = []
    for label, key, aim, earlier in LAB_ROWS:
        rows.append([label + ", ms"] + [_cell(lab[mib], key) for mib in sizes]
                    + [f"≤ {aim}" if aim else "", earlier])
    replies = [[row["reply"] for row in lab[mib]["rows"]["put"]] for mib in sizes]
    rows.append(["PUT → reply, ms"] + [ms(values) for values in replies] + ["", ""])
    base = statistics.median(replies[0])
    rows.append(["… to the first"] + [f"{statistics.median(values) / base:.2f}" for values in replies]
                + ["≤ 1.1", ""])
    head = ["lab, Linux guest"] + [f"{mib} MiB" for mib in sizes] + ["aim", "Firecracker 1.16.1, earlier"]
    where = lab[sizes[0]]["where"]
    caption = f"PUT → first entry, {sizes[0]} MiB, traced"
    calls = [[what, us] for what, us in where["by_call"].items() if us >= 1]
    own = [[f"{before} → {behind}", us, faults, at] for at, us, faults, before, behind in where["own"]]
    output = [["guest", where["to_output"]["guest_us"], ""]]
    output += [[reason, cost["us"], cost["count"]]
               for reason, cost in where["to_output"]["outside"].items()]
    return "\n".join([table(head, rows), table(["first entry → first output, traced", "µs", "exits"], output),
                      table([caption, "µs"], calls),
                      table([caption + ": own code between", "µs", "page faults in it", "at, µs"], own)])


def snapshot(result):
    parts = []
    if "lab" in result:
        parts.append(_lab(result["lab"]))
    if "native" in result:
        parts += [_loads(result["native"]), _sizes(result["native"]), _creates(result["native"])]
    return "\n".join(parts)


# ---- clones ------------------------------------------------------------------------------------

def _starts(result):
    rows = []
    for count, found in sorted(result["starts"].items(), key=lambda item: int(item[0])):
        for name, row in found.items():
            def cell(key, unit=1000, of=row):
                return f"{of[key]['median'] / unit:.2f}"
            rows.append([count, name, cell("p50_us"), cell("p99_us"), cell("max_us"), cell("up_us"),
                         cell("cpu_us"), cell("usage_us"), cell("gone_us"),
                         f"{row['gone_us']['median'] / found['floor']['gone_us']['median']:.2f}"])
    return table(["at once", "program", "exec → first output, ms: p50", "p99", "max", "all up",
                  "CPU each until then (aim at 100: ≤ 3)", "… its end included", "all killed → all gone",
                  "to the floor's (aim at 100: ≤ 1.3)"], rows)


def _memory(result):
    rows = []
    for mib, found in sorted(result["memory"].items(), key=lambda item: int(item[0])):
        base = found["floor"]["kernel"]["median"]
        for name, row in found.items():
            rows.append([mib, name] + [f"{row[key]['median']:.0f}" for key in (
                "Private_Dirty", "Private_Clean", "Pss", "kernel", "Slab", "VmallocUsed", "PageTables")]
                        + [f"{row['kernel']['median'] / base:.2f}" if base else "–"]
                        + [f"{row[key]['median']:.0f}" for key in ("SecPageTables", "KernelStack", "Percpu")]
                        + [f"{-row['MemAvailable']['median']:.0f}"])
    return table([f"RAM, MiB; KiB each, {result['memory_count']} alive", "program",
                  "private dirty (aim: ≤ 250)", "private clean", "PSS", "**kernel**", "Slab", "VmallocUsed",
                  "PageTables", "kernel to the floor's (aim: ≤ 1.15)", "SecPageTables", "KernelStack",
                  "Percpu", "of MemAvailable"], rows)


def clones(result):
    return _starts(result) + "\n" + _memory(result)
