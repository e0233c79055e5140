/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The field tables (api.md 6, 7; devices.md 9.1). Order of fields is the order of the reference's
 * sentences and of GET /vm/config. Constant data; any thread.
 */
#include "vmm/config/cfg_fields.h"

#include <assert.h>

#include "vmm/config/cfg_fields_int.h"
#include "vmm/config/cfg_lists_int.h"
#include "vmm/config/cfg_refusal.h"
#include "vmm/config/cfg_text.h"

/* Enum fields are loaded and stored as 32 bits; a pair of bitmaps lies in its struct as in
 * cfg_bitmapN. */
static_assert(sizeof(enum cfg_huge_pages) == 4 && sizeof(enum cfg_template) == 4 &&
                  sizeof(enum cfg_cache) == 4 && sizeof(enum cfg_io_engine) == 4 &&
                  sizeof(enum cfg_mmds_version) == 4,
              "enum width");
static_assert(offsetof(struct cfg_msr_modifier, value) ==
                  offsetof(struct cfg_msr_modifier, mask) + offsetof(struct cfg_bitmap64, value),
              "an MSR's mask and value form one struct cfg_bitmap64");

const char *const cfg_template_names[] = {
    [CFG_TEMPLATE_C3] = "C3",      [CFG_TEMPLATE_T2] = "T2",     [CFG_TEMPLATE_T2S] = "T2S",
    [CFG_TEMPLATE_NONE] = "None",  [CFG_TEMPLATE_T2CL] = "T2CL", [CFG_TEMPLATE_T2A] = "T2A",
    [CFG_TEMPLATE_T2A + 1] = NULL,
};
const char *const cfg_huge_pages_names[] = {
    [CFG_HUGE_PAGES_NONE] = "None",
    [CFG_HUGE_PAGES_TRANSPARENT] = "Transparent",
    [CFG_HUGE_PAGES_2M] = "2M",
    [CFG_HUGE_PAGES_2M + 1] = NULL,
};
static const char *const cache_names[] = {
    [CFG_CACHE_UNSAFE] = "Unsafe",
    [CFG_CACHE_WRITEBACK] = "Writeback",
    [CFG_CACHE_WRITEBACK + 1] = NULL,
};
static const char *const io_engine_names[] = {
    [CFG_IO_ENGINE_SYNC] = "Sync",
    [CFG_IO_ENGINE_ASYNC] = "Async",
    [CFG_IO_ENGINE_ASYNC + 1] = NULL,
};
static const char *const mmds_version_names[] = {
    [CFG_MMDS_V1] = "V1",
    [CFG_MMDS_V2] = "V2",
    [CFG_MMDS_V2 + 1] = NULL,
};

/* ------------------------------------------------------------------ machine-config, boot-source */

static const struct cfg_field machine_fields[] = {
    {"vcpu_count", CFG_TYPE_U8, CFG_REQUIRED, OFF(struct cfg_machine, vcpu_count),
     .default_value = 1, .min = 1, .max = CFG_VCPUS_MAX},
    {"mem_size_mib", CFG_TYPE_USIZE, CFG_REQUIRED, OFF(struct cfg_machine, mem_size_mib),
     .default_value = 128, .min = 1, .max = INT64_MAX},
    {"smt", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_machine, smt)},
    {"cpu_template", CFG_TYPE_ENUM, CFG_NULLABLE | CFG_SERDE_DEFAULT | CFG_OMIT_DEFAULT,
     OFF_HAS(struct cfg_machine, cpu_template, has_cpu_template),
     .default_value = CFG_TEMPLATE_NONE, .enum_names = cfg_template_names},
    {"track_dirty_pages", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT,
     OFF(struct cfg_machine, track_dirty_pages)},
    {"huge_pages", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT, OFF(struct cfg_machine, huge_pages),
     .default_value = CFG_HUGE_PAGES_NONE, .enum_names = cfg_huge_pages_names},
};
CHECK_TABLE(machine_fields);

const struct cfg_object cfg_object_machine = {
    .name = "MachineConfig",
    .key = "machine-config",
    .strict = true,
    OBJECT(struct cfg_machine, machine_fields),
};

