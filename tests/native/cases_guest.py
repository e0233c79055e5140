# SPDX-License-Identifier: Apache-2.0
"""Lives and deaths of tiny guests: how each ends, what it prints, what the log says (cli.md C)."""

import fcntl
import os
import re
import signal

from native import case, contains, equal, guest, lacks, messages, wait_until
from terminal import with_terminal

LIFE = [
    "Running Mayfly v0.1.0 (Firecracker API v1.16.1)",
    "Successfully started microvm that was configured from one single json",
    "Vmm is stopping.",
    "Killing vCPU threads",
]
CLEAN_END = "Firecracker exiting successfully. exit_code=0"

FLOOD_SIZE = 16 * 1024  # what guests/flood.S writes


@case
def guest_resets_by_keyboard_controller(t):
    t.config("hello")
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", "M", end.out)
    equal("stderr", "", end.err)
    equal("log", LIFE + [CLEAN_END], messages(t.log))
    equal("metrics lines", 2, len(t.metrics()))
    equal("i8042.reset_count", 1, t.total("i8042", "reset_count"))
    equal("uart.write_count", 1, t.total("uart", "write_count"))


@case
def guest_resets_with_full_irqchip(t):
    t.config("hello", machine_config={"vcpu_count": 2, "mem_size_mib": 64})
    end = t.run_vm("--irqchip", "full")
    t.expect_end(end)
    equal("serial output", "M", end.out)


@case
def log_lines_share_stdout_without_log_path(t):
    t.config("hello")
    end = t.run_vm(log=False)
    t.expect_end(end)
    contains("stdout", "M", end.out)
    first = end.out.splitlines()[0]
    pattern = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9} \[anonymous-instance:main\] Running Mayfly v0.1.0 .*"
    if not re.fullmatch(pattern, first):
        equal("first line of stdout", pattern, first)


@case
def second_vcpu_resets_while_first_spins(t):
    t.config("smp_reset", machine_config={"vcpu_count": 2, "mem_size_mib": 128})
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "first vCPU runs\n2", end.out)


@case
def second_vcpu_faults_and_its_error_wins(t):
    t.config("smp_fault", machine_config={"vcpu_count": 2, "mem_size_mib": 128})
    end = t.run_vm()
    t.expect_error(end, "vCPU 1: the guest shut down by a triple fault")
    equal("log", LIFE, messages(t.log)[:4])


@case
def triple_fault_is_an_error(t):
    t.config("triple_fault")
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_error(end, "vCPU 0: the guest shut down by a triple fault")
    equal("serial output", "falling\n", end.out)
    equal("log", LIFE, messages(t.log)[:4])
    equal("vcpu.failures", 1, t.total("vcpu", "failures"))


@case
def instruction_that_kvm_cannot_interpret_is_an_error(t):
    t.config("not_emulated")
    end = t.run_vm()
    t.expect_end(end, 1)
    equal("serial output", "trying\n", end.out)
    contains("stderr", "Error: vCPU 0: this host cannot run the guest's instruction at RIP 0x1000", end.err)
    contains("stderr", "(bytes f0 48 0f c7 0e", end.err)
    contains("stderr", "KVM_EXIT_INTERNAL_ERROR, emulation failure", end.err)


@case
def jump_to_where_no_memory_is_is_an_error(t):
    t.config("jump_nowhere")
    end = t.run_vm()
    t.expect_end(end, 1)
    equal("serial output", "jumping\n", end.out)
    contains("stderr", "RIP 0x3f000000", end.err)
    contains("stderr", "or the guest jumped to where no code is", end.err)


@case
def acpi_power_off_ends_cleanly(t):
    t.config("power_off")
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "still here\n", end.out)
    equal("log without the refused sleep state", LIFE + [CLEAN_END],
          [line for line in messages(t.log) if not line.startswith("pm: ")])


@case
def acpi_reset_ends_cleanly(t):
    t.config("acpi_reset")
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "still here\n", end.out)
    equal("log without the refused value", LIFE + [CLEAN_END],
          [line for line in messages(t.log) if not line.startswith("pm: ")])


@case
def halted_guest_dies_of_sigterm(t):
    t.config("halt")
    for number in (signal.SIGTERM, signal.SIGINT):
        vm = t.start_vm()
        vm.await_output("halted")
        vm.signal(number)
        vm.wait()
        equal("death by signal", -number, vm.status)


@case
def port_io_at_every_width(t):
    t.config("port_io")
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", "ffffff00ffff000000000000\n000000a500a5a5a5\nstring output\n", end.out)
    contains("log", "guest read port 0x123 (1 bytes), where no device is", t.log)
    contains("log", "guest wrote port 0x128 (4 bytes), where no device is", t.log)
    equal("uart.missed_write_count", 0, t.total("uart", "missed_write_count"))


@case
def mmio_at_every_width(t):
    t.disk()
    t.config("mmio", drives=[{"drive_id": "d", "path_on_host": "disk", "is_root_device": False}])
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", "74726976 00000002 00000002 00000800\nffffff00ffff00000000000000000000\n", end.out)
    contains("log", "guest read address 0xc0800008 (8 bytes), where neither memory nor device is", t.log)


@case
def boot_timer_logs_once_when_asked(t):
    t.config("boot_timer")
    end = t.run_vm("--boot-timer")
    t.expect_end(end)
    equal("serial output", "timed\n", end.out)
    times = [line for line in messages(t.log) if line.startswith("Guest-boot-time")]
    equal("boot-time lines", 1, len(times))
    if not re.fullmatch(r"Guest-boot-time =\s+(\d+) us\s+(\d+) ms,\s+(\d+) CPU us\s+(\d+) CPU ms", times[0]):
        equal("boot-time line", "the format of cli.md G", times[0])


