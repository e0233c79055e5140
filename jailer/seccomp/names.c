/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names of the filters. Pure.
 */
#include "jailer/seccomp/sec.h"

const char *sec_filter_name(enum sec_filter which)
{
    static const char *const names[] = {"start", "vmm", "api", "vcpu"};
    _Static_assert(ARRAY_LEN(names) == SEC_FILTERS_COUNT, "a name for each filter");
    return names[which];
}