static const struct cfg_field boot_source_fields[] = {
    {"kernel_image_path", CFG_TYPE_STRING, CFG_REQUIRED,
     OFF(struct cfg_boot_source, kernel_image_path),
     .nul_text = "The kernel file cannot be opened: file name contained an unexpected NUL byte"},
    {"initrd_path", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_boot_source, initrd_path),
     .nul_text = "The initrd file cannot be opened due to invalid path or invalid permissions. "
                 "file name contained an unexpected NUL byte"},
    {"boot_args", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_boot_source, boot_args)},
};
CHECK_TABLE(boot_source_fields);

const struct cfg_object cfg_object_boot_source = {
    .name = "BootSourceConfig",
    .key = "boot-source",
    .category = "Boot source error: ",
    .strict = true,
    OBJECT(struct cfg_boot_source, boot_source_fields),
};

/* ------------------------------------------------------------------ rate limiters */

static bool bucket_is_void(const void *obj)
{
    return !cfg_bucket_limits(obj);
}

static bool rate_limiter_is_void(const void *obj)
{
    const struct cfg_rate_limiter *limiter = obj;

    return !limiter->present ||
           (bucket_is_void(&limiter->bandwidth) && bucket_is_void(&limiter->ops));
}

static const struct cfg_field bucket_fields[] = {
    {"size", CFG_TYPE_U64, CFG_REQUIRED, OFF(struct cfg_bucket, size)},
    {"one_time_burst", CFG_TYPE_U64, CFG_NULLABLE, OFF(struct cfg_bucket, one_time_burst)},
    {"refill_time", CFG_TYPE_U64, CFG_REQUIRED, OFF(struct cfg_bucket, refill_time_ms)},
};
CHECK_TABLE(bucket_fields);

const struct cfg_object cfg_object_bucket = {
    .name = "TokenBucketConfig",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_bucket, bucket_fields),
    .is_void = bucket_is_void,
};

static const struct cfg_field rate_limiter_fields[] = {
    {"bandwidth", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_rate_limiter, bandwidth, bandwidth.present), .object = &cfg_object_bucket},
    {"ops", CFG_TYPE_OBJECT, CFG_NULLABLE, OFF_HAS(struct cfg_rate_limiter, ops, ops.present),
     .object = &cfg_object_bucket},
};
CHECK_TABLE(rate_limiter_fields);

const struct cfg_object cfg_object_rate_limiter = {
    .name = "RateLimiterConfig",
    .key = "",
    .strict = true,
    OBJECT(struct cfg_rate_limiter, rate_limiter_fields),
    .is_void = rate_limiter_is_void,
};

/* ------------------------------------------------------------------ drives, network-interfaces,
 * vsock */

static const struct cfg_field drive_fields[] = {
    {"drive_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_drive, drive_id)},
    {"partuuid", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_drive, partuuid)},
    {"is_root_device", CFG_TYPE_BOOL, CFG_REQUIRED, OFF(struct cfg_drive, is_root_device)},
    {"cache_type", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT, OFF(struct cfg_drive, cache_type),
     .default_value = CFG_CACHE_UNSAFE, .enum_names = cache_names},
    {"is_read_only", CFG_TYPE_BOOL, CFG_NULLABLE, OFF(struct cfg_drive, is_read_only)},
    {"path_on_host", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_drive, path_on_host)},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_drive, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
    {"io_engine", CFG_TYPE_ENUM, CFG_NULLABLE, OFF(struct cfg_drive, io_engine),
     .default_value = CFG_IO_ENGINE_SYNC, .enum_names = io_engine_names},
    {"socket", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_drive, socket)},
};
CHECK_TABLE(drive_fields);

const struct cfg_object cfg_object_drive = {
    .name = "BlockDeviceConfig",
    .key = "drives",
    .strict = true,
    OBJECT(struct cfg_drive, drive_fields),
};

