/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every action a user may ask for through the API, in which phase it is allowed, and its reply;
 * and the config file's way in, which asks no rule: it comes before any action, and shares the
 * staging and the start with them. Owns the machine and its configuration. Thread: vmm. Spec:
 * api.md 3, 5, 7; deltas.md 2.
 */
#pragma once

#include "base/attr.h"
#include "base/err.h"
#include "base/thread.h"
#include "vmm/config/cfg.h"
#include "vmm/ctl/action.h"
#include "vmm/machine/machine.h"

struct ctl;

/* Where a log and metrics that were asked for are opened: the owner's, for requests of the API and
 * for the config file's loader. What is given is borrowed for the call. */
struct ctl_sinks {
    void *ctx;
    int (*logger)(void *ctx, const struct cfg_logger *logger, struct err *err);
    int (*metrics)(void *ctx, const struct cfg_metrics *config, struct err *err);
};

/* What ctl asks of its owner; none may be NULL. Called on the vmm thread, but for
 * handler_ended. */
struct ctl_hooks {
    struct ctl_sinks sinks;
    void *ctx;
    /* The state that GET / shows has changed. */
    void (*state)(void *ctx, enum ctl_state state);
    /* The snapshot could not be loaded: the process is to end when the reply has been sent. */
    void (*lost)(void *ctx);
    /* The guest's memory is mapped from the file at `path`: who touches what is cut off it gets
     * SIGBUS. gmem, path: borrowed for the call. */
    void (*mapped)(void *ctx, const struct gmem *gmem, const char *path);
    /* The page-fault handler of the guest's memory has ended. ends: the process is to end, too; the
     * vmm thread may wait for a page that never comes. why: the sentence. Thread: fc_uffd. */
    void (*handler_ended)(void *ctx, bool ends, const struct err *why);
    /* An action has failed: what the owner's restrictions have to do with it may be added. */
    void (*explain)(void *ctx, struct err *err);
    struct thread_entry helper_entry; /* of the threads that a load makes */
};

struct ctl_options {
    struct machine_options machine; /* copied; on_end is the owner's */
    struct ctl_hooks hooks;
};

/* Returns 0 with *ret_ctl (ctl_free) or -errno. */
MUST_CHECK int ctl_create(const struct ctl_options *options, struct ctl **ret_ctl, struct err *err);

/* Ends the VM and frees everything. NULL is fine. */
void ctl_free(struct ctl *ctl);

/* Does ahead what any VM needs, while nobody has asked for one yet. */
void ctl_prepare(struct ctl *ctl);

/* Makes a VM of this shape ahead of a load (machine_warm). No action has been carried out yet. */
MUST_CHECK int ctl_warm(struct ctl *ctl, const struct cfg_machine *shape, struct err *err);

/* Carries one action out; takes over what it owns. Never fails itself: *ret_reply says how it went.
 * ctx: the struct ctl (the shape of the mailbox's serve). */
void ctl_do(void *ctx, struct ctl_action *action, struct ctl_reply *ret_reply);

/* The way in of --metadata, before any action: puts the document. Returns as
 * machine_put_metadata. */
MUST_CHECK int ctl_load_metadata(struct ctl *ctl, const char *text, size_t len, struct err *err);

/*
 * The config file's way in: stages a whole decoded and validated configuration, takes it over and
 * starts the VM. *config is empty from the takeover on, also when the start fails; when a stage
 * fails it stays as it was, the caller's. *part: what was being done, in any case. Sentences are
 * the part's own, without a category. Returns 0, or -errno of machine_stage_boot_source,
 * machine_stage_drive, machine_stage_nic, machine_stage_vsock, or of machine_set_serial,
 * machine_build and machine_start.
 */
enum ctl_part {
    CTL_PART_BOOT_SOURCE,
    CTL_PART_DRIVE,
    CTL_PART_NIC,
    CTL_PART_VSOCK,
    CTL_PART_START,
};
MUST_CHECK int ctl_start_config(struct ctl *ctl, struct cfg_vm *config, enum ctl_part *part,
                                struct err *err);
