/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Private to vmm/config: how the rows of field tables are spelled, and what two files of tables
 * share. Constant data; any thread.
 */
#pragma once

#include <assert.h>

#include "vmm/config/cfg_fields.h"

#define OFF(type, member) .off = offsetof(type, member), .has_off = CFG_NO_OFF
#define OFF_HAS(type, member, has) .off = offsetof(type, member), .has_off = offsetof(type, has)

#define OBJECT(struct_type, table)                                                                 \
    .size = sizeof(struct_type), .fields = (table), .fields_count = ARRAY_LEN(table)

#define CHECK_TABLE(table) static_assert(ARRAY_LEN(table) <= CFG_FIELDS_MAX, "grow CFG_FIELDS_MAX")

/* NULL-terminated; index = value of the enum. */
extern const char *const cfg_template_names[];
extern const char *const cfg_huge_pages_names[];
