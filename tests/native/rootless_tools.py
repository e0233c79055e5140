# SPDX-License-Identifier: Apache-2.0
"""A jail of an ordinary user, who has no name: made in a mount namespace where /dev/kvm is for all."""

import os
import shutil
import stat
import subprocess

from jail_tools import JAILER, Jail

USER = 65533
RANGE, COUNT = 300000, 100


class Rootless(Jail):
    """Run by USER. subids: that user has a range of ids."""

    def __init__(self, t, subids=False, **options):
        super().__init__(t, **options)
        self.cgroup = None  # directory of the one that it starts in
        self.groups = "--clear-groups"
        self.jailer = t.path("jailer")
        shutil.copy(JAILER, self.jailer)
        os.chmod(self.jailer, 0o755)
        os.chown(self.base, USER, USER)
        for name, number in (("kvm", (10, 232)), ("tun", (10, 200))):
            if not os.path.exists(t.path(name)):
                os.mknod(t.path(name), stat.S_IFCHR | 0o666, os.makedev(*number))
            os.chmod(t.path(name), 0o666)
        self.binds = {t.path("kvm"): "/dev/kvm", t.path("tun"): "/dev/net/tun"}
        if subids:
            for name, line in (("passwd", f"tester:x:{USER}:{USER}::/:/bin/sh\n"),
                               ("subuid", f"tester:{RANGE}:{COUNT}\n"), ("subgid", f"tester:{RANGE}:{COUNT}\n")):
                t.write(f"etc-{name}", line)
                os.chmod(t.path(f"etc-{name}"), 0o644)
                self.binds[t.path(f"etc-{name}")] = f"/etc/{name}"

    def as_user(self, *words, prefix=()):
        """A command of the user's, among self.binds and in self.cgroup. prefix: what root starts it by."""
        mounts = "; ".join(f"touch {place} 2>/dev/null; mount --bind {what} {place}"
                           for what, place in self.binds.items())
        enter = f"echo 0 > {self.cgroup}/cgroup.procs" if self.cgroup else ":"
        script = (f"set -e; {mounts}; {enter}; "
                  f"exec {' '.join(prefix)} setpriv --reuid={USER} --regid={USER} {self.groups} \"$@\"")
        return ["unshare", "--mount", "sh", "-c", script, "sh", *words]

    def command(self, *more, monitor=(), prefix=(), inner=(), **replaced):
        """inner: what the user starts the jailer by."""
        ids = {"uid": str(USER), "gid": str(USER), **replaced}
        return self.as_user(*inner, self.jailer, "--rootless", *self.options(*more, **ids), "--", *monitor, prefix=prefix)

    def run(self, *more, env=None, pass_fds=(), timeout_s=20, **replaced):
        return subprocess.run(self.command(*more, **replaced), cwd=self.t.dir, capture_output=True, text=True,
                              timeout=timeout_s, stdin=subprocess.DEVNULL, env=env, pass_fds=pass_fds, check=False)

    def start(self, *more, pass_fds=(), stdout=subprocess.DEVNULL, **replaced):
        """The jailer ends when the monitor runs, which is that of the pid file."""
        return subprocess.Popen(self.command(*more, **replaced), cwd=self.t.dir, stdin=subprocess.DEVNULL,
                                stdout=stdout, stderr=subprocess.STDOUT, pass_fds=pass_fds)
