# SPDX-License-Identifier: Apache-2.0
"""Command lines that boot the same guest. A variant is a dict, as in the file for --variants:

name      how it is called in tables
argv      the command; the word CONFIG becomes the path of the config file
config    Mayfly's config file, if it takes one
setup     shell commands to run in the lab before, in the directory that will be the root
replace   {variant's file: host's file}: files that only this variant has
"""

import copy
import json

from common import MEM_MIB, QEMU, VCPU_COUNT, PerfError

# Quiet: each byte on the serial line is an exit to the monitor. What is compared is booting.
BOOT_ARGS = "console=ttyS0 quiet loglevel=0 panic=1"
INIT_ARGS = " mayfly.init_exit"

# How a guest ends each monitor. microvm without ACPI has no reset line; a triple fault ends it.
MAYFLY_END = " reboot=k"
QEMU_END = " reboot=t"

# What QEMU's documentation of microvm names for speed: qboot, no option ROMs, no legacy devices, no
# ACPI (virtio-mmio devices by command line, MP table).
QEMU_MACHINE = "microvm,x-option-roms=off,pit=off,pic=off,rtc=off,isa-serial=on,acpi=off"


def mayfly(name, irqchip, init_args=INIT_ARGS, drives=(), api_socket=None, nics=(), vsock=None):
    config = {"boot-source": {"kernel_image_path": "/vmlinux", "initrd_path": "/initrd",
                              "boot_args": BOOT_ARGS + MAYFLY_END + init_args},
              "drives": list(drives),
              "machine-config": {"vcpu_count": VCPU_COUNT, "mem_size_mib": MEM_MIB}}
    if nics:
        config["network-interfaces"] = list(nics)
    if vsock:
        config["vsock"] = vsock
    api = ["--api-sock", api_socket] if api_socket else ["--no-api"]
    argv = ["/mayfly", *api, "--level", "Off", "--config-file", "CONFIG"]
    if irqchip:
        argv += ["--irqchip", irqchip]
    return {"name": name, "argv": argv, "config": config}


def qemu(name, init_args=INIT_ARGS, more=()):
    return {"name": name, "argv": [
        QEMU, "-M", QEMU_MACHINE, "-accel", "kvm", "-cpu", "host", "-m", str(MEM_MIB),
        "-smp", str(VCPU_COUNT), "-nodefaults", "-no-user-config", "-no-reboot",
        "-display", "none", "-serial", "stdio", "-kernel", "/vmlinux", "-initrd", "/initrd",
        "-append", BOOT_ARGS + QEMU_END + init_args, *more]}


def boot_variants():
    return [mayfly("mayfly split", "split"), mayfly("mayfly full", "full"), qemu("QEMU microvm")]


def _merge(base, change):
    result = copy.deepcopy(base)
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(result.get(key), dict)
        result[key] = _merge(result[key], value) if both else value
    return result


def load(path):
    """Reads a file for --variants: a list; "base": "mayfly split" takes over a standard variant."""
    bases = {variant["name"]: variant for variant in boot_variants()}
    try:
        with open(path, encoding="utf-8") as f:
            wanted = json.load(f)
        found = []
        for item in wanted:
            base = bases[item.pop("base")] if "base" in item else {}
            more_args = item.pop("more_argv", [])
            more_boot_args = item.pop("more_boot_args", "")
            variant = _merge(base, item)
            variant["argv"] = variant["argv"] + more_args
            if "config" in variant:
                variant["config"]["boot-source"]["boot_args"] += more_boot_args
            elif more_boot_args:
                at = variant["argv"].index("-append") + 1
                variant["argv"][at] += more_boot_args
            found.append(variant)
            bases[variant["name"]] = variant
        return found
    except (ValueError, KeyError, AttributeError, TypeError) as e:
        raise PerfError(f"{path} is not a list of variants (perf/README.md): {e!r}") from e
