# SPDX-License-Identifier: Apache-2.0
"""Replays conversations that were recorded with Firecracker 1.16.1 (tests/data/conversations.jsonl): a fresh process
and directory a scenario, a tiny guest as k.elf. Status lines, headers and bodies must be equal; a position in a
sentence about JSON may differ; what differs on purpose is listed in conversations_differences.json. Rows of clients.md: 28, 29, 37, 38, 40, 42, 43, 46, 47, 48."""

import collections
import json
import os
import re
import shutil

from api import OWN_NETWORK, Served
from native import ROOT, Mismatch, case, contains, equal, guest

VERSION = "1.16.1"
POSITION = re.compile(r" at line \d+ column \d+")
EXIT_OF_RECORDED_RUN = 10  # the step of load-resume that began another process; it has no reply

counts = collections.Counter()


def load(name):
    with open(os.path.join(ROOT, "tests/data", name), encoding="utf-8") as file:
        return file.read()


def scenarios():
    found = collections.OrderedDict()
    for line in load("conversations.jsonl").splitlines():
        row = json.loads(line)
        found.setdefault(row["scenario"], []).append(row)
    return found


def different_answers():
    """(scenario, step) -> a part of what is answered on purpose; None: a document with another value."""
    return {(entry["scenario"], entry["step"]): entry["answer"]
            for entry in json.loads(load("conversations_differences.json"))}


def without_length(headers):
    return [header for header in headers if not header.startswith("Content-Length: ")]


def check_other(what, row, reply, answer):
    """A reply that cannot be the recorded one: what a GET shows has the same keys, all else is refused."""
    equal(f"{what}: deprecated", "Deprecation: true" in row["headers"], "Deprecation: true" in reply.headers)
    if row["method"] == "GET" and reply.status == 200:
        equal(f"{what}: keys", list(json.loads(row["reply"])), list(reply.json))
    else:
        equal(f"{what}: status line", "HTTP/1.1 400 ", reply.status_line)
        contains(what, answer, reply.fault)


def check(row, reply, different):
    """Returns the kind that is counted."""
    what = f"{row['scenario']} {row['step']}: {row['method']} {row['path']} {str(row['body'])[:200]}"
    step = (row["scenario"], row["step"])
    if step in different:
        check_other(what, row, reply, different[step])
        return "different on purpose"
    expected = row["reply"].replace('"VER"', f'"{VERSION}"')
    equal(what, (row["status_line"], without_length(row["headers"])),
          (reply.status_line, without_length(reply.headers)))
    lengths = [header for header in reply.headers if header.startswith("Content-Length: ")]
    equal(f"{what}: length", [f"Content-Length: {len(reply.body.encode())}"] if reply.body else [], lengths)
    if reply.body == expected:
        return "equal"
    equal(what, POSITION.sub("", expected), POSITION.sub("", reply.body))
    return "equal but position"


def prepare(t):
    shutil.copy(guest("halt"), t.path("k.elf"))
    for name, size in (("d.img", 2 << 20), ("d2.img", 4 << 20), ("empty", 0)):
        with open(t.path(name), "wb") as file:
            file.truncate(size)


def serve(t, row, name):
    return Served(t, "--id", "diffapi", *row["args"], name=name, may_leave=("l.log", "l2.log", "s.log", "v.sock", "v4.sock",
                                                                           "s.st", "s.mem", "s5.mem"),
                  prefix=OWN_NETWORK)


def replay(rows):
    def run(t):
        prepare(t)
        different = different_answers()
        served = serve(t, rows[0], "api.sock")
        client = served.connect()
        faults = []
        seen = collections.Counter()
        for row in rows:
            if row["scenario"] == "load-resume" and row["step"] == EXIT_OF_RECORDED_RUN + 1:
                served.stop()
                os.unlink(t.path("v.sock")) # as whoever recorded must have
                served = serve(t, row, "again.sock")
                client = served.connect()
            body = None if row["body"] is None else json.dumps(row["body"])
            try:
                seen[check(row, client.ask(row["method"], row["path"], body), different)] += 1
            except Mismatch as mismatch:
                faults.append(mismatch)
        served.stop()
        counts.update(seen)
        print(f"  {rows[0]['scenario']}: " + ", ".join(f"{count} {kind}" for kind, count in seen.items()))
        if faults:
            raise Mismatch(f"{len(faults)} exchanges", *(
                "\n".join(f"{fault.what}\n  {text}" for fault, text in texts) for texts in
                ([(fault, fault.expected) for fault in faults], [(fault, fault.seen) for fault in faults])))
    run.__name__ = "api_replay_" + rows[0]["scenario"].replace("-", "_")
    return run


SCENARIOS = scenarios()
for _rows in SCENARIOS.values():
    case(replay(_rows))


@case
def api_replay_z_counts(_):
    """Runs behind the others: every exchange was counted, and nothing is listed that does not exist."""
    if counts:
        print("  all scenarios: " + ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items())))
    rows = {(row["scenario"], row["step"]) for rows in SCENARIOS.values() for row in rows}
    equal("listed exchanges that do not exist", set(), set(different_answers()) - rows)
    if counts:
        equal("exchanges", len(rows), sum(counts.values()))
