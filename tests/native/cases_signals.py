# SPDX-License-Identifier: Apache-2.0
"""Signals and ways to end (cli.md C and D), by file and by API: causes are named, metrics are flushed, the terminal
is given back."""

import os
import pty
import signal
import socket
import termios
import tty

from native import case, contains, equal, guest, lacks, messages, wait_until

FATAL = {signal.SIGBUS: 149, signal.SIGSEGV: 150, signal.SIGHUP: 156, signal.SIGILL: 157, signal.SIGSYS: 2}


def request(t, method, path, body=""):
    """One exchange on a connection of its own; the status code and the body."""
    with socket.socket(socket.AF_UNIX) as sock:
        sock.connect(t.path("api.sock"))
        head = f"{method} {path} HTTP/1.1\r\nConnection: close\r\nContent-Length: {len(body)}\r\n\r\n"
        sock.sendall((head + body).encode())
        sock.settimeout(10)
        answer = b""
        while b"\r\n\r\n" not in answer:
            answer += sock.recv(65536)
    status, _, rest = answer.decode().partition("\r\n")
    return int(status.split(" ")[1]), rest.partition("\r\n\r\n")[2]


def start_api(t, *args, **options):
    """A monitor that listens, nothing configured."""
    vm = t.start("--api-sock", "api.sock", "--log-path", "log", "--metrics-path", "metrics", *args,
                 may_leave=("api.sock",), **options)
    wait_until("the API socket", lambda: os.path.exists(t.path("api.sock")) or vm.process.poll() is not None)
    return vm


def put(t, path, body):
    equal(path, 204, request(t, "PUT", path, body)[0])


def boot(t, name):
    """Configures and starts a guest by the API."""
    put(t, "/boot-source", f'{{"kernel_image_path": "{guest(name)}"}}')
    put(t, "/actions", '{"action_type": "InstanceStart"}')


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
        vm = start_api(t)
        equal("GET /", 200, request(t, "GET", "/")[0])
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
    vm = start_api(t)
    boot(t, "halt")
    equal("pause", 204, request(t, "PATCH", "/vm", '{"state": "Paused"}')[0])
    vm.signal(signal.SIGBUS)
    vm.wait()
    t.expect_end(vm, 149)
    equal("signals.sigbus", 1, t.metrics()[-1]["signals"]["sigbus"])


@case
def signals_terminate_while_paused_is_death_by_signal(t):
    vm = start_api(t)
    boot(t, "halt")
    equal("pause", 204, request(t, "PATCH", "/vm", '{"state": "Paused"}')[0])
    vm.signal(signal.SIGTERM)
    vm.wait()
    equal("death by signal", -signal.SIGTERM, vm.status)


@case
def signals_abort_is_a_panic_with_metrics(t):
    t.config("halt")
    vm = t.start_vm("--metrics-path", "metrics")
    vm.await_output("halted")
    vm.signal(signal.SIGABRT)
    vm.wait()
    equal("death by signal", -signal.SIGABRT, vm.status)
    contains("log", "Firecracker panicked at a check of its own", t.log)
    equal("vmm.panic_count", 1, t.metrics()[-1]["vmm"]["panic_count"])


def terminal_after(t, end_it):
    """Terminal modes before the monitor and after it was ended, with a guest started by the API."""
    leader, follower = pty.openpty()
    tty.setcbreak(follower)
    before = termios.tcgetattr(follower)
    vm = start_api(t, stdin=follower, stdout=follower, terminal=True)
    boot(t, "echo")
    seen = b""
    while b"ready" not in seen:
        seen += os.read(leader, 4096)
    equal("echo of the terminal while the guest runs", 0, termios.tcgetattr(follower)[3] & termios.ECHO)
    end_it(vm, leader)
    vm.wait()
    equal("terminal modes", before, termios.tcgetattr(follower))
    os.close(leader)
    os.close(follower)
    return vm


@case
def terminal_in_api_mode_is_given_back_after_a_reset(t):
    vm = terminal_after(t, lambda vm, leader: os.write(leader, b"hi."))
    t.expect_end(vm)
    equal("last lines", ["Vmm is stopping.", "Killing vCPU threads",
                         "Firecracker exiting successfully. exit_code=0"], messages(t.log)[-3:])


@case
def terminal_in_api_mode_is_given_back_after_a_panic(t):
    vm = terminal_after(t, lambda vm, leader: vm.signal(signal.SIGABRT))
    equal("death by signal", -signal.SIGABRT, vm.status)


@case
def terminal_in_api_mode_is_given_back_while_paused(t):
    def pause_and_end(vm, _leader):
        equal("pause", 204, request(t, "PATCH", "/vm", '{"state": "Paused"}')[0])
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
        vm = start_api(t)
        vm.wait()
    t.expect_error(vm, "Failed to open the API socket at: api.sock. Check that it is not already used.")
    equal("metrics lines", 1, len(t.metrics()))


@case
def ends_flush_metrics_when_the_guest_faults(t):
    vm = start_api(t)
    boot(t, "triple_fault")
    vm.wait()
    t.expect_end(vm, 1)
    equal("vcpu.failures", 1, t.total("vcpu", "failures"))
