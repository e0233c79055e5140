/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a user may ask of a VM, and the answer, as plain data: the only thing that api and vmm/ctl
 * share beside the mailbox (architecture.md, rooms). An action is made by one thread and carried
 * out by another, never touched by both at a time. Spec: api.md 3, 5, 7; deltas.md 2, 6.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/attr.h"
#include "base/err.h"
#include "vmm/config/cfg.h"

/* One request kind each; ctl_rules[] has one row each. Order: api.md 5. */
enum ctl_action_kind {
    CTL_MACHINE_CONFIG_GET, /* GET /machine-config */
    CTL_VM_CONFIG_GET,      /* GET /vm/config */
    CTL_MMDS_GET,
    CTL_BOOT_SOURCE_PUT,
    CTL_MACHINE_CONFIG_PUT,
    CTL_MACHINE_CONFIG_PATCH,
    CTL_CPU_CONFIG_PUT,
    CTL_DRIVE_PUT,
    CTL_NIC_PUT,
    CTL_VSOCK_PUT,
    CTL_MMDS_CONFIG_PUT,
    CTL_LOGGER_PUT,
    CTL_METRICS_PUT,
    CTL_SERIAL_PUT,
    CTL_MMDS_PUT,
    CTL_MMDS_PATCH,
    CTL_DRIVE_PATCH,
    CTL_NIC_PATCH,
    CTL_DEVICE_DELETE, /* DELETE of a drive, interface or pmem device */
    CTL_INSTANCE_START,
    CTL_METRICS_FLUSH,
    CTL_CTRL_ALT_DEL,
    CTL_PAUSE,
    CTL_RESUME,
    CTL_SNAPSHOT_CREATE,
    CTL_SNAPSHOT_LOAD,
    CTL_EXCLUDED, /* a device that is not in the model: which says what was asked */
};
#define CTL_ACTIONS_COUNT (CTL_EXCLUDED + 1)

/* Requests for devices that Mayfly does not have; answered by data (deltas.md 2). */
enum ctl_excluded {
    CTL_EXCLUDED_BALLOON_PUT,
    CTL_EXCLUDED_BALLOON_GET,
    CTL_EXCLUDED_BALLOON_PATCH,
    CTL_EXCLUDED_BALLOON_STATS_GET,
    CTL_EXCLUDED_BALLOON_STATS_PATCH,
    CTL_EXCLUDED_BALLOON_HINTING_GET,
    CTL_EXCLUDED_BALLOON_HINTING_PATCH,
    CTL_EXCLUDED_ENTROPY_PUT,
    CTL_EXCLUDED_PMEM_PUT,
    CTL_EXCLUDED_PMEM_PATCH,
    CTL_EXCLUDED_HOTPLUG_PUT,
    CTL_EXCLUDED_HOTPLUG_GET,
    CTL_EXCLUDED_HOTPLUG_PATCH,
};
#define CTL_EXCLUDED_COUNT (CTL_EXCLUDED_HOTPLUG_PATCH + 1)

/* Any JSON value, as text: PUT and PATCH /mmds. */
struct ctl_metadata {
    char *text; /* heap, NUL-terminated */
    size_t len; /* bytes */
};

/* One thing asked. Owns what its struct owns: ctl_action_done. */
struct ctl_action {
    enum ctl_action_kind kind;
    union {
        struct cfg_boot_source boot_source;
        struct cfg_machine machine;
        struct cfg_machine_patch machine_patch;
        struct cfg_cpu_template cpu_template;
        struct cfg_drive drive;
        struct cfg_drive_patch drive_patch;
        struct cfg_nic nic;
        struct cfg_nic_patch nic_patch;
        struct cfg_vsock vsock;
        struct cfg_mmds mmds;
        struct ctl_metadata metadata;
        struct cfg_logger logger;
        struct cfg_metrics metrics;
        struct cfg_serial serial;
        struct cfg_snapshot_create snapshot_create;
        struct cfg_snapshot_load snapshot_load;
        enum ctl_excluded excluded;
    } u;
};

/* Frees what the action owns and zeroes it. */
void ctl_action_done(struct ctl_action *action);

/* What `GET /` calls the VM: published (vmm/ctl/mailbox.h), not asked for by an action. */
enum ctl_state { CTL_STATE_NOT_STARTED, CTL_STATE_RUNNING, CTL_STATE_PAUSED };

/* The answer. `vm` and `metadata` are for GETs: borrowed from ctl and unchanged until the next
 * action is posted. */
struct ctl_reply {
    int code;       /* 0, or -errno with err */
    struct err err; /* the whole fault_message, category included */
    const struct cfg_vm *vm;
    const char *metadata; /* of GET /mmds: JSON, NUL-terminated */
};
