# SPDX-License-Identifier: Apache-2.0
"""The network policy's program, run by the kernel on one frame again and again (BPF_PROG_TEST_RUN, by bpftool),
beside a program that does nothing: on one of an exchange that is known from the first run on, and on a fragment,
which is judged by the rules each time. In namespaces of this process's own."""

import ctypes
import json
import os
import re
import struct
import subprocess

import common

RULES = (0, 10, 1000)
REPEAT = 200000
RUNS = 5
CLONE_NEWNS, CLONE_NEWNET = 0x20000, 0x40000000
EMPTY = 'int f(void *skb) { return 0; }\nchar l[] __attribute__((section("license"))) = "GPL";\n'
MAC = "02:00:00:00:00:02"
MORE_FRAGMENTS = 0x2000
FRAMES = {"known": 0, "judged": MORE_FRAGMENTS}


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise common.PerfError(f"{' '.join(command)}: {done.stderr.strip()}")
    return done.stdout


def frame(fragment):
    """TCP from the guest to 10.0.0.1:443, as long as a full segment. fragment: that field of IPv4's head."""
    tcp = struct.pack("!HHIIBBHHH", 50000, 443, 1, 1, 0x50, 0x10, 1000, 0, 0) + b"x" * 1440
    ip = struct.pack("!BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 1, fragment, 64, 6, 0, bytes([10, 0, 0, 2]), bytes([10, 0, 0, 1]))
    return bytes.fromhex("020000000001") + bytes.fromhex(MAC.replace(":", "")) + b"\x08\0" + ip + tcp


def policy(count):
    """`count` prefixes that are not the peer's, and the peer's own."""
    rules = [{"peer": f"10.{1 + i // 250}.{i % 250}.0/24", "verdict": "deny", "protocol": "tcp", "ports": "443"}
             for i in range(count)]
    return {"mac": MAC, "addresses": ["10.0.0.2"], "ingress": {"default": "deny"},
            "egress": {"default": "deny", "rules": [*rules, {"peer": "10.0.0.0/24", "verdict": "allow"}]}}


def timed(spec, path):
    """Least ns a run of the program, and what it answered."""
    best = None
    for _ in range(RUNS):
        text = run("bpftool", "prog", "run", *spec, "data_in", path, "repeat", str(REPEAT))
        took = int(re.search(r"duration \(average\): (\d+)ns", text).group(1))
        answer = int(re.search(r"Return value: (\d+)", text).group(1))
        best = took if best is None else min(best, took)
    if answer != 0:
        raise common.PerfError(f"the frame was not let pass: {answer}")
    return best


def translated(spec):
    return int(json.loads(run("bpftool", "--json", "prog", "show", *spec))["bytes_xlated"])


def measure(args, directory):
    if ctypes.CDLL(None, use_errno=True).unshare(CLONE_NEWNET | CLONE_NEWNS) != 0:
        raise common.PerfError("unshare: namespaces are refused: run as root")
    run("mount", "--make-rprivate", "/")
    run("mount", "-t", "bpf", "bpf", "/sys/fs/bpf")
    run("ip", "tuntap", "add", "tap0", "mode", "tap")
    paths = {name: os.path.join(directory, name) for name in (*FRAMES, "policy.json", "empty.c", "empty.o")}
    for name, fragment in FRAMES.items():
        with open(paths[name], "wb") as file:
            file.write(frame(fragment))
    with open(paths["empty.c"], "w", encoding="ascii") as file:
        file.write(EMPTY.replace("int f", '__attribute__((section("tc"))) int f'))
    run("clang", "-target", "bpf", "-O2", "-c", paths["empty.c"], "-o", paths["empty.o"])
    run("bpftool", "prog", "load", paths["empty.o"], "/sys/fs/bpf/empty")
    result = {"empty_ns": timed(("pinned", "/sys/fs/bpf/empty"), paths["known"]), **{f"{name}_ns": {} for name in FRAMES}}
    jailer = common.built(args, "mayfly-jailer")
    for count in RULES:
        with open(paths["policy.json"], "w", encoding="ascii") as file:
            json.dump(policy(count), file)
        where = ("--attach", "--tap", "tap0") if count == RULES[0] else ()
        run(jailer, "policy", "--id", "perf", *where, "--file", paths["policy.json"])
        shown = run("tc", "filter", "show", "dev", "tap0", "ingress")
        spec = ("id", re.search(r"\bid (\d+)", shown).group(1))
        for name in FRAMES:
            result[f"{name}_ns"][str(count)] = timed(spec, paths[name])
    result["translated_bytes"] = translated(spec)
    return result
