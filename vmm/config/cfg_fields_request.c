/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field tables of the bodies that only requests have: patches, serial, actions, snapshots (api.md
 * 7). Constant data; any thread.
 */
#include "vmm/config/cfg_fields_int.h"
#include "vmm/config/cfg_lists_int.h"

static_assert(sizeof(enum cfg_action_type) == 4 && sizeof(enum cfg_vm_state) == 4 &&
                  sizeof(enum cfg_snapshot_type) == 4 && sizeof(enum cfg_mem_backend) == 4 &&
                  sizeof(enum cfg_handler_exit) == 4 && sizeof(enum cfg_load_huge_pages) == 4,
              "enum width");

static const char *const action_names[] = {
    [CFG_ACTION_FLUSH_METRICS] = "FlushMetrics",
    [CFG_ACTION_INSTANCE_START] = "InstanceStart",
    [CFG_ACTION_SEND_CTRL_ALT_DEL] = "SendCtrlAltDel",
    [CFG_ACTION_SEND_CTRL_ALT_DEL + 1] = NULL,
};
static const char *const vm_state_names[] = {
    [CFG_VM_PAUSED] = "Paused",
    [CFG_VM_RESUMED] = "Resumed",
    [CFG_VM_RESUMED + 1] = NULL,
};
static const char *const snapshot_type_names[] = {
    [CFG_SNAPSHOT_DIFF] = "Diff",
    [CFG_SNAPSHOT_FULL] = "Full",
    [CFG_SNAPSHOT_FULL + 1] = NULL,
};
static const char *const mem_backend_names[] = {
    [CFG_MEM_BACKEND_FILE] = "File",
    [CFG_MEM_BACKEND_UFFD] = "Uffd",
    [CFG_MEM_BACKEND_UFFD + 1] = NULL,
};
static const char *const handler_exit_names[] = {
    [CFG_HANDLER_EXIT_FREEZE] = "freeze",
    [CFG_HANDLER_EXIT_EXIT] = "exit",
    [CFG_HANDLER_EXIT_EXIT + 1] = NULL,
};
static const char *const load_huge_pages_names[] = {
    [CFG_LOAD_HUGE_PAGES_SNAPSHOT] = "Snapshot",
    [CFG_LOAD_HUGE_PAGES_NONE] = "None",
    [CFG_LOAD_HUGE_PAGES_TRANSPARENT] = "Transparent",
    [CFG_LOAD_HUGE_PAGES_2M] = "2M",
    [CFG_LOAD_HUGE_PAGES_2M + 1] = NULL,
};

/* ------------------------------------------------------------------ patches */

#define OPTIONAL (CFG_NULLABLE | CFG_SERDE_DEFAULT)
#define PATCHES(member) OFF_HAS(struct cfg_machine_patch, machine.member, has_##member)

static const struct cfg_field machine_patch_fields[] = {
    {"vcpu_count", CFG_TYPE_U8, OPTIONAL, PATCHES(vcpu_count), .min = 1, .max = CFG_VCPUS_MAX},
    {"mem_size_mib", CFG_TYPE_USIZE, OPTIONAL, PATCHES(mem_size_mib), .min = 1, .max = INT64_MAX},
    {"smt", CFG_TYPE_BOOL, OPTIONAL, PATCHES(smt)},
    {"cpu_template", CFG_TYPE_ENUM, OPTIONAL,
     OFF_HAS(struct cfg_machine_patch, machine.cpu_template, machine.has_cpu_template),
     .default_value = CFG_TEMPLATE_NONE, .enum_names = cfg_template_names},
    {"track_dirty_pages", CFG_TYPE_BOOL, OPTIONAL, PATCHES(track_dirty_pages)},
    {"huge_pages", CFG_TYPE_ENUM, OPTIONAL, PATCHES(huge_pages),
     .default_value = CFG_HUGE_PAGES_NONE, .enum_names = cfg_huge_pages_names},
};
CHECK_TABLE(machine_patch_fields);

const struct cfg_object cfg_object_machine_patch = {
    .name = "MachineConfigUpdate",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_machine_patch, machine_patch_fields),
};

static const struct cfg_field drive_patch_fields[] = {
    {"drive_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_drive_patch, drive_id)},
    {"path_on_host", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_drive_patch, path_on_host)},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_drive_patch, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
CHECK_TABLE(drive_patch_fields);

const struct cfg_object cfg_object_drive_patch = {
    .name = "BlockDeviceUpdateConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_drive_patch, drive_patch_fields),
};

static const struct cfg_field nic_patch_fields[] = {
    {"iface_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_nic_patch, iface_id)},
    {"rx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_nic_patch, rx_rate_limiter, rx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
    {"tx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_nic_patch, tx_rate_limiter, tx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
CHECK_TABLE(nic_patch_fields);

const struct cfg_object cfg_object_nic_patch = {
    .name = "NetworkInterfaceUpdateConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_nic_patch, nic_patch_fields),
};

/* ------------------------------------------------------------------ serial, actions, vm */

static const struct cfg_field serial_fields[] = {
    {"serial_out_path", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_serial, serial_out_path)},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_serial, rate_limiter, rate_limiter.present), .object = &cfg_object_bucket},
};
CHECK_TABLE(serial_fields);

const struct cfg_object cfg_object_serial = {
    .name = "SerialConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_serial, serial_fields),
};

static const struct cfg_field action_fields[] = {
    {"action_type", CFG_TYPE_ENUM, CFG_REQUIRED, OFF(struct cfg_action, action_type),
     .enum_names = action_names},
};

const struct cfg_object cfg_object_action = {
    .name = "ActionBody",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_action, action_fields),
};

static const struct cfg_field vm_patch_fields[] = {
    {"state", CFG_TYPE_ENUM, CFG_REQUIRED, OFF(struct cfg_vm_patch, state),
     .enum_names = vm_state_names},
};

const struct cfg_object cfg_object_vm_patch = {
    .name = "Vm",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_vm_patch, vm_patch_fields),
};

