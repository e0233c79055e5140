#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes a cpio archive (newc) for the kernel's initramfs, without root.

usage: mkcpio.py OUT < LIST        one entry a line, blank lines and # lines skipped:
    dir   PATH MODE                directory
    file  PATH MODE SOURCE         regular file with SOURCE's content
    link  PATH TARGET              symbolic link
    node  PATH MODE TYPE MAJ MIN   device node, TYPE c or b

Everything belongs to 0:0 and is dated 0, inode numbers count up: equal input, equal bytes.
SOURCE may hold blanks; the other fields may not.
"""
import os
import stat
import sys

ALIGN = 4
BLOCK = 512


def header(ino, mode, nlink, size, rdev, name):
    fields = (ino, mode, 0, 0, nlink, 0, size, 0, 0, rdev[0], rdev[1], len(name) + 1, 0)
    return b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"


def padded(data, align):
    return data + b"\0" * (-len(data) % align)


def parse(line):
    """One list line to (name, mode, content, rdev)."""
    kind, path, rest = (line.split(None, 2) + [""])[:3]
    name = path.lstrip("/").encode()
    if kind == "dir":
        return name, stat.S_IFDIR | int(rest, 8), b"", (0, 0)
    if kind == "file":
        mode, source = rest.split(None, 1)
        with open(source, "rb") as file:
            return name, stat.S_IFREG | int(mode, 8), file.read(), (0, 0)
    if kind == "link":
        return name, stat.S_IFLNK | 0o777, rest.encode(), (0, 0)
    if kind == "node":
        mode, node_type, major, minor = rest.split()
        bits = {"c": stat.S_IFCHR, "b": stat.S_IFBLK}[node_type]
        return name, bits | int(mode, 8), b"", (int(major), int(minor))
    raise ValueError("unknown kind '%s'" % kind)


def main():
    if len(sys.argv) != 2:
        sys.exit("mkcpio.py: give the path to write; the list is read from standard input.")
    archive = bytearray()
    for number, line in enumerate(sys.stdin, 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        try:
            name, mode, content, rdev = parse(line)
        except (OSError, ValueError, KeyError) as error:
            sys.exit("mkcpio.py: line %d, '%s': %s. Correct the list." % (number, line, error))
        nlink = 2 if stat.S_ISDIR(mode) else 1
        archive += padded(header(number, mode, nlink, len(content), rdev, name), ALIGN)
        archive += padded(content, ALIGN)
    archive += padded(header(0, 0, 1, 0, (0, 0), b"TRAILER!!!"), ALIGN)
    part = sys.argv[1] + ".part%d" % os.getpid()
    with open(part, "wb") as file:
        file.write(padded(bytes(archive), BLOCK))
    os.replace(part, sys.argv[1])


if __name__ == "__main__":
    main()
