/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cgroups of an ordinary user: a cgroup v2 that was delegated. Thread: main. Spec: cgroups(7),
 * "Delegation"; Documentation/admin-guide/cgroup-v2.rst.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "jailer/jail.h"

/* The path of a process in the cgroup2 hierarchy, by the text of its /proc/PID/cgroup. ret_path:
 * PATH_MAX, without the leading slash. Returns 1, or 0: there is none. */
MUST_CHECK int jail_cgroup_find_own(const char *text, char *ret_path);

/*
 * Finds the jailer's own cgroup and whether the one that the monitor's is to be made in is the
 * user's: --parent-cgroup, relative to the hierarchy, or the jailer's own. Returns 0, or -errno
 * with a sentence where limits were asked for that cannot be had. Nothing is changed.
 */
MUST_CHECK int jail_rootless_check_cgroups(struct jail *jail, struct err *err);

/* Makes it with its values, if any are asked for, and has the jailer enter it. */
MUST_CHECK int jail_rootless_make_cgroups(struct jail *jail, struct err *err);

/*
 * Takes back what a failed run has made of cgroups: controllers of the jailer's own are switched
 * off again, it goes home, and what it made is removed when everybody has left. To be called by the
 * first process alone, since it may be in there itself.
 */
void jail_rootless_undo_cgroups(struct jail *jail);