static const struct cfg_field nic_fields[] = {
    {"iface_id", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_nic, iface_id)},
    {"host_dev_name", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_nic, host_dev_name)},
    {"guest_mac", CFG_TYPE_MAC, CFG_NULLABLE, OFF_HAS(struct cfg_nic, guest_mac, has_guest_mac)},
    {"mtu", CFG_TYPE_U16, CFG_NULLABLE, OFF_HAS(struct cfg_nic, mtu, has_mtu), .min = CFG_MTU_MIN,
     .max = UINT16_MAX},
    {"rx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_nic, rx_rate_limiter, rx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
    {"tx_rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_nic, tx_rate_limiter, tx_rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
CHECK_TABLE(nic_fields);

const struct cfg_object cfg_object_nic = {
    .name = "NetworkInterfaceConfig",
    .key = "network-interfaces",
    .absent_name = "policy",
    .absent_text = CFG_NO_POLICY,
    .strict = true,
    OBJECT(struct cfg_nic, nic_fields),
};

static const struct cfg_field vsock_fields[] = {
    {"vsock_id", CFG_TYPE_STRING, CFG_NULLABLE | CFG_SERDE_DEFAULT | CFG_NO_RENDER,
     OFF(struct cfg_vsock, vsock_id)},
    {"guest_cid", CFG_TYPE_U32, CFG_REQUIRED, OFF(struct cfg_vsock, guest_cid)},
    {"uds_path", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_vsock, uds_path)},
};
CHECK_TABLE(vsock_fields);

const struct cfg_object cfg_object_vsock = {
    .name = "VsockDeviceConfig",
    .key = "vsock",
    .strict = true,
    OBJECT(struct cfg_vsock, vsock_fields),
};

/* ------------------------------------------------------------------ mmds, logger, metrics */

static const struct cfg_field mmds_fields[] = {
    {"version", CFG_TYPE_ENUM, CFG_SERDE_DEFAULT, OFF(struct cfg_mmds, version),
     .default_value = CFG_MMDS_V1, .enum_names = mmds_version_names},
    {"network_interfaces", CFG_TYPE_LIST, CFG_REQUIRED, .has_off = CFG_NO_OFF,
     .list = &cfg_list_mmds_nics},
    {"ipv4_address", CFG_TYPE_IPV4, CFG_NULLABLE | CFG_SERDE_DEFAULT,
     OFF(struct cfg_mmds, ipv4_address), .default_text = CFG_MMDS_IPV4_DEFAULT},
    {"imds_compat", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_mmds, imds_compat)},
};
CHECK_TABLE(mmds_fields);

const struct cfg_object cfg_object_mmds = {
    .name = "MmdsConfig",
    .key = "mmds-config",
    .strict = true,
    OBJECT(struct cfg_mmds, mmds_fields),
};

static const struct cfg_field logger_fields[] = {
    {"log_path", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_logger, log_path)},
    {"level", CFG_TYPE_LOG_LEVEL, CFG_NULLABLE, OFF(struct cfg_logger, level)},
    {"show_level", CFG_TYPE_BOOL, CFG_NULLABLE,
     OFF_HAS(struct cfg_logger, show_level, has_show_level)},
    {"show_log_origin", CFG_TYPE_BOOL, CFG_NULLABLE,
     OFF_HAS(struct cfg_logger, show_log_origin, has_show_log_origin)},
    {"module", CFG_TYPE_STRING, CFG_NULLABLE, OFF(struct cfg_logger, module)},
};
CHECK_TABLE(logger_fields);

const struct cfg_object cfg_object_logger = {
    .name = "LoggerConfig",
    .key = "logger",
    .strict = true,
    OBJECT(struct cfg_logger, logger_fields),
};

static const struct cfg_field metrics_fields[] = {
    {"metrics_path", CFG_TYPE_STRING, CFG_REQUIRED, OFF(struct cfg_metrics, metrics_path)},
    {"emit_id", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, OFF(struct cfg_metrics, emit_id)},
    {"properties", CFG_TYPE_TEXT_MAP, CFG_NULLABLE | CFG_NO_RENDER,
     OFF(struct cfg_metrics, properties)},
};
CHECK_TABLE(metrics_fields);

const struct cfg_object cfg_object_metrics = {
    .name = "MetricsConfig",
    .key = "metrics",
    .strict = false,
    OBJECT(struct cfg_metrics, metrics_fields),
};

/* ------------------------------------------------------------------ cpu-config */

