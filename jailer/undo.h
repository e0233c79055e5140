/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a run has made in the file system, to be taken back when a later step fails; what it found
 * there stays. Works by descriptors: paths mean something else behind pivot_root. Thread: main, and
 * its forked children, of which one goes on.
 */
#pragma once

#include <stdbool.h>

#include "base/attr.h"
#include "base/err.h"

#define JAIL_UNDO_MAX 64u

struct jail_undo_entry {
    int dir_fd; /* a copy of its own */
    bool is_dir;
    char name[256];
};

struct jail_undo {
    struct jail_undo_entry entries[JAIL_UNDO_MAX];
    unsigned count;
};

/* Notes that `name` in `dir_fd` was just made. Returns 0 or -errno with a sentence: then it is
 * removed at once. */
MUST_CHECK int jail_undo_note(struct jail_undo *undo, int dir_fd, const char *name, bool is_dir,
                              struct err *err);

/* Removes all of it, the last one first. What cannot be removed is said on stderr. */
void jail_undo_run(struct jail_undo *undo);
