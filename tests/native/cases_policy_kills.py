# SPDX-License-Identifier: Apache-2.0
"""Each call at which a command about a policy may be killed (tests/lib/fail_nth.c): what it leaves is old or new or can be
taken away, and is no obstacle to the next command."""

from cases_policy_faults import ATTACH, BACK, NEW_PORT, OLD_PORT, REMOVE, UPDATE, Faults, in_parts
from native import case, contains, equal
from policy_tools import in_namespace, remove_clsact

LAST_CALLS = 60  # of attaching; the ones ahead are libbpf's search for the kernel's types
ATTACH_PARTS = 4
NOTHING = {"pins": {}, "hooks": {"ingress": [], "egress": []}}


def removed(faults):
    """Takes away what there is, which may be nothing."""
    done = faults.run(*REMOVE)
    if done.returncode != 0:
        equal("status", 1, done.returncode)
        contains("stderr", "there is none of the id vm-1", done.stderr)
    left = faults.left()
    equal("left", {**NOTHING, "hooks": left["hooks"] and NOTHING["hooks"]}, left)


@in_parts(ATTACH_PARTS)
def policy_whose_attachment_is_killed_at_any_call_can_be_removed_and_attached(net, part):
    faults = Faults(net)
    _, total, _ = faults.fail(0, "kill", *ATTACH)
    faults.must(*REMOVE)
    remove_clsact("tap0")

    def check(done, _number):
        equal("status", 128 + 9, done.returncode)
        removed(faults)
        faults.must(*ATTACH)
        faults.in_force(OLD_PORT)
        faults.must(*REMOVE)
        remove_clsact("tap0")
    faults.every("kill", ATTACH, check, part, ATTACH_PARTS, lambda nth: nth > total - LAST_CALLS)


@case
@in_namespace
def policy_change_that_is_killed_at_any_call_is_made_or_not(net):
    faults = Faults(net)
    faults.must(*ATTACH)
    before = faults.left()

    def check(done, _number):
        equal("status", 128 + 9, done.returncode)
        faults.in_force(NEW_PORT if faults.passes(NEW_PORT) else OLD_PORT)
        equal("pins and hooks", before, faults.left())
        faults.must(*UPDATE)
        faults.in_force(NEW_PORT)
        faults.must(*BACK)
        faults.in_force(OLD_PORT)
    faults.every("kill", UPDATE, check)


@case
@in_namespace
def policy_removal_that_is_killed_at_any_call_can_be_tried_again(net):
    faults = Faults(net)
    faults.must(*ATTACH)

    def check(done, _number):
        equal("status", 128 + 9, done.returncode)
        removed(faults)
        equal("it judges no more", True, faults.passes(NEW_PORT))
        faults.must(*ATTACH)
        faults.in_force(OLD_PORT)
    faults.every("kill", REMOVE, check)
