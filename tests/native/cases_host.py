# SPDX-License-Identifier: Apache-2.0
"""What the host may lack or do: no KVM, no permission, full disks, pipes without readers, signals, few fds."""

import fcntl
import os
import shutil
import signal
import stat
import subprocess

from native import BINARY, NOT_STARTED, case, contains, equal, guest, is_static_build, messages, skip, wait_until

KVM = NOT_STARTED + "Kvm error: "


def need_root(what):
    if os.geteuid() != 0:
        skip(f"only root can {what}")


def in_mount_namespace(command):
    """A prefix that runs the monitor after a shell command in a mount namespace of its own."""
    prefix = ("unshare", "--mount", "sh", "-c", command + ' && exec "$@"', "sh")
    if subprocess.run([*prefix, "true"], capture_output=True, check=False).returncode != 0:
        skip("mount namespaces cannot be made or changed here")
    return prefix


@case
def kvm_node_missing(t):
    t.config("hello")
    end = t.run_vm(prefix=in_mount_namespace("mount -t tmpfs none /dev"))
    t.expect_error(end, KVM + "Error creating KVM object: No such file or directory (os error 2) The node does not "
                   "exist: load kvm_intel or kvm_amd, or enable virtualization in the firmware or in the cloud "
                   "machine's type. (/dev/kvm)")


@case
def kvm_node_is_another_device(t):
    t.config("hello")
    end = t.run_vm(prefix=in_mount_namespace("mount --bind /dev/null /dev/kvm"))
    t.expect_error(end, KVM + "KVM_CREATE_VM failed: Not a tty (os error 25). The node that was opened is not KVM")


@case
def kvm_node_is_a_file(t):
    t.config("hello")
    t.write("file", "no device")
    end = t.run_vm(prefix=in_mount_namespace(f"mount --bind {t.path('file')} /dev/kvm"))
    t.expect_error(end, KVM + "KVM_CREATE_VM failed: Not a tty (os error 25). The node that was opened is not KVM")


@case
def kvm_node_without_permission(t):
    need_root("become somebody who may not use /dev/kvm")
    if os.stat("/dev/kvm").st_mode & stat.S_IRWXO:
        skip("everybody may use /dev/kvm here")
    # A directory and copies that anybody can use.
    os.chmod(t.dir, 0o777)
    shutil.copy(BINARY, t.path("monitor"))
    shutil.copy(guest("hello"), t.path("kernel"))
    t.config("hello", boot_source={"kernel_image_path": "kernel"})
    end = t.run_vm(prefix=("setpriv", "--reuid=nobody", "--clear-groups"), program=t.path("monitor"))
    t.expect_error(end, KVM + "Error creating KVM object: Permission denied (os error 13) Make sure the user launching "
                   "the firecracker process is configured on the /dev/kvm file's ACL. (/dev/kvm)")


@case
def probe_says_what_is_wrong_with_kvm(t):
    end = t.run("--probe", prefix=in_mount_namespace("mount -t tmpfs none /dev"))
    equal("exit status", 1, end.status)
    contains("stdout", "Error creating KVM object: No such file or directory (os error 2)", end.out)
    equal("lines", 1, end.out.count("\n"))


@case
def probe_answers_in_one_line(t):
    end = t.run("--probe")
    equal("lines", 1, end.out.count("\n"))
    if end.status == 0:
        equal("stdout", "This host's KVM runs what Linux needs.\n", end.out)
    else:
        equal("exit status", 1, end.status)
        contains("stdout", "this host cannot run the guest's instruction at RIP 0x1000", end.out)


@case
def check_host_says_each_setting_and_its_fix(t):
    end = t.run("--check-host")
    heads = [line for line in end.out.splitlines() if not line.startswith("        ")]
    equal("settings", ["KSM", "SMT", "nx_huge_pages", "cgroup v2", "swap", "mitigations", "/dev/kvm", "Landlock",
                       "user namespaces", "unprivileged BPF", "huge pages"], [line[8:26].strip() for line in heads])
    advised = sum(line.startswith("advise ") for line in heads)
    equal("lines of what is advised", 2 * advised, end.out.count("\n        cost: ") + end.out.count("\n        fix:  "))
    equal("exit status", 1 if advised else 0, end.status)


@case
def check_host_without_its_files_is_no_good_host(t):
    end = t.run("--check-host", prefix=in_mount_namespace("mount -t tmpfs none /sys"))
    equal("exit status", 1, end.status)
    contains("stdout", "advise  SMT               there is no /sys/devices/system/cpu/smt/active\n", end.out)


@case
def address_space_too_small_for_the_guest(t):
    if not is_static_build():
        skip("sanitizers need address space themselves")
    t.config("hello", machine_config={"vcpu_count": 1, "mem_size_mib": 1024})
    end = t.run_vm(prefix=("prlimit", f"--as={512 << 20}"))
    t.expect_error(end, NOT_STARTED + "Invalid Memory Configuration: Cannot create mmap region: Out of memory (os "
                   "error 12)")


@case
def too_few_file_descriptors(t):
    t.config("hello", machine_config={"vcpu_count": 32, "mem_size_mib": 128})
    for limit in range(4, 16, 3):
        end = t.run_vm(prefix=("prlimit", f"--nofile={limit}"))
        t.expect_end(end, 1)
        contains("stderr", "No file descriptors available (os error 24)", end.err)


