/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Field tables of the bodies of requests for devices that are not in the model: a body of a wrong
 * shape gets its usual sentence before the refusal (deltas.md 1, 6). Constant data; any thread.
 */
#include "vmm/config/cfg_fields_int.h"

#define MEMBER(member) OFF(struct cfg_excluded, member)
#define EXCLUDED(table) .key = "", OBJECT(struct cfg_excluded, table)

static const struct cfg_field balloon_fields[] = {
    {"amount_mib", CFG_TYPE_U32, CFG_REQUIRED, MEMBER(sizes_mib[0])},
    {"deflate_on_oom", CFG_TYPE_BOOL, CFG_REQUIRED, MEMBER(flags[0])},
    {"stats_polling_interval_s", CFG_TYPE_U16, CFG_SERDE_DEFAULT, MEMBER(interval_s)},
    {"free_page_hinting", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, MEMBER(flags[1])},
    {"free_page_reporting", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, MEMBER(flags[2])},
};
const struct cfg_object cfg_object_balloon = {
    .name = "BalloonDeviceConfig",
    .strict = true,
    EXCLUDED(balloon_fields),
};

static const struct cfg_field balloon_patch_fields[] = {
    {"amount_mib", CFG_TYPE_U32, CFG_REQUIRED, MEMBER(sizes_mib[0])},
};
const struct cfg_object cfg_object_balloon_patch = {
    .name = "BalloonUpdateConfig",
    .strict = true,
    EXCLUDED(balloon_patch_fields),
};

static const struct cfg_field balloon_stats_fields[] = {
    {"stats_polling_interval_s", CFG_TYPE_U16, CFG_REQUIRED, MEMBER(interval_s)},
};
const struct cfg_object cfg_object_balloon_stats = {
    .name = "BalloonUpdateStatsConfig",
    .strict = true,
    EXCLUDED(balloon_stats_fields),
};

static const struct cfg_field balloon_hinting_fields[] = {
    {"acknowledge_on_stop", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, MEMBER(flags[0]),
     .default_value = true},
};
const struct cfg_object cfg_object_balloon_hinting = {
    .name = "StartHintingCmd",
    .strict = false,
    EXCLUDED(balloon_hinting_fields),
};

static const struct cfg_field entropy_fields[] = {
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_excluded, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
const struct cfg_object cfg_object_entropy = {
    .name = "EntropyDeviceConfig",
    .strict = true,
    EXCLUDED(entropy_fields),
};

static const struct cfg_field pmem_fields[] = {
    {"id", CFG_TYPE_STRING, CFG_REQUIRED, MEMBER(id)},
    {"path_on_host", CFG_TYPE_STRING, CFG_REQUIRED, MEMBER(path_on_host)},
    {"root_device", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, MEMBER(flags[0])},
    {"read_only", CFG_TYPE_BOOL, CFG_SERDE_DEFAULT, MEMBER(flags[1])},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_excluded, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
const struct cfg_object cfg_object_pmem = {
    .name = "PmemConfig",
    .strict = true,
    EXCLUDED(pmem_fields),
};

static const struct cfg_field pmem_patch_fields[] = {
    {"id", CFG_TYPE_STRING, CFG_REQUIRED, MEMBER(id)},
    {"rate_limiter", CFG_TYPE_OBJECT, CFG_NULLABLE,
     OFF_HAS(struct cfg_excluded, rate_limiter, rate_limiter.present),
     .object = &cfg_object_rate_limiter},
};
const struct cfg_object cfg_object_pmem_patch = {
    .name = "PmemDeviceUpdateConfig",
    .strict = true,
    EXCLUDED(pmem_patch_fields),
};

static const struct cfg_field hotplug_fields[] = {
    {"total_size_mib", CFG_TYPE_U32, CFG_REQUIRED, MEMBER(sizes_mib[0])},
    {"block_size_mib", CFG_TYPE_U32, CFG_SERDE_DEFAULT, MEMBER(sizes_mib[1]), .default_value = 2},
    {"slot_size_mib", CFG_TYPE_U32, CFG_SERDE_DEFAULT, MEMBER(sizes_mib[2]), .default_value = 128},
};
const struct cfg_object cfg_object_hotplug = {
    .name = "MemoryHotplugConfig",
    .strict = true,
    EXCLUDED(hotplug_fields),
};

static const struct cfg_field hotplug_patch_fields[] = {
    {"requested_size_mib", CFG_TYPE_U32, CFG_REQUIRED, MEMBER(sizes_mib[0])},
};
const struct cfg_object cfg_object_hotplug_patch = {
    .name = "MemoryHotplugSizeUpdate",
    .strict = true,
    EXCLUDED(hotplug_patch_fields),
};
