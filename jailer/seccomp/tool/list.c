/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The built-in table for people and for the coverage test: tab-separated columns. Thread: main.
 */
#include <inttypes.h>
#include <stdio.h>

#include "jailer/seccomp/table.h"
#include "jailer/seccomp/tool/policy.h"

static void print_checks(const struct sec_rule *rule)
{
    for (uint32_t i = 0; i < rule->checks_count; i++) {
        (void)printf("%s%u&0x%" PRIx64, i ? "," : "", rule->checks[i].arg, rule->checks[i].mask);
        if (rule->checks[i].value == SEC_OWN_PID)
            (void)printf("=own-pid");
        else
            (void)printf("=0x%" PRIx64, rule->checks[i].value);
    }
    if (rule->checks_count == 0)
        (void)printf("-");
}

void sectool_list(void)
{
    (void)printf("#call\targuments\tmeaning\twhere\treason\n");
    for (size_t i = 0; i < sec_rules_count; i++) {
        const struct sec_rule *rule = &sec_rules[i];
        (void)printf("%s\t", rule->call);
        print_checks(rule);
        (void)printf("\t%s\tstart%s%s%s\t%s\n", rule->label ? rule->label : "any",
                     rule->where & SEC_VMM ? ",vmm" : "", rule->where & SEC_API ? ",api" : "",
                     rule->where & SEC_VCPU ? ",vcpu" : "", rule->reason);
    }
}
