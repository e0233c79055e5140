/* SPDX-License-Identifier: Apache-2.0 */
/*
 * --rootless: the jail of an ordinary user, by a user namespace. The steps are the same, with three
 * others in their places: ids are mapped, device nodes bound instead of made, and a PID namespace
 * always there. Thread: main. Spec: user_namespaces(7).
 */
#pragma once

#include <stdbool.h>
#include <sys/stat.h>

#include "base/attr.h"
#include "base/err.h"
#include "jailer/jail.h"

/* May a group that is more than this user write to it? A user's private group has the user's
 * number. */
bool jail_rootless_is_open_to_group(const struct stat *st);

/*
 * Judges what only root can do; which ids the jail gets: the user's own, or one of the user's range
 * of /etc/subuid. Returns 0 or -errno with the sentence. Nothing is changed.
 */
MUST_CHECK int jail_rootless_check(struct jail *jail, struct err *err);

/* Enters the namespaces and maps the ids. */
MUST_CHECK int jail_rootless_enter(struct jail *jail, struct err *err);

/* Joins --netns, if there is one, by the user namespace that owns it. Part of
 * jail_rootless_enter. */
MUST_CHECK int jail_rootless_join_netns(struct jail *jail, struct err *err);

/* Says in one line on stderr what isolates the monitor and what does not. To be called when all
 * of it is there. */
void jail_rootless_tell(const struct jail *jail);

/* Mounts of the host's device nodes, for the jail, before the host's are out of sight. The
 * monitor's user has to be able to open /dev/kvm; others are left out where it is not. */
MUST_CHECK int jail_rootless_open_devices(struct jail *jail, struct err *err);

/* Binds one of them over an empty file `name` in `dir_fd`. */
MUST_CHECK int jail_rootless_bind_device(struct jail *jail, enum jail_device device, int dir_fd,
                                         const char *name, struct err *err);