static const struct cfg_field register_modifier_fields[] = {
    {"register", CFG_TYPE_REGISTER, CFG_REQUIRED, OFF(struct cfg_register_modifier, reg)},
    {"bitmap", CFG_TYPE_BITMAP32, CFG_REQUIRED, OFF(struct cfg_register_modifier, bitmap)},
};
CHECK_TABLE(register_modifier_fields);

const struct cfg_object cfg_object_register_modifier = {
    .name = "CpuidRegisterModifier",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_register_modifier, register_modifier_fields),
};

static const struct cfg_field cpuid_modifier_fields[] = {
    {"leaf", CFG_TYPE_NUMBER32, CFG_REQUIRED, OFF(struct cfg_cpuid_modifier, leaf)},
    {"subleaf", CFG_TYPE_NUMBER32, CFG_REQUIRED, OFF(struct cfg_cpuid_modifier, subleaf)},
    {"flags", CFG_TYPE_U32, CFG_REQUIRED, OFF(struct cfg_cpuid_modifier, flags)},
    {"modifiers", CFG_TYPE_LIST, CFG_REQUIRED, .has_off = CFG_NO_OFF, .list = &cfg_list_registers},
};
CHECK_TABLE(cpuid_modifier_fields);

const struct cfg_object cfg_object_cpuid_modifier = {
    .name = "CpuidLeafModifier",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_cpuid_modifier, cpuid_modifier_fields),
};

static const struct cfg_field msr_modifier_fields[] = {
    {"addr", CFG_TYPE_NUMBER32, CFG_REQUIRED, OFF(struct cfg_msr_modifier, addr)},
    {"bitmap", CFG_TYPE_BITMAP64, CFG_REQUIRED, OFF(struct cfg_msr_modifier, mask)},
};
CHECK_TABLE(msr_modifier_fields);

const struct cfg_object cfg_object_msr_modifier = {
    .name = "RegisterModifier",
    .key = "",
    .strict = false,
    OBJECT(struct cfg_msr_modifier, msr_modifier_fields),
};

static const struct cfg_field cpu_template_fields[] = {
    {"kvm_capabilities", CFG_TYPE_LIST, CFG_SERDE_DEFAULT, .has_off = CFG_NO_OFF,
     .list = &cfg_list_capabilities},
    {"cpuid_modifiers", CFG_TYPE_LIST, CFG_SERDE_DEFAULT, .has_off = CFG_NO_OFF,
     .list = &cfg_list_cpuid},
    {"msr_modifiers", CFG_TYPE_LIST, CFG_SERDE_DEFAULT, .has_off = CFG_NO_OFF,
     .list = &cfg_list_msrs},
};
CHECK_TABLE(cpu_template_fields);

const struct cfg_object cfg_object_cpu_template = {
    .name = "CustomCpuTemplate",
    .key = "cpu-config",
    .strict = true,
    OBJECT(struct cfg_cpu_template, cpu_template_fields),
};

const struct cfg_object *const cfg_objects[] = {
    &cfg_object_machine,
    &cfg_object_boot_source,
    &cfg_object_drive,
    &cfg_object_nic,
    &cfg_object_vsock,
    &cfg_object_mmds,
    &cfg_object_logger,
    &cfg_object_metrics,
    &cfg_object_rate_limiter,
    &cfg_object_bucket,
    &cfg_object_cpu_template,
    &cfg_object_cpuid_modifier,
    &cfg_object_register_modifier,
    &cfg_object_msr_modifier,
    &cfg_object_machine_patch,
    &cfg_object_drive_patch,
    &cfg_object_nic_patch,
    &cfg_object_serial,
    &cfg_object_action,
    &cfg_object_vm_patch,
    &cfg_object_snapshot_create,
    &cfg_object_snapshot_load,
    &cfg_object_mem_source,
    &cfg_object_nic_override,
    &cfg_object_drive_override,
    &cfg_object_vsock_override,
    &cfg_object_balloon,
    &cfg_object_balloon_patch,
    &cfg_object_balloon_stats,
    &cfg_object_balloon_hinting,
    &cfg_object_entropy,
    &cfg_object_pmem,
    &cfg_object_pmem_patch,
    &cfg_object_hotplug,
    &cfg_object_hotplug_patch,
    NULL,
};
