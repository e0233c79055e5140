/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Releasing an action: what its struct owns, by the struct's field table where it has one. Thread:
 * the one that holds the action; no state.
 */
#include "vmm/ctl/action.h"

#include <stdlib.h>
#include <string.h>

#include "vmm/config/cfg_fields.h"

/* The kinds whose struct has a field table. */
static const struct cfg_object *const tables[CTL_ACTIONS_COUNT] = {
    [CTL_BOOT_SOURCE_PUT] = &cfg_object_boot_source,
    [CTL_MACHINE_CONFIG_PUT] = &cfg_object_machine,
    [CTL_CPU_CONFIG_PUT] = &cfg_object_cpu_template,
    [CTL_DRIVE_PUT] = &cfg_object_drive,
    [CTL_NIC_PUT] = &cfg_object_nic,
    [CTL_VSOCK_PUT] = &cfg_object_vsock,
    [CTL_MMDS_CONFIG_PUT] = &cfg_object_mmds,
    [CTL_LOGGER_PUT] = &cfg_object_logger,
    [CTL_METRICS_PUT] = &cfg_object_metrics,
};

static void load_free(struct cfg_snapshot_load *load)
{
    free(load->snapshot_path);
    free(load->backend_path);
    free(load->vsock_uds_path);
    for (uint32_t i = 0; i < load->network_overrides_count; i++) {
        free(load->network_overrides[i].iface_id);
        free(load->network_overrides[i].host_dev_name);
    }
}

/* The strings of structs without a table. */
static void strings_free(struct ctl_action *action)
{
    if (action->kind == CTL_SNAPSHOT_LOAD) {
        load_free(&action->u.snapshot_load);
    } else if (action->kind == CTL_SNAPSHOT_CREATE) {
        free(action->u.snapshot_create.snapshot_path);
        free(action->u.snapshot_create.mem_file_path);
    } else if (action->kind == CTL_DRIVE_PATCH) {
        free(action->u.drive_patch.drive_id);
        free(action->u.drive_patch.path_on_host);
    } else if (action->kind == CTL_NIC_PATCH) {
        free(action->u.nic_patch.iface_id);
    } else if (action->kind == CTL_SERIAL_PUT) {
        free(action->u.serial.serial_out_path);
    }
}

void ctl_action_done(struct ctl_action *action)
{
    const struct cfg_object *table = tables[action->kind];

    if (table)
        cfg_object_done(table, &action->u);
    else
        strings_free(action);
    memset(action, 0, sizeof(*action));
}
