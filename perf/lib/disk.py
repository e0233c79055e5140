# SPDX-License-Identifier: Apache-2.0
"""The disk of a guest in the lab, and the initrd whose blkload reads it."""

import common

PATH = "/disk"
MIB = 64


def drive(engine):
    return {"drive_id": "d", "path_on_host": PATH, "is_root_device": False, "io_engine": engine}


def initrd(args, directory):
    return common.initrd_with(args, directory, "blkload")
