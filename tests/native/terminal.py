# SPDX-License-Identifier: Apache-2.0
"""A terminal for a monitor to run on, which has to be given back as it was."""

import os
import pty
import termios
import tty

from native import equal


def with_terminal(start, end_it):
    """start(stdin=, stdout=, terminal=): a monitor that runs the echo guest; end_it(monitor, our side of the terminal)."""
    leader, follower = pty.openpty()
    tty.setcbreak(follower)
    before = termios.tcgetattr(follower)
    vm = start(stdin=follower, stdout=follower, terminal=True)
    seen = b""
    while b"ready" not in seen:
        seen += os.read(leader, 4096)
    raw = termios.tcgetattr(follower)
    equal("echo and signals of the terminal while the guest runs", 0, raw[3] & (termios.ECHO | termios.ISIG))
    end_it(vm, leader)
    vm.wait()
    equal("terminal modes", before, termios.tcgetattr(follower))
    os.close(leader)
    os.close(follower)
    return vm
