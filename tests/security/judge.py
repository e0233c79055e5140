# SPDX-License-Identifier: Apache-2.0
"""Which wall refused? What an outcome says alone, and what a comparison of columns says (tests/security/README.md).

A cell is a dict: column → outcome of one attempt by one thread in one phase. Columns differ in two walls only:
`all` has both, `no-seccomp` and `no-landlock` lack that one, `none` lacks both."""

COLUMNS = ("all", "no-seccomp", "no-landlock", "none")
PASSED = "SUCCEEDED"
# What is not there for who asks: hidden by the jail, or by this host having none.
ABSENT = ("ENOENT", "ESRCH", "ENXIO", "ENODEV", "ENOTDIR", "ECONNREFUSED", "ENETUNREACH", "held")
REFUSED = ("EPERM", "EACCES", "EXDEV", "EROFS")
# Walls that the suite can speak for; `kernel` and `absent` only say that this host has not what it takes.
WALLS = ("seccomp", "Landlock", "jail", "ids", "ring")


def is_filter(outcome):
    return outcome in ("seccomp", "killed")


def below(attempt, outcome, jailed):
    """The wall of an outcome without seccomp and Landlock; None: there was none."""
    if outcome == PASSED:
        return None
    if outcome == "none":
        return "absent"
    if attempt.startswith("ring-") and outcome in ("EACCES", "EEXIST"):
        return "ring"
    if outcome in REFUSED:
        return "ids"
    if outcome in ABSENT:
        return "jail" if jailed else "absent"
    return "kernel"


def refused_by(attempt, cell, column, jailed):
    """The wall that this column met first; None: it succeeded."""
    outcome = cell[column]
    if outcome == PASSED:
        return None
    if is_filter(outcome):
        return "seccomp"
    without_landlock = {"all": "no-landlock", "no-seccomp": "none"}.get(column)
    if without_landlock and outcome in (*REFUSED, "held") and cell[without_landlock] != outcome:
        return "Landlock"
    without_seccomp = {"all": "no-seccomp", "no-landlock": "none"}.get(column)
    if without_seccomp and cell[without_seccomp] != outcome and outcome != "none":
        return "seccomp"  # a filter that answers with an errno
    return below(attempt, outcome, jailed)


def walls_of(attempt, cell, jailed):
    """All walls that stand in the way, each seen with the others out of it."""
    found = {refused_by(attempt, cell, "no-landlock", jailed) if cell["none"] != cell["no-landlock"] else None,
             refused_by(attempt, cell, "no-seccomp", jailed) if cell["none"] != cell["no-seccomp"] else None,
             below(attempt, cell["none"], jailed)}
    return found - {None}


def single_wall(attempt, cell, jailed):
    """The only wall in the way, or None: there are more, or none, or this host cannot tell."""
    walls = walls_of(attempt, cell, jailed)
    if len(walls) != 1 or not walls <= set(WALLS):
        return None
    return walls.pop()


def role_of(thread):
    """The seccomp role of a thread by its name."""
    if thread in ("fc_api", "fc_metrics"):
        return "api"
    if thread.startswith("fc_vcpu"):
        return "vcpu"
    return "helper" if thread.startswith("fc_") else "vmm"
