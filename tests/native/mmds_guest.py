# SPDX-License-Identifier: Apache-2.0
"""Run by cases_mmds.py in a network of its own: the host's TCP as the metadata service's guest, over a TAP.
usage: mmds_guest.py MMDS_TAP. Ends with status 0, or with the first thing that was not as expected."""

import contextlib
import http.client
import json
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

ADDRESS = "169.254.169.254"
LARGE = "0123456789abcdef" * 4000
DATA = {"latest": {"meta-data": {"hostname": "one", "tags": {"role": "web"}}}, "large": LARGE}


def run(*command):
    subprocess.run(command, check=True)


def ask(method, path, headers=None, connection=None):
    """(status, body), by a connection of its own or by that one."""
    own = connection or http.client.HTTPConnection(ADDRESS, timeout=20)
    own.request(method, path, headers=headers or {})
    reply = own.getresponse()
    answer = reply.status, reply.read().decode()
    if not connection:
        own.close()
    return answer


def equal(what, expected, seen):
    if expected != seen:
        sys.exit(f"{what}: expected {str(expected)[:300]}, saw {str(seen)[:300]}")


@contextlib.contextmanager
def service(program, version, loss):
    """The service on a TAP that is up. Nothing of it is left behind, however it ends."""
    process = subprocess.Popen([program, "tap0", json.dumps(DATA), version, str(loss)])
    try:
        set_up(program, process)
        yield
    finally:
        process.kill()
        process.wait()


def set_up(program, process):
    while subprocess.run(["ip", "link", "set", "tap0", "up"], stderr=subprocess.DEVNULL, check=False).returncode != 0:
        if process.poll() is not None:
            sys.exit(f"{program} has ended")
        time.sleep(0.01)
    run("ip", "addr", "add", "10.0.0.2/24", "dev", "tap0")
    run("ip", "route", "add", ADDRESS, "dev", "tap0")


def version_1():
    equal("keys", (200, "large\nlatest/"), ask("GET", "/"))
    equal("JSON", (200, '{"role":"web"}'), ask("GET", "/latest/meta-data/tags", {"Accept": "application/json"}))
    equal("missing", (404, "Resource not found: /x."), ask("GET", "/x"))
    one = http.client.HTTPConnection(ADDRESS, timeout=20)
    for _ in range(50):
        equal("one connection", (200, "one"), ask("GET", "/latest/meta-data/hostname", connection=one))
    equal("large on it", (200, LARGE), ask("GET", "/large", connection=one))
    with ThreadPoolExecutor(10) as pool:
        for answer in pool.map(lambda _: ask("GET", "/large"), range(100)):
            equal("many at once", (200, LARGE), answer)


def version_2():
    equal("no token", 401, ask("GET", "/large")[0])
    status, token = ask("PUT", "/latest/api/token", {"X-metadata-token-ttl-seconds": "1"})
    equal("token", (200, 48), (status, len(token)))
    header = {"X-metadata-token": token}
    equal("with it", (200, "one"), ask("GET", "/latest/meta-data/hostname", header))
    time.sleep(1.1)
    equal("expired", (401, "MMDS token not valid."), ask("GET", "/latest/meta-data/hostname", header))


def losses():
    with ThreadPoolExecutor(10) as pool:
        for answer in pool.map(lambda _: ask("GET", "/large"), range(20)):
            equal("with losses", (200, LARGE), answer)


run("ip", "link", "set", "lo", "up")
for part, version, lost in ((version_1, "v1", 0), (version_2, "v2", 0), (losses, "v1", 3)):
    with service(sys.argv[1], version, lost):
        part()