@case
def boot_timer_is_silent_when_not_asked(t):
    t.config("boot_timer")
    end = t.run_vm()
    t.expect_end(end)
    lacks("log", "Guest-boot-time", t.log)


@case
def command_line_reaches_the_guest(t):
    t.disk()
    root = {"drive_id": "d", "path_on_host": "disk", "is_root_device": True, "is_read_only": True}
    t.config("command_line", boot_args=" one  two -- three ", drives=[root])
    end = t.run_vm()
    t.expect_end(end)
    equal("command line", "one  two pci=off root=/dev/vda ro virtio_mmio.device=4K@0xc0001000:5 -- three\n",
          end.out)


PVH_WITHOUT_MODULE = """cr0 and cr4: 00000011 00000000\x20
version, flags, ranges, modules: 00000001 00000000 00000005 00000000\x20
range: 00000000 00000000 00000000 0009fc00 00000001\x20
range: 00000000 0009fc00 00000000 00040400 00000002\x20
range: 00000000 eec00000 00000000 10000000 00000002\x20
range: 00000000 00100000 00000000 bff00000 00000001\x20
range: 00000001 00000000 00000000 60000000 00000001\x20
command line: one two pci=off virtio_mmio.device=4K@0xc0001000:5 -- three
RSDP: RSD PTR\x20
OK
"""


@case
def pvh_note_enters_in_32_bits_with_start_info(t):
    t.disk()
    t.config("pvh", boot_args="one two -- three", machine_config={"vcpu_count": 1, "mem_size_mib": 4608},
             drives=[{"drive_id": "d", "path_on_host": "disk", "is_root_device": False}])
    end = t.run_vm()
    t.expect_end(end)
    equal("serial output", PVH_WITHOUT_MODULE, end.out)


@case
def pvh_start_info_lists_the_initrd_as_module(t):
    t.write("initrd", "the initrd's bytes")
    t.config("pvh", boot_source={"kernel_image_path": guest("pvh"), "initrd_path": "initrd", "boot_args": ""})
    end = t.run_vm()
    t.expect_end(end)
    contains("serial output", "modules: 00000001 00000000 00000004 00000001 \n", end.out)
    contains("serial output", "\nmodule: the initrd's bytes\nOK\n", end.out)


@case
def flood_of_an_unread_pipe_drops_bytes_and_ends(t):
    t.config("flood")
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    end = t.run_vm("--metrics-path", "metrics", stdout=writer)
    t.expect_end(end)
    missed = t.total("uart", "missed_write_count")
    written = t.total("uart", "write_count")
    equal("bytes written and missed", FLOOD_SIZE, written + missed)
    if missed == 0:
        equal("uart.missed_write_count", "more than 0", missed)
    equal("bytes in the pipe", written, len(os.read(reader, 1 << 20)))
    os.close(reader)
    os.close(writer)


@case
def flood_of_a_read_file_drops_nothing(t):
    t.config("flood")
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("uart.missed_write_count", 0, t.total("uart", "missed_write_count"))
    equal("bytes written", FLOOD_SIZE, len(end.out))


@case
def closed_reader_of_stdout_only_costs_output(t):
    t.config("flood")
    reader, writer = os.pipe()
    os.close(reader)
    end = t.run_vm("--metrics-path", "metrics", stdout=writer)
    t.expect_end(end)
    equal("uart.missed_write_count", FLOOD_SIZE, t.total("uart", "missed_write_count"))
    equal("signals.sigpipe", FLOOD_SIZE, t.total("signals", "sigpipe"))
    lines = messages(t.log).count("Received signal 13, code 0.")
    if not 1 <= lines <= 30:
        equal("lines about SIGPIPE in the log", "1 to 30: they are limited", lines)
    os.close(writer)


@case
def input_of_a_pipe_reaches_the_guest(t):
    t.config("echo")
    reader, writer = os.pipe()
    text = "a" * 300 + "."
    os.write(writer, text.encode())
    end = t.run_vm("--metrics-path", "metrics", stdin=reader)
    t.expect_end(end)
    equal("echo", f"ready\n{text}\n", end.out)
    equal("uart.read_count", len(text), t.total("uart", "read_count"))
    os.close(reader)
    os.close(writer)


@case
def input_that_ends_is_detached_and_the_guest_goes_on(t):
    t.config("echo")
    reader, writer = os.pipe()
    vm = t.start_vm(stdin=reader)
    vm.await_output("ready")
    os.write(writer, b"x")
    vm.await_output("ready\nx")
    os.close(writer)
    wait_until("the detach line in the log",
               lambda: "Detached the serial input due to peer close/error." in t.log)
    vm.signal(signal.SIGTERM)
    vm.wait()
    equal("death by signal", -signal.SIGTERM, vm.status)
    os.close(reader)


@case
def terminal_is_given_back_after_a_reset(t):
    t.config("echo")
    vm = with_terminal(t.start_vm, lambda vm, leader: os.write(leader, b"hi."))
    t.expect_end(vm)


@case
def terminal_is_given_back_after_sigterm(t):
    t.config("echo")
    vm = with_terminal(t.start_vm, lambda vm, leader: vm.signal(signal.SIGTERM))
    equal("death by signal", -signal.SIGTERM, vm.status)


@case
def terminal_is_given_back_after_a_fatal_signal(t):
    t.config("echo")
    vm = with_terminal(t.start_vm, lambda vm, leader: vm.signal(signal.SIGSEGV))
    t.expect_end(vm, 150)
