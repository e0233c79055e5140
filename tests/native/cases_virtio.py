# SPDX-License-Identifier: Apache-2.0
"""virtio-blk driven by hand: a polite driver, and hostile ones that may hurt nothing but themselves."""

import os

from native import case, contains, equal, messages

ENGINES = ("Sync", "Async")
IRQCHIPS = ("split", "full")

# Device status, used index and request status as the guests print them.
NEEDS_RESET = "0000004f 00000000 000000ee"
OK = "0000000f 00000001 00000000"
IO_ERROR = "0000000f 00000001 00000001"
UNSUPPORTED = "0000000f 00000001 00000002"

BROKEN_RING_LINES = [
    "size zero", "size three", "size 512", "size huge", "not ready", "table nowhere", "table high",
    "table unaligned", "avail nowhere", "avail unaligned", "used nowhere", "used unaligned", "used in the device",
    "index far ahead", "index one too far", "head outside", "head huge", "loop of one", "loop of two",
    "next outside", "next huge", "readable behind writable", "lengths over 32 bits", "header short", "no status",
    "no header", "header nowhere", "status nowhere", "status in the device", "table empty", "table of 47 bytes",
    "table cut short", "table huge", "indirect nowhere", "indirect high", "indirect and next",
    "indirect in indirect",
]
REFUSED_LINES = [
    ("data nowhere", IO_ERROR), ("data wraps", IO_ERROR), ("data in the device", IO_ERROR),
    ("write from nowhere", IO_ERROR), ("half a sector", IO_ERROR), ("no data", OK), ("length huge", IO_ERROR),
    ("behind the end", IO_ERROR), ("write behind the end", IO_ERROR), ("sector huge", IO_ERROR),
    ("id too short", IO_ERROR), ("discard", UNSUPPORTED), ("type unknown", UNSUPPORTED), ("alive", OK),
]
RING_ANSWERS = [f"{name}: {NEEDS_RESET}" for name in BROKEN_RING_LINES] + \
               [f"{name}: {answer}" for name, answer in REFUSED_LINES]

ORDER_ANSWERS = [
    "notify in reset: 00000000 00000000 00000000",
    "notify before activation: 0000000b 00000000 000000ee",
    "queued before activation: " + OK,
    "driver-ok at once: 00000000 00000001 00000000",
    "features without version 1: 00000003 00000001 00000000",
    "failed: 00000083 00000001 00000000",
    "moved queue: " + OK,
    "same head twice: done",
    "alive: " + OK,
]


def drive(engine, **more):
    return {"drive_id": "d", "path_on_host": "disk", "is_root_device": False, "io_engine": engine,
            "cache_type": "Writeback", **more}


def serial_id(path):
    """devices.md 3: decimal st_dev, st_rdev and st_ino in a row, cut to 20 bytes."""
    status = os.stat(path)
    return f"{status.st_dev}{status.st_rdev}{status.st_ino}"[:20]


def each_engine(function):
    """Registers the case once for each IO engine."""
    def with_engine(engine):
        def run(t):
            function(t, engine)
        run.__name__ = f"{function.__name__}_{engine.lower()}"
        return run
    for engine in ENGINES:
        case(with_engine(engine))
    return function


@each_engine
def disk_reads_writes_flushes_and_names_itself(t, engine):
    t.disk()
    t.config("virtio_blk", drives=[drive(engine)])
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", [
        "read: " + OK, "sector 0",
        "id: " + OK, serial_id(t.path("disk")),
        "write: " + OK,
        "flush: 0000000f 00000002 00000000",
        "indirect: 0000000f 00000003 00000000", "hello",
    ], [line.replace("\0", "") for line in end.out.splitlines() if line.replace("\0", "")])
    with open(t.path("disk"), "rb") as file:
        content = file.read()
    equal("size of the disk", 2048 * 512, len(content))
    equal("second sector of the disk", b"hello\n", content[512:518])
    equal("first sector of the disk", b"sector 0\n", content[:9])
    for counter, expected in (("read_count", 2), ("read_bytes", 1024), ("write_count", 1), ("write_bytes", 512),
                              ("flush_count", 1), ("execute_fails", 0), ("invalid_reqs_count", 0)):
        equal(f"block.{counter}", expected, t.total("block", counter))
        equal(f"block_d.{counter}", expected, t.total("block_d", counter))


@each_engine
def read_only_disk_refuses_writes(t, engine):
    t.disk()
    t.config("virtio_blk", drives=[drive(engine, is_read_only=True)])
    end = t.run_vm()
    t.expect_end(end)
    contains("serial output", "write: " + IO_ERROR, end.out)
    with open(t.path("disk"), "rb") as file:
        equal("second sector of the disk", b"sector 1\n", file.read()[512:521])


@each_engine
def hostile_rings_break_only_their_device(t, engine):
    t.disk()
    before = t.read("disk")
    t.config("hostile_ring", drives=[drive(engine)])
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", RING_ANSWERS, end.out.splitlines())
    equal("the disk is as it was", True, t.read("disk") == before)
    contains("log", "the driver broke the rules", t.log)
    told = [line for line in messages(t.log) if "the driver broke the rules" in line]
    if len(told) > 20:
        equal("lines about the broken driver", "at most 20: they are limited", len(told))


@each_engine
def wrong_order_harms_nothing(t, engine):
    t.disk()
    t.config("hostile_order", drives=[drive(engine)])
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", ORDER_ANSWERS, end.out.splitlines())


@each_engine
def random_walk_over_the_registers_harms_nothing(t, engine):
    t.disk()
    before = t.read("disk")
    t.config("hostile_random", drives=[drive(engine)])
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", "alive: " + OK + "\n", end.out)
    equal("the disk is as it was", True, t.read("disk") == before)
    if t.total("logger", "rate_limited_log_count") == 0:
        equal("logger.rate_limited_log_count", "more than 0", 0)


def legacy_garbage(irqchip):
    def run(t):
        t.config("hostile_legacy")
        end = t.run_vm("--irqchip", irqchip, "--boot-timer")
        t.expect_end(end)
        equal("end of the serial output", "\nalive\n", end.out[-7:])
    run.__name__ = f"garbage_to_legacy_devices_harms_nothing_{irqchip}"
    return run


for _irqchip in IRQCHIPS:
    case(legacy_garbage(_irqchip))
