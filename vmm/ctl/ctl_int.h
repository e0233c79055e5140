/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Inside vmm/ctl: the VM with its phase, and the handlers of actions. Thread: vmm.
 */
#pragma once

#include "base/metrics.h"
#include "snapshots/snap_past.h"
#include "snapshots/snap_watch.h"
#include "vmm/ctl/ctl.h"

#define CTL_BEFORE_START "The requested operation is not supported before starting the microVM."
#define CTL_AFTER_START "The requested operation is not supported after starting the microVM."
#define CTL_NO_PCI "PCI is not enabled"

/* Where the VM is in its life. Bits, so that a rule can name several. */
enum ctl_phase {
    CTL_PHASE_EMPTY = 1u << 0,      /* nothing boot-specific was asked for */
    CTL_PHASE_CONFIGURED = 1u << 1, /* the boot-path latch is set (api.md 5) */
    CTL_PHASE_RUNNING = 1u << 2,
    CTL_PHASE_PAUSED = 1u << 3,
};
#define CTL_PHASES_PRE (CTL_PHASE_EMPTY | CTL_PHASE_CONFIGURED)
#define CTL_PHASES_POST (CTL_PHASE_RUNNING | CTL_PHASE_PAUSED)
#define CTL_PHASES_ALL (CTL_PHASES_PRE | CTL_PHASES_POST)

struct ctl {
    struct ctl_options options;
    struct machine *machine;
    struct cfg_vm *config;
    struct cfg_serial serial;
    char *metadata; /* that the last reply shows; NULL: none */
    enum ctl_phase phase;
    struct snap_past past;
    struct snap_watch *watch; /* of a page-fault handler; NULL: there is none */
};

/* A handler: 0, or -errno with the sentence behind the rule's category. May take what the action
 * owns (and zero it). */
typedef int (*ctl_handler)(struct ctl *ctl, struct ctl_action *action, struct err *err);

/* What holds for one kind of action. */
struct ctl_rule {
    uint32_t phases;      /* in which it is allowed: enum ctl_phase bits; never 0 */
    const char *refusal;  /* the whole sentence in any other phase */
    bool latches;         /* sets the boot-path latch when it is begun (api.md 5) */
    const char *category; /* before a handler's sentence */
    ctl_handler handler;  /* NULL: the reply has what it needs already */
};

/* ctl.c: a row for each kind; tests/unit/ctl looks for forgotten ones, which the compiler does not
 * see. */
extern const struct ctl_rule ctl_rules[CTL_ACTIONS_COUNT];

/* ctl_config.c: what is asked for before the start. */
int ctl_put_boot_source(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_machine(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_patch_machine(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_cpu_config(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_drive(struct ctl *ctl, struct ctl_action *action, struct err *err);
/* Opens a drive's file, and says what of it the guest will not see. */
MUST_CHECK int ctl_open_drive(struct ctl *ctl, const struct cfg_drive *drive, struct err *err);
/* Opens an interface's TAP, and puts the name that it has into *nic. */
MUST_CHECK int ctl_open_nic(struct ctl *ctl, struct cfg_nic *nic, struct err *err);
/* The same for a device that is configured, and listening for the vsock device: with the sentence
 * of the request. */
MUST_CHECK int ctl_stage_drive(struct ctl *ctl, const struct cfg_drive *drive, struct err *err);
MUST_CHECK int ctl_stage_nic(struct ctl *ctl, struct cfg_nic *nic, struct err *err);
MUST_CHECK int ctl_stage_vsock(struct ctl *ctl, const struct cfg_vsock *vsock, struct err *err);
/* Adds to the sentence of a vsock socket that could not be made the path and what to do. Not for
 * PUT /vsock, whose sentence clients know whole. Returns err->code. */
MUST_CHECK int ctl_explain_vsock(const struct cfg_vsock *vsock, struct err *err);
/* The process is to end without a VM: takes away what it bound, so that the next try finds the
 * place free. What fails is logged. */
void ctl_abandon_sockets(struct ctl *ctl);
int ctl_put_serial(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_nic(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_vsock(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_mmds_config(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_get_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_patch_mmds(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_logger(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_put_metrics(struct ctl *ctl, struct ctl_action *action, struct err *err);

/* ctl_run.c: what is asked of a VM that runs, and starting it. */
int ctl_start(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_flush_metrics(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_send_ctrl_alt_del(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_pause(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_resume(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_patch_drive(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_patch_nic(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_delete_device(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_refuse_excluded(struct ctl *ctl, struct ctl_action *action, struct err *err);
/* "'pause vm' VMM action took 123 us.", which tools scrape, and the metric of the same. */
void ctl_tell_time(const char *what, uint64_t start_ns, metric_t *metric);

/* ctl_snapshot.c */
int ctl_create_snapshot(struct ctl *ctl, struct ctl_action *action, struct err *err);
int ctl_load_snapshot(struct ctl *ctl, struct ctl_action *action, struct err *err);

/* Sets the phase and tells the owner, when it is another. */
void ctl_enter(struct ctl *ctl, enum ctl_phase phase);

/* ctl_excluded.c */
struct ctl_excluded_answer {
    const char *pre;
    const char *post;
};
extern const struct ctl_excluded_answer ctl_excluded_answers[];
