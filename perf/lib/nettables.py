# SPDX-License-Identifier: Apache-2.0
"""Markdown tables of perf/net and perf/vsock."""

import statistics

from tables import table

WRITE_KIB = 64
# By what is one operation; and its aim's unit.
NET_WORKS = {"up": ("TCP guest → host", "64 KiB written"), "down": ("TCP host → guest", "64 KiB written"),
             "ping": ("1 byte of TCP there and back", "round trip"),
             "udp": ("64-byte datagrams, host → guest", "datagram sent")}
# AMD's numbers (APM volume 2, appendix C): the lab's KVM is AMD's.
SVM_EXITS = {str(0x60): "interrupt", str(0x64): "interrupt window", str(0x72): "cpuid",
             str(0x78): "hlt",
             str(0x7b): "port", str(0x7c): "msr",
             str(0x400): "MMIO or page fault"}


def _difference(many, few, more):
    """Per operation, what costs anything, the most frequent first."""
    found = {key: (many[key] - few.get(key, 0)) / more for key in many}
    return {key: value for key, value in sorted(found.items(), key=lambda item: -item[1])
            if value >= 0.005}


def net_figures(found):
    """By operation: µs, interrupts and packets of the many; exits, system calls and threads' times
    from the difference between many and few."""
    many, few = found["many"], found["few"][0]
    more = many[0]["count"] - few["count"]
    traced = found["traced"]
    figures = {"us": [run["took_ns"] / run["count"] / 1000 for run in many],
               "exits": _difference(traced["many"]["exits"], traced["few"]["exits"], more),
               "calls": _difference(traced["many"]["calls"], traced["few"]["calls"], more)}
    figures["cpu_us"] = _difference(traced["many"]["cpu_us"], traced["few"]["cpu_us"], more)
    for key in ("interrupts", "received", "sent"):
        figures[key] = statistics.median(run[key] / run["count"] for run in many)
    figures["per_interrupt"] = statistics.median(
        run["received"] / max(run["interrupts"], 1) for run in many)
    figures["threads"] = {
        name: statistics.median(
            (run["threads"].get(name, {"ns": 0})["ns"] - few["threads"].get(name, {"ns": 0})["ns"])
            / more / 1000 for run in many) for name in many[0]["threads"]}
    figures["threads"]["other end"] = statistics.median(
        (run["server"]["netload"]["ns"] - few["server"]["netload"]["ns"]) / more / 1000
        for run in many)
    return figures


def _net_aims(work, figures, aims):
    """The row whose value has an aim: label, each monitor's values, digits, how it compares."""
    if work in ("connect", "stream"):
        return "µs", [f["us"] for f in figures], 1, ""
    if work == "udp":
        return "packets an interrupt", [[f["per_interrupt"]] for f in figures], 1, f"≥ {aims[work]}"
    if work == "ping":
        return "µs", [f["us"] for f in figures], 1, f"≤ {aims[work]}"
    return "µs a KiB", [[us / WRITE_KIB for us in f["us"]] for f in figures], 3, f"≤ {aims[work]}"


def _named(values, names=None):
    return ", ".join(f"{(names or {}).get(key, key)} {value:.2f}" for key, value in values.items())


def _net_rows(works, work, figures, aims):
    name, operation = works[work]
    label, values, digits, aim = _net_aims(work, figures, aims)

    def row(label, cells, aim="", ratio=None):
        return [label, *cells, f"{ratio:.2f}" if ratio is not None else "", aim]

    medians = [statistics.median(each) for each in values]
    rows = [row(f"**{name}**, {label}",
                [f"{statistics.median(each):.{digits}f} ({min(each):.{digits}f}–{max(each):.{digits}f})"
                 for each in values], aim, medians[0] / medians[-1])]
    if work == "udp":
        rows += [row("µs a datagram sent", [f"{statistics.median(f['us']):.2f}" for f in figures]),
                 row("of the datagrams, received", [f"{f['received']:.1%}" for f in figures])]
    rows += [row(f"interrupts a {operation}", [f"{f['interrupts']:.2f}" for f in figures]),
             row(f"exits a {operation}", [f"{sum(f['exits'].values()):.2f}" for f in figures],
                 f"≤ {aims['connect']}" if work == "connect" else ""),
             row(f"the monitor's system calls a {operation}",
                 [f"{sum(f['calls'].values()):.2f}" for f in figures])]
    if any(f["received"] for f in figures):
        rows.append(row(f"packets a {operation}: received, sent",
                        [f"{f['received']:.2f}, {f['sent']:.2f}" for f in figures]))
    return rows


