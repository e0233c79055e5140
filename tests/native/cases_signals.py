# SPDX-License-Identifier: Apache-2.0
"""Signals and ways to end (cli.md C and D), by file and by API: causes are named, metrics are flushed, the terminal
is given back."""

import os
import signal
import socket

from api import Served
from native import case, contains, equal, guest, lacks, messages, wait_until
from terminal import with_terminal

FATAL = {signal.SIGBUS: 149, signal.SIGSEGV: 150, signal.SIGHUP: 156, signal.SIGILL: 157, signal.SIGSYS: 2}


def serve(t, **options):
    """A monitor that listens and counts, nothing configured."""
    return Served(t, "--metrics-path", "metrics", **options)


def boot(served, name):
    """A guest that the API has started; the connection that did."""
    client = served.connect()
    client.boot(guest(name))
    return client


@case
def signals_from_outside_name_their_sender(t):
    t.config("halt")
    for number, code in FATAL.items():
        vm = t.start_vm("--metrics-path", "metrics")
        vm.await_output("halted")
        vm.signal(number)
        vm.wait()
        t.expect_end(vm, code)
        contains("log", f"Signal {int(number)} ({number.name}) was sent by process {os.getpid()}.", t.log)
        os.unlink(t.path("log"))
        os.unlink(t.path("metrics"))


@case
def signals_in_api_mode_before_the_start_flush_metrics(t):
    for number, code in FATAL.items():
        served = serve(t)
        served.connect().get("/")
        vm = served.vm
        vm.signal(number)
        vm.wait()
        t.expect_end(vm, code)
        group = "seccomp" if number == signal.SIGSYS else "signals"
        name = "num_faults" if number == signal.SIGSYS else number.name.lower()
        equal(f"{group}.{name}", 1, t.metrics()[-1][group][name])
        for left in ("log", "metrics", "api.sock"):
            os.unlink(t.path(left))


@case
def signals_while_paused_flush_metrics(t):
    served = serve(t)
    boot(served, "halt").state("Paused")
    vm = served.vm
    vm.signal(signal.SIGBUS)
    vm.wait()
    t.expect_end(vm, 149)
    equal("signals.sigbus", 1, t.metrics()[-1]["signals"]["sigbus"])


@case
def signals_terminate_while_paused_is_death_by_signal(t):
    served = serve(t)
    boot(served, "halt").state("Paused")
    vm = served.vm
    vm.signal(signal.SIGTERM)
    vm.wait()
    equal("death by signal", -signal.SIGTERM, vm.status)


@case
def signals_abort_is_a_panic_with_metrics(t):
    t.config("halt")
    vm = t.start_vm("--metrics-path", "metrics")
    vm.await_output("halted")
    wait_until("the first line of metrics", lambda: t.read("metrics").endswith("\n"))
    vm.signal(signal.SIGABRT)
    vm.wait()
    equal("death by signal", -signal.SIGABRT, vm.status)
    contains("log", "Firecracker panicked at a check of its own", t.log)
    equal("vmm.panic_count", 1, t.metrics()[-1]["vmm"]["panic_count"])


def terminal_after(t, end_it):
    """The monitor, ended by end_it(monitor, our side of its terminal, the API's client)."""
    clients = []

    def start(**options):
        served = serve(t, **options)
        clients.append(boot(served, "echo"))
        return served.vm

    return with_terminal(start, lambda vm, leader: end_it(vm, leader, clients[0]))


@case
def terminal_in_api_mode_is_given_back_after_a_reset(t):
    vm = terminal_after(t, lambda vm, leader, client: os.write(leader, b"hi."))
    t.expect_end(vm)
    equal("last lines", ["Vmm is stopping.", "Killing vCPU threads",
                         "Firecracker exiting successfully. exit_code=0"], messages(t.log)[-3:])


@case
def terminal_in_api_mode_is_given_back_after_a_panic(t):
    vm = terminal_after(t, lambda vm, leader, client: vm.signal(signal.SIGABRT))
    equal("death by signal", -signal.SIGABRT, vm.status)


@case
def terminal_in_api_mode_is_given_back_while_paused(t):
    def pause_and_end(vm, _leader, client):
        client.state("Paused")
        vm.signal(signal.SIGTERM)
    vm = terminal_after(t, pause_and_end)
    equal("death by signal", -signal.SIGTERM, vm.status)


@case
def ends_flush_metrics_when_the_config_file_is_refused(t):
    t.write("vm.json", "{}")
    vm = t.run_vm("--metrics-path", "metrics")
    t.expect_end(vm, 1)
    equal("metrics lines", 1, len(t.metrics()))
    lacks("log", "Killing vCPU threads", t.log)


@case
def ends_flush_metrics_when_the_socket_is_in_use(t):
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(t.path("api.sock"))
        sock.listen(1)
        vm = serve(t).vm
        vm.wait()
    t.expect_error(vm, "Failed to open the API socket at: api.sock. Check that it is not already used.")
    equal("metrics lines", 1, len(t.metrics()))


@case
def ends_flush_metrics_when_the_guest_faults(t):
    served = serve(t)
    boot(served, "triple_fault")
    vm = served.vm
    vm.wait()
    t.expect_end(vm, 1)
    equal("vcpu.failures", 1, t.total("vcpu", "failures"))
