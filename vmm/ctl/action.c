/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releasing an action: what its struct owns, by the struct's field table. Thread: the one that
 * holds the action; no state.
 */
#include "vmm/ctl/action.h"

#include <string.h>

#include "vmm/config/cfg_fields.h"

/* The kinds whose struct owns something. */
static const struct cfg_object *const tables[CTL_ACTIONS_COUNT] = {
    [CTL_BOOT_SOURCE_PUT] = &cfg_object_boot_source,
    [CTL_CPU_CONFIG_PUT] = &cfg_object_cpu_template,
    [CTL_DRIVE_PUT] = &cfg_object_drive,
    [CTL_NIC_PUT] = &cfg_object_nic,
    [CTL_VSOCK_PUT] = &cfg_object_vsock,
    [CTL_MMDS_CONFIG_PUT] = &cfg_object_mmds,
    [CTL_LOGGER_PUT] = &cfg_object_logger,
    [CTL_METRICS_PUT] = &cfg_object_metrics,
    [CTL_SERIAL_PUT] = &cfg_object_serial,
    [CTL_DRIVE_PATCH] = &cfg_object_drive_patch,
    [CTL_NIC_PATCH] = &cfg_object_nic_patch,
    [CTL_SNAPSHOT_CREATE] = &cfg_object_snapshot_create,
    [CTL_SNAPSHOT_LOAD] = &cfg_object_snapshot_load,
};

void ctl_action_done(struct ctl_action *action)
{
    const struct cfg_object *table = tables[action->kind];

    if (table)
        cfg_object_done(table, &action->u);
    memset(action, 0, sizeof(*action));
}
