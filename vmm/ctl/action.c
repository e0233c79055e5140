/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releasing an action: what its struct owns, by the struct's field table. Thread: the one that
 * holds the action; no state.
 */
#include "vmm/ctl/action.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_fields.h"

/* The table of what an action's struct owns; NULL: it owns nothing. The compiler asks for every
 * kind. */
static const struct cfg_object *owner_table(enum ctl_action_kind kind)
{
    switch (kind) {
    case CTL_BOOT_SOURCE_PUT:
        return &cfg_object_boot_source;
    case CTL_CPU_CONFIG_PUT:
        return &cfg_object_cpu_template;
    case CTL_DRIVE_PUT:
        return &cfg_object_drive;
    case CTL_NIC_PUT:
        return &cfg_object_nic;
    case CTL_VSOCK_PUT:
        return &cfg_object_vsock;
    case CTL_MMDS_CONFIG_PUT:
        return &cfg_object_mmds;
    case CTL_LOGGER_PUT:
        return &cfg_object_logger;
    case CTL_METRICS_PUT:
        return &cfg_object_metrics;
    case CTL_SERIAL_PUT:
        return &cfg_object_serial;
    case CTL_DRIVE_PATCH:
        return &cfg_object_drive_patch;
    case CTL_NIC_PATCH:
        return &cfg_object_nic_patch;
    case CTL_SNAPSHOT_CREATE:
        return &cfg_object_snapshot_create;
    case CTL_SNAPSHOT_LOAD:
        return &cfg_object_snapshot_load;
    case CTL_MACHINE_CONFIG_GET:
    case CTL_VM_CONFIG_GET:
    case CTL_MMDS_GET:
    case CTL_MACHINE_CONFIG_PUT:
    case CTL_MACHINE_CONFIG_PATCH:
    case CTL_MMDS_PUT:
    case CTL_MMDS_PATCH:
    case CTL_DEVICE_DELETE:
    case CTL_INSTANCE_START:
    case CTL_METRICS_FLUSH:
    case CTL_CTRL_ALT_DEL:
    case CTL_PAUSE:
    case CTL_RESUME:
    case CTL_EXCLUDED:
        break;
    }
    return NULL;
}

void ctl_action_done(struct ctl_action *action)
{
    const struct cfg_object *table = owner_table(action->kind);

    if (table)
        cfg_object_done(table, &action->u);
    if (action->kind == CTL_MMDS_PUT || action->kind == CTL_MMDS_PATCH)
        free(action->u.metadata.text);
    memset(action, 0, sizeof(*action));
}
