/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A network policy's text -> tables for the kernel: what is accepted keeps every promise that the
 * kernel's program relies on. Single thread.
 */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "jailer/policy_file.h"
#include "tests/fuzz/fuzz_check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_key(const struct pol_key *key)
{
    FUZZ_CHECK(key->prefix_len >= POL_FAMILY_BITS && key->prefix_len <= POL_FAMILY_BITS + 128);
    for (uint32_t bit = key->prefix_len - POL_FAMILY_BITS; bit < 128; bit++)
        FUZZ_CHECK(!(key->address[bit / 8] & (0x80 >> bit % 8)));
}

static void check_entry(const struct pol_entry *entry)
{
    check_key(&entry->key);
    FUZZ_CHECK(entry->prefix.rules_count >= 1 && entry->prefix.rules_count <= POL_PREFIX_RULES_MAX);
    for (uint32_t i = 0; i < entry->prefix.rules_count; i++) {
        const struct pol_rule *rule = &entry->prefix.rules[i];
        FUZZ_CHECK(rule->verdict <= POL_ALLOW && rule->port_min <= rule->port_max);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct pol_policy policy;
    struct err err = ERR_INIT;
    if (jail_policy_parse((const char *)data, size, &policy, &err) < 0) {
        FUZZ_CHECK(err.msg[0] != '\0');
        return 0;
    }
    FUZZ_CHECK(policy.sources_count >= 1 && policy.sources_count <= POL_SOURCES_MAX);
    FUZZ_CHECK(!(policy.config.mac[0] & 1));
    for (uint32_t i = 0; i < policy.sources_count; i++)
        check_key(&policy.sources[i]);
    for (int direction = 0; direction < POL_DIRECTIONS; direction++) {
        FUZZ_CHECK(policy.entries_count[direction] <= POL_PREFIXES_MAX);
        for (uint32_t i = 0; i < policy.entries_count[direction]; i++)
            check_entry(&policy.entries[direction][i]);
    }
    pol_policy_done(&policy);
    return 0;
}