@case
def standard_fds_closed(t):
    t.config("hello")
    end = t.run_vm(prefix=("sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh"))
    t.expect_end(end)
    equal("kernel file", True, os.path.getsize(guest("hello")) > 0)


@case
def log_path_is_a_directory(t):
    t.config("hello")
    end = t.run("--no-api", "--config-file", "vm.json", "--log-path", ".")
    t.expect_end(end, 1)
    contains("stderr", "Is a directory (os error 21)", end.err)
    equal("last line of stdout", "Firecracker exiting with error. exit_code=1", messages(end.out)[-1])


@case
def metrics_path_is_a_directory(t):
    t.config("hello")
    end = t.run_vm("--metrics-path", ".")
    t.expect_end(end, 1)
    equal("stderr", "Error: --metrics-path .: Cannot initialize the metrics system due to bad user input: Is a directory "
                    "(os error 21)\n", end.err)


@case
def log_path_that_cannot_be(t):
    end = t.run("--api-sock", "api.sock", "--log-path", "none/log")
    equal("stderr", "Error: --log-path none/log: Failed to open target file: No such file or directory (os error 2)\n",
          end.err)


@case
def log_and_metrics_into_fifos_without_reader(t):
    os.mkfifo(t.path("log"))
    os.mkfifo(t.path("metrics"))
    t.config("hello")
    end = t.run_vm("--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", "M", end.out)


@case
def log_to_a_full_disk_loses_lines_not_the_guest(t):
    t.config("hello")
    end = t.run("--no-api", "--config-file", "vm.json", "--log-path", "/dev/full", "--metrics-path", "metrics")
    t.expect_end(end)
    equal("serial output", "M", end.out)
    if t.total("logger", "missed_log_count") < 2:
        equal("logger.missed_log_count", "2 or more", t.total("logger", "missed_log_count"))


@case
def metrics_to_a_full_disk_are_an_error_in_the_log(t):
    t.config("hello")
    end = t.run_vm("--metrics-path", "/dev/full")
    t.expect_end(end)
    equal("lines about metrics", 2, len([line for line in messages(t.log) if "No space left on device" in line]))


@case
def log_to_a_full_pipe_does_not_stop_the_guest(t):
    reader, writer = os.pipe()
    fcntl.fcntl(writer, fcntl.F_SETPIPE_SZ, 4096)
    t.config("flood")
    end = t.run_vm("--metrics-path", "metrics", stdout=writer, log=False)
    t.expect_end(end)
    os.close(reader)
    os.close(writer)
    if t.total("logger", "missed_log_count") == 0:
        equal("logger.missed_log_count", "more than 0", 0)


# signal, exit code, metric (cli.md C and D)
FATAL = [
    (signal.SIGBUS, 149, "sigbus"), (signal.SIGSEGV, 150, "sigsegv"), (signal.SIGXFSZ, 151, "sigxfsz"),
    (signal.SIGXCPU, 154, "sigxcpu"), (signal.SIGHUP, 156, "sighup"), (signal.SIGILL, 157, "sigill"),
]


@case
def fatal_signals_name_themselves_and_flush(t):
    t.config("halt")
    for number, code, metric in FATAL:
        vm = t.start_vm("--metrics-path", "metrics")
        vm.await_output("halted")
        vm.signal(number)
        vm.wait()
        t.expect_end(vm, code)
        equal("last log line", f"Shutting down VM after intercepting signal {int(number)}, code 0.",
              messages(t.log)[-1])
        equal("signals." + metric, 1, t.metrics()[-1]["signals"][metric])
        os.unlink(t.path("log"))
        os.unlink(t.path("metrics"))


@case
def sigsys_from_outside_is_unexpected(t):
    t.config("halt")
    vm = t.start_vm("--metrics-path", "metrics")
    vm.await_output("halted")
    vm.signal(signal.SIGSYS)
    vm.wait()
    t.expect_end(vm, 2)
    equal("seccomp.num_faults", 1, t.metrics()[-1]["seccomp"]["num_faults"])


@case
def harmless_signals_are_harmless(t):
    t.config("echo")
    reader, writer = os.pipe()
    vm = t.start_vm("--metrics-path", "metrics", stdin=reader)
    vm.await_output("ready")
    for number in (signal.SIGPIPE, 34, 35, signal.SIGRTMIN, signal.SIGWINCH):
        vm.signal(number)
    wait_until("the SIGPIPE line", lambda: "Received signal 13, code 0." in t.log)
    os.write(writer, b".")
    vm.wait()
    t.expect_end(vm)
    equal("signals.sigpipe", 1, t.total("signals", "sigpipe"))
    os.close(reader)
    os.close(writer)


@case
def signal_kick_of_every_vcpu_thread_is_harmless(t):
    t.config("halt", machine_config={"vcpu_count": 4, "mem_size_mib": 128})
    vm = t.start_vm()
    vm.await_output("halted")
    wait_until("5 threads", lambda: len(vm.threads()) == 5)
    for number in (34, 35):
        for thread, _ in vm.threads():
            os.kill(thread, number)
    equal("threads still there", 5, len(vm.threads()))
    vm.signal(signal.SIGTERM)
    vm.wait()
    equal("death by signal", -signal.SIGTERM, vm.status)
