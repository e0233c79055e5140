# SPDX-License-Identifier: Apache-2.0
"""A page-fault handler as users write them (snapshot.md 6): a program of its own that takes one message and one
descriptor over a socket and serves every page from the memory file.

usage: uffd_handler.py SOCKET MEMORY SEEN [BUFFER-SIZE] [late | early | leaves | takes | ahead | stops | forks]
SEEN gets what came, as JSON, once it is there. late: reads a second after it has accepted; early: closes the connection
once it has the descriptor; leaves: ends before the first page, by SIGKILL; takes: as it has read of the first; ahead:
copies the whole memory and ends; stops: stops itself (SIGSTOP) before the first page; forks: a child serves, whose
number SEEN gets, and who listened ends."""

import array
import ctypes
import fcntl
import json
import mmap
import os
import select
import signal
import socket
import struct
import sys
import time

PAGE = 4096
UFFDIO_COPY = 0xC028AA03
UFFDIO_WAKE = 0x8010AA02
EVENT_PAGEFAULT = 0x12


def receive(stream, size):
    """(the message, descriptors that came with it, what was read after it)."""
    data, ancillary, flags, _ = stream.recvmsg(size, socket.CMSG_SPACE(16 * 4))
    fds = array.array("i")
    for level, kind, content in ancillary:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
            fds.frombytes(content[:len(content) // 4 * 4])
    stream.setblocking(False)
    try:
        rest = stream.recv(1 << 16)
    except BlockingIOError:
        rest = None
    return data, list(fds), flags, rest


def copy_all(uffd, regions, memory):
    """Copies all of them, asked for or not."""
    for region in regions:
        buffer = mmap.mmap(-1, region["size"])
        buffer[:] = os.pread(memory, region["size"], region["offset"])
        address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
        fcntl.ioctl(uffd, UFFDIO_COPY, struct.pack("<QQQQq", region["base_host_virt_addr"], address, region["size"], 0, 0))


def serve(uffd, regions, memory):
    """Copies pages as they are missed."""
    buffer = mmap.mmap(-1, PAGE)
    address = ctypes.addressof(ctypes.c_char.from_buffer(buffer))
    poll = select.poll()
    poll.register(uffd, select.POLLIN)
    while True:
        poll.poll()
        try:
            message = os.read(uffd, 32)
        except BlockingIOError:
            continue
        if message[0] != EVENT_PAGEFAULT:
            raise RuntimeError(f"event {message[0]:#x}")
        fault = struct.unpack_from("<Q", message, 16)[0] & -PAGE
        region = next(region for region in regions
                      if region["base_host_virt_addr"] <= fault < region["base_host_virt_addr"] + region["size"])
        buffer[:] = os.pread(memory, PAGE, fault - region["base_host_virt_addr"] + region["offset"])
        try:
            fcntl.ioctl(uffd, UFFDIO_COPY, struct.pack("<QQQQq", fault, address, PAGE, 0, 0))
        except FileExistsError:  # two vCPUs missed the same page
            fcntl.ioctl(uffd, UFFDIO_WAKE, struct.pack("<QQ", fault, PAGE))


def main():
    path, memory_path, seen_path = sys.argv[1:4]
    size = int(sys.argv[4]) if len(sys.argv) > 4 else 1024
    how = sys.argv[5] if len(sys.argv) > 5 else ""
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(path + ".new")
        listener.listen(1)
        os.rename(path + ".new", path)  # whoever sees it can connect
        stream, _ = listener.accept()
    if how == "late":
        time.sleep(1)
    data, fds, flags, rest = receive(stream, size)
    with open(seen_path + ".part", "w", encoding="ascii") as file:
        json.dump({"data": data.decode(), "fds": len(fds), "flags": flags, "rest": repr(rest),
                   "fd_kinds": [os.readlink(f"/proc/self/fd/{fd}") for fd in fds],
                   "peer": struct.unpack("3i", stream.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]}, file)
    os.rename(seen_path + ".part", seen_path)
    if how == "early":
        stream.close()
    memory = os.open(memory_path, os.O_RDONLY)
    if how in ("leaves", "takes"):
        if how == "takes":
            select.select([fds[0]], [], [])
            os.read(fds[0], 32)
        os.kill(os.getpid(), signal.SIGKILL)
    if how == "ahead":
        copy_all(fds[0], json.loads(data), memory)
        return
    if how == "stops":
        os.kill(os.getpid(), signal.SIGSTOP)
    if how == "forks":
        if os.fork():
            return
        with open(seen_path + ".part", "w", encoding="ascii") as file:
            json.dump({"child": os.getpid()}, file)
        os.rename(seen_path + ".part", seen_path)
    serve(fds[0], json.loads(data), memory)


if __name__ == "__main__":
    main()
