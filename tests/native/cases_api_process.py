# SPDX-License-Identifier: Apache-2.0
"""The API and its process: the socket's path, threads, times, log lines, stdin. Rows of clients.md are named where a
case covers them."""

import os
import socket
import subprocess
import time

from api import Client, Served, read_metrics, request
from cases_host import in_mount_namespace
from native import BINARY, case, contains, equal, guest, lacks, messages, wait_until

IN_USE = "Failed to open the API socket at: {}. Check that it is not already used."


@case
def api_socket_in_use_is_refused(t):
    """Rows 5 and 6: whatever is at the path stays there, whoever made it."""
    t.write("file", "mine")
    os.mkdir(t.path("directory"))
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(t.path("stale"))
    stale.close()
    for path in ("file", "directory", "stale"):
        before = os.lstat(t.path(path))
        t.expect_error(t.run("--api-sock", path, "--log-path", "log"), IN_USE.format(path))
        equal(f"inode of {path}", before.st_ino, os.lstat(t.path(path)).st_ino)
    served = Served(t)
    second = t.run("--api-sock", "api.sock")
    equal("second monitor", (1, f"Error: {IN_USE.format('api.sock')}\n"), (second.status, second.err))
    served.connect().get("/version")
    served.stop()


@case
def api_socket_path_that_cannot_be(t):
    """Row 27: 107 bytes are the limit."""
    bind = "Failed to bind and run the HTTP server: "
    for path, sentence in (
            ("none/api.sock", bind + "none/api.sock: No such file or directory (os error 2)"),
            ("", bind + "the path of the socket is empty"),
            ("x" * 108, bind + "the path of a socket has at most 107 bytes, this one 108: " + "x" * 108)):
        t.expect_error(t.run("--api-sock", path, "--log-path", "log"), sentence)
    os.unlink(t.path("log"))
    served = Served(t, name="x" * 107)  # too long to connect by its whole path
    wait_until("start of the server", lambda: "API server started." in t.log)
    served.stop()


@case
def api_wrong_config_file_leaves_no_socket(t):
    """The second try must say the same as the first."""
    for _ in range(2):
        end = t.run("--api-sock", "api.sock", "--config-file", "typo.json")
        equal("status and stderr", (1, "Error: RunWithApiError error: Failed to build MicroVM from Json: Unable to open "
                                       "or read from the configuration file: Cannot open "
                                       "typo.json: No such file or directory (os error 2)\n"), (end.status, end.err))


@case
def api_default_socket_path(t):
    """Row 4."""
    end = t.run("--log-path", "log", prefix=in_mount_namespace("mount -t tmpfs none /run && touch "
                                                               "/run/firecracker.socket"))
    t.expect_error(end, IN_USE.format("/run/firecracker.socket"))


@case
def api_socket_is_ready_soon(t):
    """Row 18: a client that waits for the file, and tries again while it is refused (row 36), is answered soon. The
    kernel refuses for a moment: the path is there from bind on, connections are taken from listen on."""
    for index in range(20):
        start = time.monotonic()
        served = Served(t, name=f"{index}.sock")
        served.connect().get("/machine-config")
        if time.monotonic() - start > 3:
            equal("time to the first answer", "at most 3 s", time.monotonic() - start)
        served.stop()


@case
def api_threads_have_their_names(t):
    """Row 25."""
    served = Served(t)
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 2, "mem_size_mib": 128})
    client.boot(guest("count"))
    equal("threads", ["fc_api", "fc_vcpu 0", "fc_vcpu 1", os.path.basename(BINARY)],
          sorted(name for _, name in served.vm.threads()))
    served.stop()


@case
def api_start_times_feed_the_metrics(t):
    """Row 14: what the jailer measured before."""
    now_us = time.monotonic_ns() // 1000
    served = Served(t, "--start-time-us", str(now_us - 5_000_000), "--start-time-cpu-us", "0", "--parent-cpu-time-us",
                    "7000000", "--metrics-path", "metrics")
    served.connect().boot(guest("halt"))
    first = read_metrics(t)[0]["api_server"]
    if not 5_000_000 <= first["process_startup_time_us"] < 15_000_000:
        equal("process_startup_time_us", "5 s and a little", first)
    if not 7_000_000 <= first["process_startup_time_cpu_us"] < 8_000_000:
        equal("process_startup_time_cpu_us", "7 s and a little", first)
    served.stop()


@case
def api_is_absent_without_it(t):
    """Row 9: no socket, no thread."""
    t.config("count")
    monitor = t.start_vm()
    monitor.await_output("counting")
    lacks("threads", "fc_api", [name for _, name in monitor.threads()])
    equal("files", ["log", "vm.json"], sorted(os.listdir(t.dir)))
    monitor.kill()


@case
def api_relative_paths(t):
    """Row 26: kernel, drive, log, metrics and socket are found from the working directory."""
    t.disk()
    os.symlink(guest("count"), t.path("kernel"))
    served = Served(t, "--metrics-path", "./metrics", log_path="./log")
    client = served.connect()
    client.drive("d", path_on_host="./disk")
    client.boot("./kernel")
    equal("metrics lines", 1, len(read_metrics(t)))
    served.stop()


@case
def api_log_lines(t):
    """Rows 7, 60, 61."""
    served = Served(t, "--id", "me")
    client = served.connect()
    client.put("/machine-config", {"vcpu_count": 1, "mem_size_mib": 128})
    client.ask("GET", "/x")
    served.stop()
    lines = messages(t.log)
    for line in ('Listening on API socket ("api.sock").', "API server started.",
                 'The API server received a Put request on "/machine-config" with body "{\\"vcpu_count\\": 1, '
                 '\\"mem_size_mib\\": 128}".',
                 "The request was executed successfully. Status code: 204 No Content.",
                 'The API server received a Get request on "/x".'):
        contains("log lines", line, lines)
    for line in t.log.splitlines():
        contains("log line", " [me:", line)


@case
def api_stdin_of_every_kind(t):
    """Row 24: stdin closed, empty, a socket."""
    ours, theirs = socket.socketpair()
    reader, writer = os.pipe()
    os.close(writer)
    for index, stdin in enumerate((theirs.fileno(), reader)):
        served = Served(t, stdin=stdin, name=f"{index}.sock")
        client = served.connect()
        client.boot(guest("count"))
        served.vm.await_output("..")
        served.stop()
    served = Served(t, prefix=("sh", "-c", 'exec "$@" <&-', "sh"))
    client = served.connect()
    client.boot(guest("count"))
    served.vm.await_output("..")
    served.stop()
    for end in (ours, theirs):
        end.close()
    os.close(reader)


@case
def api_inherited_socket(t):
    """A listening socket by LISTEN_FDS: served at once, and --api-sock is not made."""
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(t.path("theirs"))
    listener.listen()
    early = Client(t.path("theirs"))
    early.send(request("GET", "/version"))
    os.set_inheritable(listener.fileno(), True)
    command = ('import os,sys\nos.dup2(int(sys.argv[1]), 3)\nos.environ.update(LISTEN_FDS="1", '
               'LISTEN_PID=str(os.getpid()))\nos.execv(sys.argv[2], sys.argv[2:])')
    process = subprocess.Popen(["python3", "-c", command, str(listener.fileno()), BINARY, "--api-sock", "ours",
                                "--log-path", "log"], cwd=t.dir, close_fds=False, stdin=subprocess.DEVNULL)
    try:
        equal("early request", 200, early.receive().status)
        equal("socket of --api-sock", False, os.path.exists(t.path("ours")))
    finally:
        process.kill()
        process.wait()
        listener.close()
