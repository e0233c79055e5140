# SPDX-License-Identifier: Apache-2.0
"""The disk of a guest in the lab, and the initrd whose blkload reads it."""

import os
import subprocess

import common

PATH = "/disk"
MIB = 64


def drive(engine):
    return {"drive_id": "d", "path_on_host": PATH, "is_root_device": False, "io_engine": engine}


def initrd(args, directory):
    """The busybox image with the load in it."""
    load = common.built(args, "perf/blkload")
    subprocess.run([os.path.join(common.ROOT, "guest/initrd/build"), "--out", directory,
                    "--add", f"{load}=/bin/blkload"], check=True, stdout=subprocess.DEVNULL)
    return os.path.join(directory, "initrd-busybox.img")
