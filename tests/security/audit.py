# SPDX-License-Identifier: Apache-2.0
"""What the kernel logs of seccomp: the audit records themselves, since dmesg gets a few a second of them."""

import os
import re
import socket

NETLINK_AUDIT, NLGRP_READLOG, SOL_NETLINK, ADD_MEMBERSHIP, NO_ENOBUFS = 9, 1, 270, 1, 5
SO_RCVBUFFORCE = 33
ROOM = 64 << 20  # bytes: thousands of records
TYPE_SECCOMP = 1326
FD = "MAYFLY_ESCAPE_AUDIT_FD"
RECORD = re.compile(r" pid=(\d+) comm=(\S+) .* syscall=(\d+) ")


def join():
    """Has to be in the host's own network namespace, where the kernel sends them; goes on across exec."""
    log = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, NETLINK_AUDIT)
    log.bind((0, 0))
    log.setsockopt(socket.SOL_SOCKET, SO_RCVBUFFORCE, ROOM)
    log.setsockopt(SOL_NETLINK, ADD_MEMBERSHIP, NLGRP_READLOG)
    log.set_inheritable(True)
    os.environ[FD] = str(log.detach())


def name_of(word):
    """As the kernel writes a name: in quotes, or in hexadecimal when it has a space."""
    return word.strip('"') if word.startswith('"') else bytes.fromhex(word).decode()


def seccomp_records(pid):
    """(thread's name, number of the call) of all records so far of that process."""
    log = socket.socket(fileno=os.dup(int(os.environ[FD])))
    log.settimeout(0.2)
    found = set()
    try:
        while True:
            message = log.recv(1 << 16)
            match = RECORD.search(message[16:].decode(errors="replace"))
            if int.from_bytes(message[4:6], "little") == TYPE_SECCOMP and match and int(match[1]) == pid:
                found.add((name_of(match[2]), int(match[3])))
    except TimeoutError:
        return found
    finally:
        log.close()
