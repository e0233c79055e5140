/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots: a paused machine into a pair of files, and a machine from one (snapshot.md;
 * docs/snapshots.md). Thread: vmm.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "snapshots/snap_past.h"
#include "snapshots/snap_watch.h"
#include "vmm/config/cfg.h"
#include "vmm/machine/machine.h"

/* What a load opens of a configuration, by the caller's functions; their sentences are whole but
 * for the class. */
struct snap_stage_ops {
    int (*drive)(void *ctx, const struct cfg_drive *drive, struct err *err);
    int (*nic)(void *ctx, struct cfg_nic *nic, struct err *err);
    int (*vsock)(void *ctx, const struct cfg_vsock *vsock, struct err *err);
    /* The memory is mapped from the file at `path`: who touches what is cut off it gets SIGBUS. */
    void (*mapped)(void *ctx, const struct gmem *gmem, const char *path);
    /* As in struct snap_watch_news, with the thread of that. */
    void (*handler_ended)(void *ctx, bool ends, const struct err *why);
    /* What the threads that a load makes do first (base/thread.h), on them. */
    void (*enter_thread)(void *ctx);
};

/*
 * Takes a snapshot of a paused machine, which stays paused. config: what it was made from. past: of
 * this VM; this snapshot on success. The files are a pair that a crash cannot mix
 * (snapshots/snap_file.h). Returns 0, or -errno with the sentence behind "Create snapshot error: ";
 * then the machine is as it was, and an earlier pair at these paths is there still unless it was
 * written in place.
 */
MUST_CHECK int snap_create(struct machine *machine, const struct cfg_vm *config,
                           const struct cfg_snapshot_create *create, struct snap_past *past,
                           struct err *err);

/*
 * Makes the machine from a snapshot; it is paused then. load: settled. ops: open what the
 * configuration names. On success *config, which was empty, is the snapshot's with the overrides,
 * and *past is the snapshot; *watch, which was NULL, is that of the page-fault handler if there is
 * one: to be freed (snap_watch_free) before the machine. Returns 0, or -errno with the sentence
 * behind "Load snapshot error: ": then the process is to end.
 */
MUST_CHECK int snap_load(struct machine *machine, const struct cfg_snapshot_load *load,
                         const struct snap_stage_ops *ops, void *ctx, struct cfg_vm *config,
                         struct snap_past *past, struct snap_watch **watch, struct err *err);

/* The format's version of a state file. ret_version: major, minor, patch. Returns 0 or -errno with
 * a sentence. */
MUST_CHECK int snap_version(const char *path, uint32_t ret_version[static 3], struct err *err);

/* A state file in words, for people: ret_text is NUL-terminated, the caller frees. Returns 0 or
 * -errno with a sentence. */
MUST_CHECK int snap_describe(const char *path, char **ret_text, struct err *err);
