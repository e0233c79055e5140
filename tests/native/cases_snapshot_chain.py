# SPDX-License-Identifier: Apache-2.0
"""Chains of Diffs (snapshot.md 3): what is noticed when one of them is missing, or goes onto another's memory."""

import shutil

from cases_snapshot_files import PAGES, boot_pages, load_pages, stop_pages, sum_of, told
from native import case, equal
from snapshot_tools import create, data_pages, load_body, load_fails, merge, samples


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
