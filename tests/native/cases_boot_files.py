# SPDX-License-Identifier: Apache-2.0
"""Kernels, initrds and disks that cannot be what they are given for, and those that only look so. One sentence each;
exit code 1; nothing left behind."""

import os
import stat
import struct

from native import CONFIGURATION, NOT_STARTED, case, contains, equal, guest, messages, skip

OPEN_KERNEL = CONFIGURATION + "Boot source error: The kernel file cannot be opened: "
OPEN_INITRD = (CONFIGURATION + "Boot source error: The initrd file cannot be opened due to invalid path or invalid "
               "permissions. ")
LOAD_KERNEL = (NOT_STARTED + "System configuration error: Cannot load kernel due to invalid memory configuration or "
               "invalid kernel image: ")
NO_KERNEL = "Kernel Loader: failed to load ELF kernel image: Kernel Loader: "
NO_MAGIC = NO_KERNEL + "Invalid Elf magic number"
LOAD_INITRD = NOT_STARTED + "Error with initrd initialization: "
OPEN_DISK = (CONFIGURATION + "Block device error: Unable to create the virtio block device: Virtio backend error: "
             "Error manipulating the backing file: ")

NO_FILE = "No such file or directory (os error 2)"

# Offsets in an ELF64 file with one program header at byte 64.
E_CLASS, E_MACHINE, E_ENTRY, E_PHNUM = 4, 18, 24, 56
P_PADDR, P_FILESZ, P_MEMSZ = 64 + 24, 64 + 32, 64 + 40


def hello_image():
    with open(guest("hello"), "rb") as file:
        return file.read()


def elf_with(offset, layout, value):
    """The hello guest with one field changed."""
    image = bytearray(hello_image())
    struct.pack_into(layout, image, offset, value)
    return bytes(image)


def bzimage(size=4096, version=0x20F, setup_sectors=1):
    """The head of a bzImage without any code behind it."""
    image = bytearray(4096)
    image[0x1F1] = setup_sectors
    image[0x201] = 0x6A
    image[0x202:0x206] = b"HdrS"
    image[0x211] = 1
    struct.pack_into("<H", image, 0x1FE, 0xAA55)
    struct.pack_into("<H", image, 0x206, version)
    struct.pack_into("<H", image, 0x236, 1)
    return bytes(image[:size])


