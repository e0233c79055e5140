/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Starting the VM, and what is asked of it afterwards. Thread: vmm. Spec: api.md 5, 7, 10.
 */
#include <errno.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/metrics.h"
#include "vmm/ctl/ctl_int.h"

static int start(struct ctl *ctl, struct err *err)
{
    metrics_phase_reached(METRICS_PHASE_CONFIG);
    int rc = machine_set_serial(ctl->machine, &ctl->serial, err);
    if (rc == 0)
        rc = machine_build(ctl->machine, ctl->config, err);
    if (rc == 0)
        rc = machine_start(ctl->machine, err);
    if (rc < 0)
        return rc;
    ctl_enter(ctl, CTL_PHASE_RUNNING);
    return 0;
}

int ctl_start(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)action; /* says nothing more */
    return start(ctl, err);
}

/* As ctl_start_config, which cleans up behind it. */
static int start_config(struct ctl *ctl, struct cfg_vm *config, enum ctl_part *part,
                        struct err *err)
{
    *part = CTL_PART_BOOT_SOURCE;
    int rc = machine_stage_boot_source(ctl->machine, &config->boot_source, err);
    for (uint32_t i = 0; rc == 0 && i < config->drives_count; i++) {
        *part = CTL_PART_DRIVE;
        rc = ctl_stage_drive(ctl, &config->drives[i], err);
    }
    for (uint32_t i = 0; rc == 0 && i < config->nics_count; i++) {
        *part = CTL_PART_NIC;
        rc = ctl_stage_nic(ctl, &config->nics[i], err);
    }
    if (rc == 0 && config->has_vsock) {
        *part = CTL_PART_VSOCK;
        rc = ctl_stage_vsock(ctl, &config->vsock, err);
        if (rc < 0)
            rc = ctl_explain_vsock(&config->vsock, err);
    }
    if (rc < 0)
        return rc;
    *part = CTL_PART_START;
    cfg_vm_done(ctl->config);
    *ctl->config = *config;
    cfg_vm_init(config); /* its strings are ctl's */
    ctl_enter(ctl, CTL_PHASE_CONFIGURED);
    return start(ctl, err);
}

int ctl_start_config(struct ctl *ctl, struct cfg_vm *config, enum ctl_part *part, struct err *err)
{
    int rc = start_config(ctl, config, part, err);
    if (rc < 0)
        ctl_abandon_sockets(ctl);
    return rc;
}

int ctl_flush_metrics(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)ctl;
    (void)action;
    int rc = metrics_flush(err);
    return rc < 0 ? err_prefix(err, "Metrics error: ") : 0;
}

int ctl_send_ctrl_alt_del(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)action;
    int rc = machine_ctrl_alt_del(ctl->machine, err);
    return rc < 0 ? err_prefix(err, "I8042 error: ") : 0;
}

void ctl_tell_time(const char *what, uint64_t start_ns, metric_t *metric)
{
    uint64_t took_us = (clock_mono_ns() - start_ns) / NS_PER_US;
    metric_store(metric, took_us);
    log_info("'%s' VMM action took %llu us.", what, (unsigned long long)took_us);
}

int ctl_pause(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)action;
    uint64_t start_ns = clock_mono_ns();
    int rc = machine_pause(ctl->machine, err);
    if (rc < 0)
        return rc;
    ctl_enter(ctl, CTL_PHASE_PAUSED);
    ctl_tell_time("pause vm", start_ns, &metrics.latencies_us.vmm_pause_vm);
    return 0;
}

int ctl_resume(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)action;
    (void)err; /* cannot fail */
    uint64_t start_ns = clock_mono_ns();
    machine_resume(ctl->machine);
    ctl_enter(ctl, CTL_PHASE_RUNNING);
    ctl_tell_time("resume vm", start_ns, &metrics.latencies_us.vmm_resume_vm);
    return 0;
}

#define PATCH_DRIVE_FAILED "Unable to patch the block device: "
#define PATCH_DRIVE_END " Please verify the request arguments."

int ctl_patch_drive(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_drive_patch *patch = &action->u.drive_patch;
    struct err why = ERR_INIT;
    int rc = 0;
    if (!cfg_drives_find(ctl->config, patch->drive_id))
        return err_set(err, -ENOENT,
                       PATCH_DRIVE_FAILED
                       "Failed perform action on device: Device not found" PATCH_DRIVE_END);
    if (!patch->path_on_host && !patch->rate_limiter.present)
        return err_set(err, -EINVAL,
                       PATCH_DRIVE_FAILED
                       "Block: Running method expected different backend." PATCH_DRIVE_END);
    rc = machine_patch_drive(ctl->machine, patch, &why);
    if (rc < 0)
        return err_set(err, rc, PATCH_DRIVE_FAILED "Block: %s" PATCH_DRIVE_END, why.msg);
    return cfg_drives_patch(ctl->config, patch, err); /* for GET /vm/config */
}

int ctl_patch_nic(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    struct cfg_nic_patch *patch = &action->u.nic_patch;
    int rc = machine_patch_nic(ctl->machine, patch, err);
    if (rc < 0)
        return err_prefix(err, "Unable to update the net device: ");
    cfg_nics_patch(ctl->config, patch); /* for GET /vm/config */
    return 0;
}

int ctl_delete_device(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    (void)ctl;
    (void)action;
    return err_set(err, -EOPNOTSUPP, CTL_NO_PCI);
}

int ctl_refuse_excluded(struct ctl *ctl, struct ctl_action *action, struct err *err)
{
    const struct ctl_excluded_answer *answer = &ctl_excluded_answers[action->u.excluded];
    bool pre = ctl->phase & CTL_PHASES_PRE;
    return err_set(err, -EOPNOTSUPP, "%s", pre ? answer->pre : answer->post);
}