def _memory_of(result, devices_max):
    """{monitor: [KiB by the number of devices]}, of those that were looked at with each number."""
    kept, found = result["memory_kib"], {}
    for monitor in result["monitors"]:
        names = [f"{monitor}: {count}" for count in range(devices_max + 1)]
        if all(name in kept for name in names):
            found[monitor] = [statistics.median(kept[name]) for name in names]
    return found


def _net_memory(result):
    """KiB of each further interface, from 0 to 1 and from 1 to 2."""
    rows = []
    for monitor, sums in _memory_of(result, 2).items():
        rows.append([monitor, *(f"{value:.0f}" for value in sums), f"{sums[1] - sums[0]:.0f}",
                     f"{sums[2] - sums[1]:.0f}", f"≤ {result['aims']['memory_kib']}"
                     if monitor == "mayfly" else ""])
    return table(["private dirty beyond guest RAM, interfaces up, KiB", "none", "one", "two",
                  "**the first**", "**the second**", "aim"], rows)


def _net_tables(result, what, works):
    """Figures beside each other, and where an operation's time goes."""
    rows, where_rows = [], []
    columns = result["monitors"]
    for work in works:
        names = [name for name in columns if f"{name}: {work}" in result["cells"]]
        if not names:
            continue
        columns = names
        figures = [net_figures(result["cells"][f"{name}: {work}"]) for name in names]
        rows += _net_rows(works, work, figures, result["aims"])
        where_rows += [[f"{work}, {name}", _named(f["threads"]), _named(f["exits"], SVM_EXITS),
                        _named(f["calls"]), _named(f["cpu_us"])]
                       for name, f in zip(names, figures)]
    if not rows:
        return []
    return [table([what, *columns, "ratio", "aim"], rows),
            table(["where, an operation", "µs of threads", "exits", "system calls",
                   "µs of the monitor, traced"], where_rows)]


def net(result):
    parts = _net_tables(result, "network", NET_WORKS)
    if result["memory_kib"]:
        parts.append(_net_memory(result))
    return "\n".join(parts)


# ---- vsock -------------------------------------------------------------------------------------

VSOCK_WORKS = {"up": ("Guest → host", "64 KiB written"), "down": ("Host → guest", "64 KiB written"),
               "ping": ("1 byte there and back", "round trip"),
               "connect": ("Connect, 1 byte there and back", "stream opened"),
               "stream": ("The same, and close", "stream")}
# Firecracker 1.16.1, measured earlier by the same recipe with its own kernel.
EARLIER_VSOCK = "Firecracker 1.16.1, measured earlier: 1.58 µs a KiB guest → host, 5.26 host → guest, " \
                "86 µs a round trip.\n"


def _vsock_memory(result):
    rows = []
    for monitor, (without, one) in _memory_of(result, 1).items():
        rows.append([monitor, f"{without:.0f}", f"{one:.0f}", f"**{one - without:.0f}**",
                     f"≤ {result['aims']['memory_kib']}" if monitor == "mayfly" else ""])
    return table(["private dirty beyond guest RAM, device idle, KiB", "without", "with",
                  "**the device**", "aim"], rows)


def vsock(result):
    parts = _net_tables(result, "vsock", VSOCK_WORKS)
    parts.append(EARLIER_VSOCK)
    if result["memory_kib"]:
        parts.append(_vsock_memory(result))
    return "\n".join(parts)
