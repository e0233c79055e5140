# SPDX-License-Identifier: Apache-2.0
"""Mends one instruction of a running QEMU: its emulated VMRUN delivers some interrupts twice.

VMRUN with an injected interrupt (EVENTINJ) delivers it, but first notes its vector as the CPU's
pending exception and never takes that back. When the emulator next leaves its inner loop for a
reason of its own (with -icount: a timer is due) it takes the note for news and delivers the vector
again, whatever the guest's IF says. A guest then runs its timer's handler inside the handler, and
once in some fifty boots spins for ever on a lock that the outer one holds. So it is in QEMU 7.2, and
in its repository as far as we have looked. The store of that note is replaced by a no-op, in the
process's memory only.
"""

import os
import re

# What the compiler made of the INTR case of helper_vmrun, with any displacement: the vector to esi;
# error_code; exception_index (group 1: the store); exception_is_int = 0; exception_next_eip = -1;
# then the log test and the call with (env, vector, 1).
NOTE = re.compile(
    rb"\x41\x0f\xb6\xf4" rb"\x44\x89\xab.{4}" rb"(\x89\xb3.{4})" rb"\xc7\x83.{4}\0\0\0\0"
    rb"\x48\xc7\x83.{4}\xff\xff\xff\xff" rb"\xf6\x05.{4}\x02\x0f\x85.{4}"
    rb"\xba\x01\0\0\0\x48\x89\xdf\xe8", re.DOTALL)
NOP6 = b"\x66\x0f\x1f\x44\0\0"


def _text_address(pid, exe, offset):
    """Where byte `offset` of file `exe` is mapped executable in the process; None: not (yet)."""
    with open(f"/proc/{pid}/maps", encoding="utf-8") as f:
        for line in f:
            span, rights, start, _, _, *name = line.split(maxsplit=5)
            low, high = (int(x, 16) for x in span.split("-"))
            at = low + offset - int(start, 16)
            if "x" in rights and name and name[0].strip() == exe and low <= at < high:
                return at
    return None


def mend(pid, exe):
    """Mends the QEMU that runs as `pid` from the file `exe`. Returns None, or why it was not done."""
    with open(exe, "rb") as f:
        found = list(NOTE.finditer(f.read()))
    if len(found) != 1:
        return f"the place is not known in this {os.path.basename(exe)} ({len(found)} candidates)"
    try:
        at = _text_address(pid, exe, found[0].start(1))
        if at is None:
            return "its code is not mapped"
        with open(f"/proc/{pid}/mem", "r+b", buffering=0) as mem:
            mem.seek(at)
            if mem.read(len(NOP6)) != found[0].group(1):
                return "its memory does not hold what its file holds"
            mem.seek(at)
            mem.write(NOP6)
    except OSError as e:
        return f"its memory cannot be written: {e.strerror}"
    return None
