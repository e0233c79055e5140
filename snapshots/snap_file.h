/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The two files of a snapshot as a pair that a crash cannot mix: each is written beside its place
 * and takes it when both are durable, the memory first and the state last, with no state file
 * between them. Where a name cannot be replaced it is written in place. Thread: vmm.
 *
 * In this order: snap_file_open of both; snap_file_begin; the memory's bytes and stamp;
 * snap_file_place_memory; the state's bytes; snap_file_commit; snap_file_drop of both. What fails
 * from snap_file_begin to the state's last byte is followed by snap_file_undo; snap_file_commit
 * undoes for itself.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"

#define SNAP_PATH_MAX_SIZE 4096u

/* One file that is being written. */
struct snap_file {
    const char *path; /* borrowed */
    const char *what; /* "snapshot" or "memory": as sentences call it */
    int fd;
    uint64_t size;
    bool merges;
    bool had_old;    /* there was a file of that name */
    bool no_flush;   /* set by the caller, after it was opened: nothing is made durable */
    bool in_place;   /* else at temp_path */
    bool was_same;   /* in place: it was of the right size, and what is not written stays */
    bool is_swapped; /* it has its name, and what had it before is at temp_path */
    char temp_path[SNAP_PATH_MAX_SIZE]; /* "": it has its name */
    char aside_path[SNAP_PATH_MAX_SIZE +
                    4]; /* of a state: where the old one is; "": there is none */
};

/* Are these the same name in the same directory, spelt in two ways? Neither need exist. */
bool snap_file_is_same_place(const char *one, const char *other);

/*
 * Opens what is to become `path`. size: bytes that it will have (holes at first), 0: as many as are
 * written. merges: a file of exactly that size is changed where it is. Returns 0 (snap_file_drop)
 * or -errno with the sentence of snapshot.md 2.
 */
MUST_CHECK int snap_file_open(struct snap_file *ret_file, const char *path, const char *what,
                              uint64_t size, bool merges, struct err *err);

/* Closes it; what was written beside its place is removed. Not opened is fine. */
void snap_file_drop(struct snap_file *file);

/* Before the first byte is written: what is written in place begins to change here, and has no
 * state from then on. Returns 0 or -errno. */
MUST_CHECK int snap_file_begin(struct snap_file *memory, struct snap_file *state, struct err *err);

/* A state that is written where it is comes last: the memory is made durable and has its name
 * before the state's first byte. Else nothing. Returns 0 or -errno. */
MUST_CHECK int snap_file_place_memory(struct snap_file *memory, const struct snap_file *state,
                                      struct err *err);

/* After a failure: the old pair again where it can be, and never a state beside another's
 * memory. */
void snap_file_undo(struct snap_file *memory, struct snap_file *state);

/* Makes both durable and gives them their names. Returns 0 or -errno: then a pair that was there
 * before is there still, unless one of them was written in place. */
MUST_CHECK int snap_file_commit(struct snap_file *memory, struct snap_file *state, struct err *err);
