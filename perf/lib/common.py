# SPDX-License-Identifier: Apache-2.0
"""What all of perf shares on the host: where things are, what the machine is, figures of runs."""

import argparse
import hashlib
import json
import os
import platform
import re
import statistics
import subprocess
import sys
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__))))
RESULTS = os.path.join(ROOT, "perf/results")
LAB = os.path.join(ROOT, "tests/lab/lab")
QEMU = "/usr/bin/qemu-system-x86_64"
QEMU_DATA = "/usr/share/qemu/"
# qboot is microvm's firmware; the option ROMs are looked for even where they are switched off.
QEMU_ROMS = ("qboot.rom", "bios-microvm.bin", "kvmvapic.bin", "linuxboot_dma.bin", "pvh.bin")
LAB_TIMEOUT_S = 3600

# The same VM for every monitor.
VCPU_COUNT = 1
MEM_MIB = 128


class PerfError(Exception):
    """One sentence for the user."""


def main(function):
    """Runs a program of perf; a failure is one sentence on stderr and status 1."""
    name = "perf/" + os.path.basename(sys.argv[0])
    try:
        return function()
    except (PerfError, OSError) as e:
        print(f"{name}: {e}", file=sys.stderr)
        return 1
    except subprocess.CalledProcessError as e:
        print(f"{name}: '{' '.join(map(str, e.cmd[:6]))} ...' ended with status {e.returncode}",
              file=sys.stderr)
        return 1


def say(text):
    print(f"perf: {text}", file=sys.stderr, flush=True)


# ---- what is measured --------------------------------------------------------------------------

def add_options(parser):
    parser.add_argument("--build", metavar="DIR", default=os.path.join(ROOT, "build"),
                        help="meson's build folder, for the monitor and perf's programs")
    parser.add_argument("--mayfly", metavar="FILE", help="another monitor than the build's")
    parser.add_argument("--kernel", metavar="FILE", help="another guest kernel (ELF)",
                        default=os.path.join(ROOT, "build/guest/vmlinux-tuned"))
    parser.add_argument("--initrd", metavar="FILE", help="another initrd, with mayfly-init",
                        default=os.path.join(ROOT, "build/guest/initrd-tuned.img"))
    parser.add_argument("--out", metavar="FILE", help="the JSON to write")


def parser_for(doc):
    parser = argparse.ArgumentParser(description=doc,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    add_options(parser)
    return parser


def need(path, how):
    if not os.path.exists(path):
        raise PerfError(f"{os.path.relpath(path, ROOT)} is missing: {how}")
    return path


def built(args, name):
    """A program of the build folder: mayfly, perf/vm_time, tests/native/guests/hello.elf, ..."""
    return need(os.path.join(args.build, name), "run 'meson setup build && ninja -C build'")


def monitor(args):
    return need(os.path.abspath(args.mayfly), "give --mayfly a file") if args.mayfly \
        else built(args, "mayfly")


def guest_files(args):
    need(args.kernel, "run guest/kernel/build (7 minutes, once)")
    need(args.initrd, "run guest/initrd/build")
    return {"/vmlinux": args.kernel, "/initrd": args.initrd}


def initrd_with(args, directory, name):
    """The busybox image with one of perf's programs in its /bin."""
    program = built(args, "perf/" + name)
    subprocess.run([os.path.join(ROOT, "guest/initrd/build"), "--out", directory,
                    "--add", f"{program}=/bin/{name}"], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(directory, "initrd-busybox.img")


def stripped(path, directory):
    """The monitor as it is shipped."""
    copy = os.path.join(directory, "mayfly")
    subprocess.run(["strip", "-o", copy, path], check=True)
    return copy


def qemu_files():
    """QEMU with all that it opens, so that it runs from a directory of its own in the lab."""
    need(QEMU, "install qemu-system-x86")
    files = {QEMU: QEMU, "/etc/ld.so.cache": "/etc/ld.so.cache"}
    for line in subprocess.check_output(["ldd", QEMU], text=True).splitlines():
        found = re.search(r"(/\S+) \(0x", line)
        if found:
            files[found.group(1)] = found.group(1)
    for name in QEMU_ROMS:
        files[QEMU_DATA + name] = QEMU_DATA + name
    return files


# ---- what is written down ----------------------------------------------------------------------

def sha256(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def describe_file(path):
    return {"sha256": sha256(path), "bytes": os.path.getsize(path)}


def first_match(pattern, text):
    found = re.search(pattern, text, re.MULTILINE)
    return found.group(1).strip() if found else "unknown"


def describe_machine():
    with open("/proc/cpuinfo", encoding="ascii") as f:
        cpu = first_match(r"^model name\s*: (.*)$", f.read())
    with open("/etc/os-release", encoding="utf-8") as f:
        system = first_match(r'^PRETTY_NAME="(.*)"$', f.read())
    qemu = subprocess.run([QEMU, "--version"], capture_output=True, text=True, check=True).stdout
    kvm = [name for name in ("kvm_intel", "kvm_amd", "kvm_pvm")
           if os.path.exists("/sys/module/" + name)]
    return {"cpu": cpu, "cores": os.cpu_count(), "system": system,
            "kernel": re.match(r"[0-9.]+", platform.release()).group(0),
            "kvm": kvm[0] if kvm else "none", "qemu": first_match(r"version ([0-9.]+)", qemu)}


def version(path):
    text = subprocess.run([path, "--version"], capture_output=True, text=True, check=True).stdout
    return text.splitlines()[0] if text else "unknown"


def write_json(path, result):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path + ".new", "w", encoding="ascii") as f:
        json.dump(result, f, indent=1)
        f.write("\n")
    os.replace(path + ".new", path)


def spread(values):
    """Median and both ends."""
    return {"median": statistics.median(values), "min": min(values), "max": max(values),
            "runs": len(values)}


# ---- the lab -----------------------------------------------------------------------------------

def inside_line(job, directory):
    """Writes the job; gives the command that does it and the path of its result."""
    job_path, result_path = directory + "/job.json", directory + "/result.json"
    with open(job_path, "w", encoding="ascii") as f:
        json.dump(job, f)
    inside = os.path.join(ROOT, "perf/lib/inside.py")
    return [sys.executable, inside, job_path, result_path], result_path


def read_result(path):
    with open(path, encoding="ascii") as f:
        return json.load(f)


def run_inside(job, directory):
    """Does a job here: we are in a lab."""
    line, result_path = inside_line(job, directory)
    subprocess.run(line, check=True)
    return read_result(result_path)


def lab_run(job, expedited=True):
    """Does a job in a lab under the instruction clock."""
    with tempfile.TemporaryDirectory(prefix="mayfly-perf-") as directory:
        # The lab shows of /tmp only what its command line mentions.
        shown = [*job["files"].values(), job["vm_time"]]
        line = [LAB, "icount", "--timeout", str(LAB_TIMEOUT_S), "--rw", directory,
                "--env", "MAYFLY_PERF_FILES=" + ":".join(shown)]
        if not expedited:
            line.append("--no-expedited")
        inside, result_path = inside_line(job, directory)
        subprocess.run(line + inside, check=True)
        return read_result(result_path)
