/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to vmm/config: how the arrays inside objects are stored, and what the VM's own lists
 * share with them. Any thread; constant data.
 */
#pragma once

#include "vmm/config/cfg_fields.h"
#include "vmm/config/cfg_text.h"

/* One element of a CPUID modifier's "modifiers", before it is folded into the modifier's masks. */
struct cfg_register_modifier {
    uint32_t reg; /* index into cfg_cpuid_modifier.mask */
    struct cfg_bitmap32 bitmap;
};

extern const struct cfg_list cfg_list_mmds_nics;       /* owner: struct cfg_mmds */
extern const struct cfg_list cfg_list_capabilities;    /* owner: struct cfg_cpu_template */
extern const struct cfg_list cfg_list_cpuid;           /* owner: struct cfg_cpu_template */
extern const struct cfg_list cfg_list_msrs;            /* owner: struct cfg_cpu_template */
extern const struct cfg_list cfg_list_registers;       /* owner: struct cfg_cpuid_modifier */
extern const struct cfg_list cfg_list_nic_overrides;   /* owner: struct cfg_snapshot_load */
extern const struct cfg_list cfg_list_drive_overrides; /* owner: struct cfg_snapshot_load */

/* A list has all it may hold: "too many <what>: at most <max> are accepted". Returns -ENOSPC. */
int cfg_fail_full(struct err *err, const char *what, unsigned max);