GARBAGE = bytes((i * 7919 + i // 251) % 256 for i in range(65536))

# name, content of the file `image`, end of the sentence
BAD_KERNELS = [
    ("empty", b"", NO_KERNEL + "Unable to read elf header"),
    ("one_byte", b"\x7f", NO_MAGIC),
    ("garbage", GARBAGE, NO_MAGIC),
    ("text", b"#!/bin/sh\necho this is no kernel\n" * 100, NO_MAGIC),
    ("header_cut", hello_image()[:40],
     "the kernel is truncated: the ELF header ends at byte 64, the file has 40"),
    ("program_headers_cut", hello_image()[:100],
     "the kernel is truncated: 1 program headers at byte 64, the file has 100"),
    ("segment_cut", hello_image()[:128],
     "the kernel is truncated: segment 0 ends at byte 132, the file has 128"),
    ("of_32_bits", elf_with(E_CLASS, "B", 1), "the ELF kernel is not 64-bit (class 1)"),
    ("of_another_machine", elf_with(E_MACHINE, "<H", 183), "the ELF kernel is not for x86-64 (machine 183)"),
    ("of_too_many_segments", elf_with(E_PHNUM, "<H", 65535),
     "the ELF kernel has 65535 program headers, at most 64 are read"),
    ("larger_than_memory", elf_with(P_MEMSZ, "<Q", 1 << 30),
     "the kernel needs 1025 MiB, the guest has 128 MiB: raise mem_size_mib"),
    ("of_wrapping_size", elf_with(P_MEMSZ, "<Q", 2**64 - 1), "segment 0 of the ELF kernel wraps around in memory"),
    ("below_one_mib", elf_with(P_PADDR, "<Q", 0x1000), "segment 0 of the ELF kernel loads at 0x1000, below 1 MiB"),
    ("above_all_memory", elf_with(P_PADDR, "<Q", 2**64 - 4096),
     "the kernel reaches guest address 0xfffffffffffff00c, memory for it ends at 0xc0000000"),
    ("without_entry", elf_with(E_ENTRY, "<Q", 0x70000000),
     "the ELF kernel's 64-bit entry 0x70000000 lies outside its segments"),
    ("bzimage_cut", bzimage(0x260),
     "the kernel is truncated: the setup header ends at byte 616, the file has 608"),
    ("bzimage_old", bzimage(version=0x20A),
     "the bzImage kernel speaks boot protocol 2.10, 2.12 or later is needed"),
    ("bzimage_without_code", bzimage(), "the bzImage kernel's syssize is too small (0 bytes of code)"),
]


def kernel_config(t, path):
    t.config("hello", boot_source={"kernel_image_path": path})


def initrd_config(t, path):
    t.config("hello", boot_source={"kernel_image_path": guest("hello"), "initrd_path": path})


def disk_config(t, path, **more):
    t.config("hello", drives=[{"drive_id": "d", "path_on_host": path, "is_root_device": False, **more}])


def bad_kernel(name, content, sentence):
    def run(t):
        t.write("image", content)
        kernel_config(t, "image")
        t.expect_error(t.run_vm(), LOAD_KERNEL + sentence)
    run.__name__ = "kernel_" + name
    return run


for _row in BAD_KERNELS:
    case(bad_kernel(*_row))


@case
def kernel_missing(t):
    kernel_config(t, "none")
    t.expect_error(t.run_vm(), OPEN_KERNEL + NO_FILE)
    kernel_config(t, "")
    t.expect_error(t.run_vm(), OPEN_KERNEL + NO_FILE)
    t.write("file", "")
    kernel_config(t, "file/none")
    t.expect_error(t.run_vm(), OPEN_KERNEL + "Not a directory (os error 20)")


@case
def kernel_is_no_regular_file(t):
    os.mkdir(t.path("directory"))
    os.mkfifo(t.path("fifo"))
    kernel_config(t, "directory")
    t.expect_error(t.run_vm(), LOAD_KERNEL + "the kernel is a directory, not a file")
    for path in ("fifo", "/dev/zero", "/dev/null"):
        kernel_config(t, path)
        t.expect_error(t.run_vm(), LOAD_KERNEL + "the kernel is not a regular file")


@case
def kernel_file_too_large(t):
    with open(t.path("image"), "wb") as file:
        file.write(hello_image())
        file.truncate(8 << 30)
    kernel_config(t, "image")
    t.expect_error(t.run_vm(), LOAD_KERNEL + "the kernel file has 8589934592 bytes, at most 1073741824 are "
                   "accepted")


@case
def kernel_without_permission(t):
    if os.geteuid() != 0:
        skip("only root can run the monitor as somebody who may use /dev/kvm but not read the file")
    t.write("image", hello_image())
    os.chmod(t.path("image"), 0)
    kernel_config(t, "image")
    # Root without the capabilities that make it root over files still owns /dev/kvm.
    bare = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    end = t.run_vm(prefix=bare)
    t.expect_error(end, OPEN_KERNEL + "Permission denied (os error 13)")


@case
def initrd_missing(t):
    initrd_config(t, "none")
    t.expect_error(t.run_vm(), OPEN_INITRD + NO_FILE)


@case
def initrd_is_no_regular_file(t):
    os.mkdir(t.path("directory"))
    os.mkfifo(t.path("fifo"))
    initrd_config(t, "directory")
    t.expect_error(t.run_vm(), LOAD_INITRD + "directory: the initrd is a directory, not a file")
    for path in ("fifo", "/dev/zero", "/dev/null"):
        initrd_config(t, path)
        t.expect_error(t.run_vm(), LOAD_INITRD + path + ": the initrd is not a regular file")


@case
def initrd_empty(t):
    t.write("image", "")
    initrd_config(t, "image")
    t.expect_error(t.run_vm(), LOAD_INITRD + "image: the initrd file is empty")


@case
def initrd_too_large(t):
    with open(t.path("image"), "wb") as file:
        file.truncate(300 << 20)
        initrd_config(t, "image")
        end = t.run_vm()
        t.expect_end(end, 1)
        contains("stderr", LOAD_INITRD + "image: the initrd has 314572800 bytes", end.err)
        contains("stderr", "are free: raise mem_size_mib or shrink the initrd", end.err)
        file.truncate(8 << 30)
    t.expect_error(t.run_vm(), LOAD_INITRD + "image: the initrd file has 8589934592 bytes, at most 4294967296 are "
                   "accepted")


@case
def initrd_garbage_is_the_guests_affair(t):
    t.write("image", GARBAGE)
    initrd_config(t, "image")
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "M", end.out)


@case
def disk_missing(t):
    disk_config(t, "none")
    t.expect_error(t.run_vm(), OPEN_DISK + NO_FILE + " none")


@case
def disk_is_no_disk(t):
    os.mkdir(t.path("directory"))
    os.mkfifo(t.path("fifo"))
    disk_config(t, "directory")
    t.expect_error(t.run_vm(), OPEN_DISK + "Is a directory (os error 21) directory")
    for path, kind in (("fifo", "a FIFO"), ("/dev/zero", "a character device")):
        for read_only in (False, True):
            disk_config(t, path, is_read_only=read_only)
            t.expect_error(t.run_vm(), f"{OPEN_DISK}Invalid argument (os error 22) {path}: a disk is a regular file or a "
                           f"block device, name one instead of {kind}.")


@case
def disk_without_permission(t):
    if os.geteuid() != 0:
        skip("only root can run the monitor as somebody who may use /dev/kvm but not open the file")
    t.disk()
    bare = ("setpriv", "--bounding-set=-dac_override,-dac_read_search", "--inh-caps=-all")
    for mode, read_only in ((0, True), (stat.S_IRUSR, False)):
        os.chmod(t.path("disk"), mode)
        disk_config(t, "disk", is_read_only=read_only)
        t.expect_error(t.run_vm(prefix=bare), OPEN_DISK + "Permission denied (os error 13) disk")
    disk_config(t, "disk", is_read_only=True)
    t.expect_end(t.run_vm(prefix=bare))


@case
def disk_tail_of_less_than_a_sector_is_a_warning(t):
    t.disk(extra=100)
    disk_config(t, "disk")
    t.expect_end(t.run_vm())
    equal("warnings", ["Disk size of disk is not a multiple of sector size 512; the last 100 bytes will not be "
                       "visible to the guest."],
          [line for line in messages(t.log) if "512" in line])


@case
def disk_empty_has_no_sectors(t):
    t.write("disk", "")
    t.config("mmio", drives=[{"drive_id": "d", "path_on_host": "disk", "is_root_device": False}])
    end = t.run_vm()
    t.expect_end(end)
    equal("capacity that the guest reads", "00000000", end.out.splitlines()[0].split()[3])


@case
def disks_beyond_the_lines_of_the_ioapic(t):
    t.disk()
    drives = [{"drive_id": f"d{i}", "path_on_host": "disk", "is_root_device": False} for i in range(18)]
    t.config("hello", drives=drives[:17])
    t.expect_end(t.run_vm())
    t.config("hello", drives=drives)
    end = t.run_vm()
    t.expect_end(end, 1)
    contains("stderr", "Could not allocate GSI: The requested resource is not available.", end.err)
