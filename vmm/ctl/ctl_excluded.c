/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Answers for devices that are not in the model, as data (deltas.md 2): what a request is told
 * before the start and after it. Any thread; constant data.
 */
#include <assert.h>

#include "vmm/config/cfg_refusal.h"
#include "vmm/ctl/ctl_int.h"

#define NOT_FOUND "Failed perform action on device: Device not found"
#define BALLOON_UPDATE "Balloon update error: " NOT_FOUND

const struct ctl_excluded_answer ctl_excluded_answers[] = {
    [CTL_EXCLUDED_BALLOON_PUT] = {CFG_UNSUPPORTED CFG_NO_BALLOON, CTL_AFTER_START},
    [CTL_EXCLUDED_BALLOON_GET] = {"Balloon config error: No balloon device found.",
                                  "Internal VMM error: " NOT_FOUND},
    [CTL_EXCLUDED_BALLOON_PATCH] = {CTL_BEFORE_START, BALLOON_UPDATE},
    [CTL_EXCLUDED_BALLOON_STATS_GET] = {CTL_BEFORE_START, "Internal VMM error: " NOT_FOUND},
    [CTL_EXCLUDED_BALLOON_STATS_PATCH] = {CTL_BEFORE_START, BALLOON_UPDATE},
    [CTL_EXCLUDED_BALLOON_HINTING_GET] = {CTL_BEFORE_START, BALLOON_UPDATE},
    [CTL_EXCLUDED_BALLOON_HINTING_PATCH] = {CTL_BEFORE_START, BALLOON_UPDATE},
    [CTL_EXCLUDED_ENTROPY_PUT] = {CFG_UNSUPPORTED CFG_NO_ENTROPY, CTL_AFTER_START},
    [CTL_EXCLUDED_PMEM_PUT] = {CFG_UNSUPPORTED CFG_NO_PMEM, CTL_NO_PCI},
    [CTL_EXCLUDED_PMEM_PATCH] = {CTL_BEFORE_START,
                                 "Pmem config error: Unable to patch the pmem device: " NOT_FOUND
                                 " Please verify the request arguments."},
    [CTL_EXCLUDED_HOTPLUG_PUT] = {CFG_UNSUPPORTED CFG_NO_MEMORY_HOTPLUG, CTL_AFTER_START},
    [CTL_EXCLUDED_HOTPLUG_GET] = {CTL_BEFORE_START, "Internal VMM error: " NOT_FOUND},
    [CTL_EXCLUDED_HOTPLUG_PATCH] = {CTL_BEFORE_START, "Memory hotplug update error: " NOT_FOUND},
};
static_assert(ARRAY_LEN(ctl_excluded_answers) == CTL_EXCLUDED_COUNT, "an answer for each");