/* ------------------------------------------------------------------ snapshots */

static const struct cfg_field snapshot_create_fields[] = {
    {"snapshot_type", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT,
     OFF(struct cfg_snapshot_create, snapshot_type), .default_value = CFG_SNAPSHOT_FULL,
     .enum_names = snapshot_type_names},
    {"snapshot_path", CFG_TYPE_STRING, CFG_REQUIRED,
     OFF(struct cfg_snapshot_create, snapshot_path)},
    {"mem_file_path", CFG_TYPE_STRING, CFG_REQUIRED,
     OFF(struct cfg_snapshot_create, mem_file_path)},
    {"no_flush", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_snapshot_create, no_flush)},
};
CHECK_TABLE(snapshot_create_fields);

const struct cfg_object cfg_object_snapshot_create = {
    .name = "CreateSnapshotParams",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_snapshot_create, snapshot_create_fields),
};

static const struct cfg_field mem_source_fields[] = {
    {"backend_path", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_mem_source, backend_path)},
    {"backend_type", CFG_TYPE_ENUM, CFG_REQUIRED, OFF(struct cfg_mem_source, backend_type),
     .default_value = CFG_MEM_BACKEND_FILE, .enum_names = mem_backend_names},
    {"prefetch", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_mem_source, prefetch)},
    {"on_handler_exit", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT,
     OFF(struct cfg_mem_source, on_handler_exit), .default_value = CFG_HANDLER_EXIT_FREEZE,
     .enum_names = handler_exit_names},
};

const struct cfg_object cfg_object_mem_source = {
    .name = "MemBackendConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_mem_source, mem_source_fields),
};

static const struct cfg_field nic_override_fields[] = {
    {"iface_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_nic_override, iface_id)},
    {"host_dev_name", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_nic_override, host_dev_name)},
    {"guest_mac", CFG_TYPE_MAC, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF_HAS(struct cfg_nic_override, guest_mac, has_guest_mac)},
    {"rx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF_HAS(struct cfg_nic_override, rx_rate_limiter, rx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
    {"tx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF_HAS(struct cfg_nic_override, tx_rate_limiter, tx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
CHECK_TABLE(nic_override_fields);

const struct cfg_object cfg_object_nic_override = {
    .name = "NetworkOverride",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_nic_override, nic_override_fields),
};

static const struct cfg_field drive_override_fields[] = {
    {"drive_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_drive_override, drive_id)},
    {"path_on_host", CFG_TYPE_STRING, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF(struct cfg_drive_override, path_on_host)},
    {"force", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_drive_override, force)},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF_HAS(struct cfg_drive_override, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
CHECK_TABLE(drive_override_fields);

const struct cfg_object cfg_object_drive_override = {
    .name = "DriveOverride",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_drive_override, drive_override_fields),
};

static const struct cfg_field vsock_override_fields[] = {
    {"uds_path", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_vsock_override, uds_path)},
};

const struct cfg_object cfg_object_vsock_override = {
    .name = "VsockOverride",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_vsock_override, vsock_override_fields),
};

static const struct cfg_field snapshot_load_fields[] = {
    {"snapshot_path", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_snapshot_load, snapshot_path)},
    {"mem_file_path", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_snapshot_load, mem_file_path)},
    {"mem_backend", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_snapshot_load, mem_backend, mem_backend.present),
     .object = &cfg_object_mem_source},
    {"enable_diff_snapshots", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT,
     OFF(struct cfg_snapshot_load, enable_diff_snapshots)},
    {"track_dirty_pages", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT,
     OFF(struct cfg_snapshot_load, track_dirty_pages)},
    {"resume_vm", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_snapshot_load, resume_vm)},
    {"network_overrides", CFG_TYPE_LIST, CFG_SERDE_DEFAULT, .has_off = CFG_NO_OFF,
     .list = &cfg_list_nic_overrides},
    {"vsock_override", CFG_TYPE_OBJECT, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF_HAS(struct cfg_snapshot_load, vsock_override, vsock_override.present),
     .object = &cfg_object_vsock_override},
    {"clock_realtime", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT,
     OFF(struct cfg_snapshot_load, clock_realtime)},
    {"huge_pages", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT, OFF(struct cfg_snapshot_load, huge_pages),
     .default_value = CFG_LOAD_HUGE_PAGES_SNAPSHOT, .enum_names = load_huge_pages_names},
    {"drive_overrides", CFG_TYPE_LIST, CFG_SERDE_DEFAULT, .has_off = CFG_NO_OFF,
     .list = &cfg_list_drive_overrides},
};
CHECK_TABLE(snapshot_load_fields);

const struct cfg_object cfg_object_snapshot_load = {
    .name = "LoadSnapshotConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_snapshot_load, snapshot_load_fields),
};
