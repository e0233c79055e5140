/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Landlock: what the threads may do to files, TCP ports, other processes' abstract sockets and
 * signals. Kernels differ in what they know; what one does not know is not restricted. Spec:
 * landlock(7).
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/cmdline.h"
#include "base/err.h"

struct app_landlock {
    int none_fd; /* a ruleset that allows nothing; FD_NONE: no Landlock */
};

/*
 * Restricts the calling thread, and all that it makes, to what the vmm thread needs: all of the
 * file system (or `paths`, if there are any, and the device nodes of KVM, TAPs and userfaultfd) but
 * for executing, making device nodes, and links and renames from one directory into another. ret:
 * zeroed but for none_fd; app_landlock_done. Returns its ABI, 0 where the kernel has no Landlock,
 * or -errno with the sentence: of an open of a path, or of landlock(7). Thread: main.
 */
MUST_CHECK int app_landlock_start(struct app_landlock *ret, const struct cmdline_list *paths,
                                  struct err *err);

/* Takes all rights to files from the calling thread. Returns 0 or -errno with the sentence. */
MUST_CHECK int app_landlock_give_up(const struct app_landlock *landlock, struct err *err);

/* Closes what app_landlock_give_up needs: no thread may be on its way there. */
void app_landlock_done(struct app_landlock *landlock);
