/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Snapshots as actions: taking one of a paused VM, and making the VM from one. Thread: vmm. Spec:
 * snapshot.md 2, 4; api.md 7.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "snapshots/snap.h"
#include "vmm/ctl/ctl_int.h"

int ctl_create_snapshot(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct cfg_snapshot_create *create = &action->u.snapshot_create;
    bool is_diff = create->snapshot_type == CFG_SNAPSHOT_DIFF;
    uint64_t start_ns = clock_mono_ns();
    if (ctl->phase != CTL_PHASE_PAUSED)
        return err_set(err, -EBUSY,
                       "Cannot save the microVM state: Operation not allowed: save/restore "
                       "unavailable while running");
    int rc = snap_create(ctl->machine, ctl->config, create, &ctl->past, err);
    if (rc < 0)
        return rc;
    if (is_diff)
        ctl_tell_time("create diff snapshot", start_ns,
                      &metrics.latencies_us.vmm_diff_create_snapshot);
    else
        ctl_tell_time("create full snapshot", start_ns,
                      &metrics.latencies_us.vmm_full_create_snapshot);
    return 0;
}

static int load_drive(void *ctx, const struct cfg_drive *drive, struct err *err)
{
    struct ctl *ctl = ctx;
    return ctl_open_drive(ctl, drive, err);
}

static int load_nic(void *ctx, struct cfg_nic *nic, struct err *err)
{
    struct ctl *ctl = ctx;
    return ctl_open_nic(ctl, nic, err);
}

static int load_vsock(void *ctx, const struct cfg_vsock *vsock, struct err *err)
{
    struct ctl *ctl = ctx;
    int rc = machine_stage_vsock(ctl->machine, vsock, err);
    return rc < 0 ? ctl_explain_vsock(vsock, err) : 0;
}

static void on_mapped(void *ctx, const struct gmem *gmem, const char *path)
{
    const struct ctl *ctl = ctx;
    ctl->options.hooks.mapped(ctl->options.hooks.ctx, gmem, path);
}

static void on_handler_ended(void *ctx, bool ends, const struct err *why)
{
    const struct ctl *ctl = ctx;
    ctl->options.hooks.handler_ended(ctl->options.hooks.ctx, ends, why);
}

static void enter_thread(void *ctx)
{
    const struct ctl *ctl = ctx;
    thread_enter(&ctl->options.hooks.helper_entry);
}

static int load(struct ctl *ctl, const struct cfg_snapshot_load *load, struct err *err)
{
    static const struct snap_stage_ops ops = {load_drive, load_nic,         load_vsock,
                                              on_mapped,  on_handler_ended, enter_thread};
    uint64_t start_ns = clock_mono_ns();
    metrics_phase_reached(METRICS_PHASE_CONFIG);
    int rc = machine_set_serial(ctl->machine, &ctl->serial, err);
    if (rc == 0)
        rc = snap_load(ctl->machine, load, &ops, ctl, ctl->config, &ctl->past, &ctl->watch, err);
    if (rc < 0)
        return rc;
    ctl_enter(ctl, CTL_PHASE_PAUSED);
    if (load->resume_vm) {
        machine_resume(ctl->machine);
        ctl_enter(ctl, CTL_PHASE_RUNNING);
    }
    ctl_tell_time("load snapshot", start_ns, &metrics.latencies_us.vmm_load_snapshot);
    return 0;
}

int ctl_load_snapshot(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    if (ctl->phase != CTL_PHASE_EMPTY)
        return err_set(err, -EPERM,
                       "Loading a microVM snapshot not allowed after configuring boot-specific "
                       "resources.");
    int rc = load(ctl, &action->u.snapshot_load, err);
    /* Half a VM is nothing that could be configured or loaded again: clients expect the end. */
    if (rc < 0) {
        ctl_abandon_sockets(ctl);
        ctl->options.hooks.lost(ctl->options.hooks.ctx);
    }
    return rc;
}
