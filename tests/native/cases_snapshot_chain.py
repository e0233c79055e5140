# SPDX-License-Identifier: Apache-2.0
"""Chains of Diffs (snapshot.md 3): what is noticed when one of them is missing, or goes onto another's memory."""

import os
import shutil

from cases_snapshot_files import PAGES, boot_pages, load_pages, stop_pages, sum_of, told
from native import case, equal
from snapshot_tools import (CREATE_FAILED, create, create_body, data_pages, load_body, load_fails, merge, samples,
                            saved, sha)

FOREIGN = ("Cannot merge the diff into the memory backing file: it is not the memory of this VM's snapshot before, "
           "whose page at byte ")


def full_and_diff(t):
    """A Full, `memory`, and a Diff, `memory2`, in which the guest's pages have changed. The VM is paused."""
    served, client = boot_pages(t, track_dirty_pages=True)
    told(served, "7")
    client.state("Paused")
    create(client)
    diff(served, client, "3", "memory2")
    return served, client


def diff(served, client, order, memory):
    client.state("Resumed")
    told(served, order)
    client.state("Paused")
    create(client, "state2", memory, kind="Diff")


@case
def snapshot_diff_vouches_for_pages_of_its_own_and_for_others(t):
    """Half of each; a Full has no others. One may be missing: that is among those that always are looked at."""
    served, _ = full_and_diff(t)
    stop_pages(served)
    full, changed = data_pages(t, "memory"), data_pages(t, "memory2")
    _, picked = samples(t, "state")
    equal("samples of the Full", True, len(picked) in (13, 14))
    equal("those that it has not", set(), set(picked) - full)
    _, picked = samples(t, "state2")
    equal("samples of the Diff", True, len(picked) in (13, 14))
    equal("those that it has not", True, len(set(picked) - changed) in (6, 7))


@case
def snapshot_diff_merged_where_a_link_is_missing_is_refused(t):
    """In place, onto the Full, while the Diff between lies elsewhere; nothing changes, and merged first it is fine."""
    served, client = full_and_diff(t)
    client.state("Resumed")
    told(served, "5")
    client.state("Paused")
    before = sha(t, "memory"), sha(t, "state")
    client.refused_like("PUT", "/snapshot/create", create_body(kind="Diff"), CREATE_FAILED + FOREIGN)
    equal("the pair", before, (sha(t, "memory"), sha(t, "state")))
    merge(t, "memory2", "memory")
    create(client, kind="Diff")
    create(client, "v", "v2")
    equal("memory", sha(t, "v2"), sha(t, "memory"))
    stop_pages(served)


@case
def snapshot_diff_onto_the_memory_of_another_vm_is_refused(t):
    """Of the same length: by a VM that took its first, and by one that was loaded."""
    saved(t)
    for name in ("memory", "state"):
        os.rename(t.path(name), t.path(name + "2"))
    served, client = boot_pages(t, track_dirty_pages=True)
    client.state("Paused")
    create(client)
    loaded, its = load_pages(t, track_dirty_pages=True)
    its.state("Paused")
    before = sha(t, "memory2"), sha(t, "state2")
    for one in (client, its):
        one.refused_like("PUT", "/snapshot/create", create_body("state2", "memory2", "Diff"), FOREIGN)
        one.refused_like("PUT", "/snapshot/create", create_body("state2", "memory2", "Diff"), "(memory2). Merge the ")
        equal("the other's pair", before, (sha(t, "memory2"), sha(t, "state2")))
    for vm in (served, loaded):
        stop_pages(vm)


@case
def snapshot_diffs_in_one_file_add_up(t):
    """The next Diff onto the file of the one before, which is not merged yet: then both are in it."""
    served, client = full_and_diff(t)
    diff(served, client, "z", "memory2")
    diff(served, client, "5", "memory2")
    merge(t, "memory2", "memory")
    create(client, "v", "v2")
    equal("memory", sha(t, "v2"), sha(t, "memory"))
    stop_pages(served)


@case
def snapshot_untracked_diff_onto_an_older_base_is_fine(t):
    """It has all that the VM touched: what was between is in it, too."""
    served, client = boot_pages(t)
    told(served, "7")
    client.state("Paused")
    create(client)
    diff(served, client, "3", "memory2")
    diff(served, client, "5", "memory")
    create(client, "v", "v2")
    equal("memory", sha(t, "v2"), sha(t, "memory"))
    stop_pages(served)


def ids(t, state):
    """Its own, and that of the snapshot before."""
    lines = t.run("--describe-snapshot", state, may_leave=os.listdir(t.dir)).out.splitlines()
    return tuple(line.split(": ")[1] for line in lines if line.startswith("id"))


@case
def snapshot_state_files_say_whom_they_follow(t):
    """From create to create, and over a load; a VM's first follows none."""
    served, client = boot_pages(t, track_dirty_pages=True)
    client.state("Paused")
    create(client)
    create(client, "state2", "memory2", kind="Diff")
    stop_pages(served)
    loaded, client = load_pages(t)
    client.state("Paused")
    create(client, "v", "v2")
    stop_pages(loaded)
    (first, none), (second, of_second), (third, of_third) = (ids(t, name) for name in ("state", "state2", "v"))
    equal("of the first", "0" * 32 + " (none)", none)
    equal("of the others", (first, first), (of_second, of_third))
    equal("ids", 3, len({first, second, third}))


@case
def snapshot_chain_without_its_middle_is_refused(t):
    """What the last Diff left alone is what the one before has: a load sees it when a sample is among that, as here."""
    served, client = full_and_diff(t)
    for _ in range(20):
        diff(served, client, "s", "v")  # the next one onto it
        if PAGES & set(samples(t, "state2")[1]):
            break
    stop_pages(served)
    equal("the last has none of these pages", set(), PAGES & data_pages(t, "v"))
    shutil.copyfile(t.path("memory"), t.path("v2"))
    merge(t, "v", "v2")
    load_fails(t, load_body("state2", "v2"), "its page at byte ", part=True)
    merge(t, "memory2", "memory")
    merge(t, "v", "memory")
    served, _ = load_pages(t, state="state2")
    equal("sum", sum_of(3), told(served, "s"))
    stop_pages(served)
