#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rewrites a kernel ELF so that only bytes which matter are in it.

usage: pack.py VMLINUX OUT

The linker aligns text, entry text, read-only data and data to 2 MiB each, and the padding is part
of the loadable segments: a monitor would copy megabytes of it at every start. Here each segment
is split at runs of padding pages: zeros, or between functions the trap instruction 0xcc, which
nothing ever reaches. A run becomes the part of a segment beyond its file size, which any ELF
loader fills with zeros. Addresses, entry point and the PVH note stay as they are; section
headers and symbols go. File offsets are congruent with the addresses modulo a page.
Prints one line: bytes to load before and after.
"""
import os
import struct
import sys

PAGE = 4096
RUN_MIN = 16 * PAGE  # a shorter run is cheaper to copy than a segment more
EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
PHDR = struct.Struct("<IIQQQQQQ")
PT_LOAD, PT_NOTE = 1, 4


def pieces(data):
    """Yields (start, end) of the parts of data between long runs of padding pages."""
    paddings = (bytes(PAGE), b"\xcc" * PAGE)
    start, run = 0, 0  # the first part always starts at 0, so that no byte is left out
    for at in range(0, len(data), PAGE):
        page = data[at:at + PAGE]
        if page in (padding[:len(page)] for padding in paddings):
            run += len(page)
            continue
        if run >= RUN_MIN:
            yield start, max(at - run, start + PAGE)
            start = at
        run = 0
    yield start, max(len(data) - run, min(start + PAGE, len(data)))


def main():
    if len(sys.argv) != 3:
        sys.exit("pack.py: give the kernel ELF and the path to write.")
    with open(sys.argv[1], "rb") as file:
        image = file.read()
    header = list(EHDR.unpack_from(image, 0))
    if image[:6] != b"\x7fELF\x02\x01":
        sys.exit("pack.py: %s is not a 64-bit little-endian ELF file." % sys.argv[1])
    phoff, phnum = header[5], header[10]
    before, loads, notes = 0, [], []
    for index in range(phnum):
        phdr = PHDR.unpack_from(image, phoff + index * PHDR.size)
        kind, flags, offset, vaddr, paddr, filesz, memsz, _ = phdr
        if kind == PT_NOTE:
            notes.append(phdr)
        if kind != PT_LOAD:
            continue
        before += filesz
        # Segments that do not start on a page (per-CPU data does) keep their first partial page.
        parts = list(pieces(image[offset:offset + filesz]))
        for number, (start, end) in enumerate(parts):
            limit = parts[number + 1][0] if number + 1 < len(parts) else memsz
            loads.append((flags, offset + start, vaddr + start, paddr + start, end - start,
                          limit - start))

    out = bytearray(EHDR.size + (len(loads) + len(notes)) * PHDR.size)
    table = []
    for flags, offset, vaddr, paddr, filesz, memsz in loads:
        out += bytes((paddr - len(out)) % PAGE)
        table.append((PT_LOAD, flags, len(out), vaddr, paddr, filesz, memsz, PAGE))
        out += image[offset:offset + filesz]
    for kind, flags, offset, vaddr, paddr, filesz, memsz, align in notes:
        inside = [(new[2], old) for new, old in zip(table, loads)
                  if old[1] <= offset and offset + filesz <= old[1] + old[4]]
        if not inside:
            sys.exit("pack.py: the note of %s is in no loadable segment." % sys.argv[1])
        new_offset, old = inside[0]
        table.append((kind, flags, new_offset + offset - old[1], vaddr, paddr, filesz, memsz,
                      align))
    header[5], header[6], header[10] = EHDR.size, 0, len(table)
    header[11:14] = [64, 0, 0]
    EHDR.pack_into(out, 0, *header)
    for index, phdr in enumerate(table):
        PHDR.pack_into(out, EHDR.size + index * PHDR.size, *phdr)

    part = sys.argv[2] + ".part%d" % os.getpid()
    with open(part, "wb") as file:
        file.write(out)
    os.chmod(part, 0o755)
    os.replace(part, sys.argv[2])
    print("kernel: %d KiB to load, %d KiB without the padding"
          % (before // 1024, sum(load[4] for load in loads) // 1024))


if __name__ == "__main__":
    main()
