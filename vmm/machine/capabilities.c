/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KVM capabilities that a custom CPU template asks for (devices.md 9.1, 12). Only these are
 * looked up: what Mayfly itself needs shows when a call fails, so that a start pays nothing for it,
 * and the template's "!N" has nothing of ours to take back. Thread: vmm.
 */
#include <errno.h>
#include <stdio.h>

#include "vmm/machine/machine_int.h"

/* "0x" and eight digits, ", " or the NUL. */
#define NUMBER_MAX_SIZE 12u

/* Does word `idx` ask for its capability, and no later word speak of the same? */
static bool is_asked_for(const struct cfg_cpu_template *tmpl, uint32_t idx)
{
    for (uint32_t i = idx + 1; i < tmpl->caps_count; i++)
        if (tmpl->caps[i].number == tmpl->caps[idx].number)
            return false;
    return !tmpl->caps[idx].removal;
}

int machine_check_capabilities(const struct hv *hv, const struct cfg_cpu_template *tmpl,
                               struct err *err)
{
    char missing[CFG_CAPABILITIES_MAX * NUMBER_MAX_SIZE + 1] = "";
    size_t len = 0;

    for (uint32_t i = 0; i < tmpl->caps_count; i++) {
        uint32_t number = tmpl->caps[i].number;
        /* A kernel that cannot answer has it no more than one that says 0. */
        if (is_asked_for(tmpl, i) && hv_check_capability(hv, number) <= 0)
            len += (size_t)snprintf(missing + len, sizeof(missing) - len, "%s0x%x",
                                    len > 0 ? ", " : "", number);
    }
    if (len > 0)
        return err_set(err, -EOPNOTSUPP, "Missing KVM capabilities: %s", missing);
    return 0;
}
